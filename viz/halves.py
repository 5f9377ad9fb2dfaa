"""The two halves of a tape that a reverse pass has extended: the forward and the backward pass.

With `create_graph=True` a gradient is a part of the graph. A node recorded in the backward pass
knows the node whose gradient it passed. So each computation and its backward pass form a pair.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from viz.order import in_order
from viz.snapshot import NodeRef, Value


class Halves:
    """The halves of the values. order: the order of differentiation of each value, 0 in the forward
    pass. behind: the place of the value whose gradient it passed; None in the forward pass, and
    where that value is not drawn."""

    def __init__(self, values: Sequence[Value]) -> None:
        place = {}
        for i, value in enumerate(values):
            for reference in (value.node, *value.copies):
                if (node := reference()) is not None:
                    place[node] = i
        self.order = [0 if value.given else _order(value.back) for value in values]
        self.nodes = [value.back for value in values]
        passed = [node() if node is not None else None for node in self.nodes]
        self.behind = [None if node is None else place.get(node) for node in passed]
        self.differentiated = {behind for behind in self.behind if behind is not None}

    def orders(self) -> list[int]:
        """The orders that occur, 0 first."""
        return sorted({0, *self.order})

    def passed(self, i: int, sinks: Mapping[int, int]) -> object:
        """The circle whose backward pass a value belongs to, by its result; or a node that is not
        drawn."""
        behind = self.behind[i]
        return (id(self.nodes[i]), "node") if behind is None else sinks.get(behind, behind)


def _order(back: NodeRef | None) -> int:
    """The number of nested reverse passes that recorded a value."""
    order = 0
    while back is not None:
        order, node = order + 1, back()
        back = None if node is None else node.mark.back
    return order


def ordered(values: Sequence[Value], sinks: Mapping[int, int]) -> list[int] | None:
    """The given values and the representatives in topological order, and otherwise in recorded
    order; None if there is a cycle."""
    into: list[set[int]] = [set() for _ in values]
    for i, value in enumerate(values):
        own = sinks.get(i, i)
        into[own] |= {sinks.get(use.source, use.source) for use in value.inputs} - {own}
    order = in_order(into)
    return [i for i in order if sinks.get(i, i) == i] if len(order) == len(values) else None
