"""Topological order: everything after what leads into it."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from heapq import heapify, heappop, heappush


def in_order(into: Sequence[Collection[int]]) -> list[int]:
    """The places, each after those that lead into it, and otherwise as they come. Places on a cycle
    and places behind one are left out.

    >>> from viz.order import in_order
    >>> in_order([[2], [], [1], [3]])
    [1, 2, 0]
    """
    waiting = [len(sources) for sources in into]
    out: list[list[int]] = [[] for _ in into]
    for target, sources in enumerate(into):
        for source in sources:
            out[source].append(target)
    ready = [i for i, count in enumerate(waiting) if not count]
    heapify(ready)
    order = []
    while ready:
        i = heappop(ready)
        order.append(i)
        for target in out[i]:
            waiting[target] -= 1
            if not waiting[target]:
                heappush(ready, target)
    return order
