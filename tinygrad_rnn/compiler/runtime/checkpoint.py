"""Checkpointing: the binomial schedule, which chooses the states to keep.

The backward pass through n units has a few slots for states. It runs forward to some unit, keeps
the state there, and goes back through the units behind it. This frees the slot, and it goes back
through the units before it. The best place of the kept state is known in closed form.

Griewank & Walther (2000), "Algorithm 799: revolve", for the places; Gruslys et al. (2016),
"Memory-Efficient Backpropagation Through Time", for recurrent networks.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple


class Advance(NamedTuple):
    """Run forward through the units start..stop−1 from the kept state at `start`, and keep the
    state at `stop`."""

    start: int
    stop: int


class Reverse(NamedTuple):
    """Run the unit forward from the last kept state at or before it, and then go back through it.
    States kept behind it can be freed."""

    unit: int


def split(n: int, slots: int) -> int:
    """The number of units to run forward before keeping the next state, for the fewest runs in all.

    n: the units to go back through. slots: the states that may be kept, including the one at the
        start; at least two.
    """
    turns, reach = 0, 1  # the length that this number of forward runs per unit can reach
    while reach < n:
        turns += 1
        reach = reach * (turns + slots) // turns
    one = reach * turns // (slots + turns)
    two = one * slots // (slots + turns - 1)
    three = two * (slots - 1) // (slots + turns - 2) if slots > 2 else 1
    five = 0 if slots < 3 else three * (slots - 1) // turns if slots > 3 else 1
    if n <= one + three:
        return two * (turns - 1) // slots
    return one if n >= reach - five else n - two - three


def schedule(n: int, slots: int) -> Iterator[Advance | Reverse]:
    """All runs of units in order, from the last unit back to the first.

    n: the units. slots: the most states kept at one time, including the initial state. With one
        slot every unit is reached anew from the beginning.

    >>> from tinygrad_rnn.compiler.runtime.checkpoint import schedule
    >>> list(schedule(3, 2))
    [Advance(start=0, stop=1), Reverse(unit=2), Reverse(unit=1), Reverse(unit=0)]
    """
    waiting = [(0, n, slots)]  # stretches still to go back through, the next one last
    while waiting:
        start, stop, free = waiting.pop()
        if stop - start == 1 or free == 1:
            for unit in reversed(range(start, stop)):
                yield Reverse(unit)
            continue
        middle = start + max(1, split(stop - start, free))
        yield Advance(start, middle)
        waiting += [(start, middle, free), (middle, stop, free - 1)]
