"""The two halves of a tape that a reverse pass recorded itself: the way forward, and the way back.

With `create_graph=True` a gradient is a part of the graph. What was recorded on the way back says
which node it passed, so that each computation and its way back are a pair.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from heapq import heappop, heappush

from viz.snapshot import NodeRef, Value


class Halves:
    """order: how many times back each value was recorded, 0 on the way forward. behind: the value
    whose gradient it passed, by its place; None on the way forward, and where that is not drawn."""

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
        """Those that there are, 0 first."""
        return sorted({0, *self.order})

    def passed(self, i: int, sinks: Mapping[int, int]) -> object:
        """What a value is on the way back through: a circle, by its result, or a node that is not
        drawn."""
        behind = self.behind[i]
        return (id(self.nodes[i]), "node") if behind is None else sinks.get(behind, behind)


def _order(back: NodeRef | None) -> int:
    """How often a reverse pass went through what a reverse pass had recorded."""
    order = 0
    while back is not None:
        order, node = order + 1, back()
        back = None if node is None else node.mark.back
    return order


def in_order(values: Sequence[Value], sinks: Mapping[int, int]) -> list[int] | None:
    """What is given and what stands for others, each after what it is computed from, and else as
    recorded; None if there is a cycle."""
    waits: dict[int, set[int]] = {i: set() for i in range(len(values)) if sinks.get(i, i) == i}
    for i, value in enumerate(values):
        own = sinks.get(i, i)
        waits[own] |= {sinks.get(use.source, use.source) for use in value.inputs} - {own}
    users: dict[int, list[int]] = {i: [] for i in waits}
    for i, sources in waits.items():
        for source in sources:
            users[source].append(i)
    left = {i: len(sources) for i, sources in waits.items()}
    ready = [i for i, count in left.items() if not count]
    order = []
    while ready:
        i = heappop(ready)
        order.append(i)
        for user in users[i]:
            left[user] -= 1
            if not left[user]:
                heappush(ready, user)
    return order if len(order) == len(waits) else None
