"""Contraction: an array of all steps becomes an array of one step.

This is possible if a single loop uses the array, and each step reads only what it has written
itself. The array then stays in the cache.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from functools import partial

import numpy as np

from tinygrad_rnn.compiler.backends.native.nests import Memory, Nest, Place, Span
from tinygrad_rnn.compiler.ir import Buffer, Storage


def contracted(nests: Sequence[Nest], seen: Collection[Buffer], memory: Memory) -> list[Nest]:
    """The nests, with smaller arrays where possible. seen: the arrays that NumPy uses, too."""
    users: dict[Buffer, list[int]] = {}
    for n, nest in enumerate(nests):
        for place in {p for work in nest.works for p, _ in work.places()}:
            users.setdefault(place.root, []).append(n)
    found = list(nests)
    for root, numbers in users.items():
        n, *others = set(numbers)
        if not others and root not in seen and fits(root, nests[n], memory):
            small = replace(root, time=None, storage=Storage.SCRATCH)
            found[n] = found[n].with_places(partial(of_a_step, root=root, small=small))
    return found


def fits(root: Buffer, nest: Nest, memory: Memory) -> bool:
    """Whether the steps of a nest use the array one after the other, each its own entry."""
    places = {p for work in nest.works for p, _ in work.places() if p.root is root}
    entry = int(np.prod(root.shape))
    return (
        root.storage in (Storage.SCRATCH, Storage.RESULT)
        and root.time == 0
        and nest.count == Span(1, 0)
        and not nest.steps_are_rows
        and all(abs(p.step) == entry > 0 and p.offset.slope in (0, entry) for p in places)
        and not any(memory.crosses(p, q) for p in places for q in places)
        and not nest.is_sum
    )


def of_a_step(place: Place, root: Buffer, small: Buffer) -> Place:
    """The same place in the array of one step."""
    if place.root is not root:
        return place
    inner = place.offset.fixed % int(np.prod(root.shape))
    return place._replace(root=small, offset=Span(0, inner), step=0)
