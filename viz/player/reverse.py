"""A reverse pass over some of the tape, whose links can be weighted.

The engine's `sweep` differentiates; a picture also asks what would flow if a link were cut or
scaled. This pass multiplies each use by a weight, and tells a visitor what it meets.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from tinygrad_rnn.engine.graph import Array, Node
from tinygrad_rnn.engine.sweep import fit

Weight = Callable[[Node, Node], float]


class Visitor:
    """Told of every complete gradient, and of what each use of a value adds to its gradient."""

    def gradient(self, node: Node, gradient: Array) -> None:
        """The gradient of a node of the pass, complete."""

    def use(self, node: Node, parent: Node, contribution: Array) -> None:
        """What the use of `parent` in `node` contributes; the parent may be outside of the pass."""


def reverse(
    nodes: Sequence[Node],
    seeds: Mapping[Node, Array],
    visitor: Visitor,
    weight: Weight | None = None,
) -> None:
    """Go back from the seeds through the nodes, latest first.

    nodes: in recorded order; the gradient ends at every other node.
    weight: from a node and its parent to the factor of that use; 1, if None.
    """
    pending: dict[Node, Any] = dict(seeds)
    within = frozenset(nodes)
    for node in reversed(nodes):
        gradient = pending.pop(node, None)
        if gradient is None:
            continue
        gradient = fit(gradient, node.shape)
        visitor.gradient(node, gradient)
        for parent, _, pullback, kept in node.edges:
            if pullback is None:
                continue
            contribution = fit(pullback.function(gradient, *kept), parent.shape)
            if weight is not None and (factor := weight(node, parent)) != 1:
                contribution = contribution * factor
            visitor.use(node, parent, contribution)
            if parent in within:
                known = pending.get(parent)
                pending[parent] = contribution if known is None else known + contribution
