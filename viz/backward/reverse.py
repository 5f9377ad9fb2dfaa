"""The engine's reverse pass over a part of the tape, with weights on its links.

A picture needs more than a gradient. It needs the contribution of each use, also to values beyond
the part. It needs the gradients under cut or scaled links.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from tinygrad_rnn.derivatives.several import Several
from tinygrad_rnn.engine.backward import pull_on_arrays, reverse_pass
from tinygrad_rnn.engine.fit import fit
from tinygrad_rnn.engine.graph import Array, Edge, Node, position

Weight = Callable[[Node, Node], float]


class Visitor:
    """A visitor receives every complete gradient, and the contribution of each use of a value."""

    def gradient(self, node: Node, gradient: Array) -> None:
        """Receive the complete gradient of a node of the part."""

    def use(self, node: Node, parent: Node, contribution: Array) -> None:
        """Receive the contribution of the use of `parent` in `node`. The parent may lie beyond the
        part."""


def reverse(
    nodes: Sequence[Node],
    seeds: Mapping[Node, Array],
    visitor: Visitor,
    weight: Weight | None = None,
) -> None:
    """Go back from the seeds through the nodes, latest first.

    nodes: the nodes of the part in recorded order. The pass ends at any other node.
    weight: a function from a node and its parent to the factor of that use; None means 1.
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
        visitor.use(node, parent, _numbers(contribution))
        return contribution

    reached = sorted(part | border, key=position)
    for node, gradient in reverse_pass(list(seeds), list(seeds.values()), reached, pull=pull):
        if node in part:
            visitor.gradient(node, _numbers(gradient))


def _numbers(gradient: Any) -> Array:
    """The gradient of an array; the norm of the gradients of several arrays that are one value."""
    if isinstance(gradient, Several):
        return np.asarray(math.hypot(*map(np.linalg.norm, gradient.parts.values())))
    return gradient
