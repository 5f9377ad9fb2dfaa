"""The engine's reverse pass over a part of the tape, with weights on its links.

A picture asks what no gradient needs: what each use contributes, also to what lies beyond the
part, and what would flow if a link were cut or scaled.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from tinygrad_rnn.engine.backward import pull_on_arrays, reverse_pass
from tinygrad_rnn.engine.fit import fit
from tinygrad_rnn.engine.graph import Array, Edge, Node, position

Weight = Callable[[Node, Node], float]


class Visitor:
    """Told of every complete gradient, and of what each use of a value adds to its gradient."""

    def gradient(self, node: Node, gradient: Array) -> None:
        """The gradient of a node of the part, complete."""

    def use(self, node: Node, parent: Node, contribution: Array) -> None:
        """What the use of `parent` in `node` contributes; the parent may lie beyond the part."""


def reverse(
    nodes: Sequence[Node],
    seeds: Mapping[Node, Array],
    visitor: Visitor,
    weight: Weight | None = None,
) -> None:
    """Go back from the seeds through the nodes, latest first.

    nodes: in recorded order; the gradient ends where it comes to any other node.
    weight: from a node and its parent to the factor of that use; 1, if None.
    """
    part = frozenset(nodes)
    border = {parent for node in nodes for parent, _, pullback, _ in node.edges if pullback}

    def pull(node: Node, edge: Edge, gradient: Array) -> Array:
        parent = edge[0]
        if node not in part:
            return np.zeros(parent.shape)
        contribution = fit(pull_on_arrays(node, edge, gradient), parent.shape)
        if weight is not None and (factor := weight(node, parent)) != 1:
            contribution = contribution * factor
        visitor.use(node, parent, contribution)
        return contribution

    reached = sorted(part | border, key=position)
    for node, gradient in reverse_pass(list(seeds), list(seeds.values()), reached, pull=pull):
        if node in part:
            visitor.gradient(node, gradient)
