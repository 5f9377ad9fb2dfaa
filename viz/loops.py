"""Time steps in loops without names: parts of the tape that repeat with the same parameters.

A loop is a part of the tape that repeats itself. Each iteration uses a parameter and reads results
of the iteration before: only then is the loop a recurrence. Each iteration is a step. A loop that
needs another loop's results comes after it. A loop that does not runs beside it. It runs backwards
in time if a third loop pairs their results in that way.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

from viz.snapshot import SUMS, Value

MOST = 64  # the most places of a repeated token that are tried


@dataclass
class Loop:
    """A loop among the computed values: `count` iterations of `period` values, from `start` on.

    rows: the row of each iteration.
    """

    start: int
    period: int
    count: int
    rows: list[int] = field(default_factory=list)

    def round(self, place: int) -> int | None:
        """The iteration that a place belongs to."""
        number = (place - self.start) // self.period
        return number if 0 <= number < self.count else None


def steps_of_loops(values: Sequence[Value]) -> dict[int, int]:
    """The step of each value that a loop computes; none where there is no recurrence."""
    computed = [i for i, value in enumerate(values) if not value.given]
    place = {i: n for n, i in enumerate(computed)}
    inputs = [[place.get(use.source, -1) for use in values[i].inputs] for i in computed]
    loops = _loops(values, computed)
    recurrent = [loop for loop in loops if _recurs(loop, inputs, [values[i] for i in computed])]
    _give_rows(recurrent, inputs)
    for loop in loops:
        if loop not in recurrent:
            _pair(loop, recurrent, inputs)
    return {
        computed[loop.start + n]: loop.rows[n // loop.period]
        for loop in recurrent
        for n in range(loop.period * loop.count)
    }


def _loops(values: Sequence[Value], computed: Sequence[int]) -> list[Loop]:
    """The loops that use a parameter, from the first to the last."""
    uses: dict[tuple[int, str | None], int] = defaultdict(int)
    for i in computed:
        for use in values[i].inputs:
            uses[use.source, values[i].function] += values[use.source].parameter
    number: dict[tuple[object, ...], int] = {}
    tokens, tied = [], [0]
    for i in computed:
        value = values[i]
        shared = sorted(u.source for u in value.inputs if uses[u.source, value.function] > 1)
        tokens.append(number.setdefault((value.function, value.shape, *shared), len(number)))
        tied.append(tied[-1] + bool(shared))
    again: dict[int, list[int]] = defaultdict(list)
    for n, token in enumerate(tokens):
        again[token].append(n)
    if tied[-1] < 2:
        return []
    found: list[Loop] = []
    here, seen = 0, dict.fromkeys(again, 0)
    while here < len(tokens):
        loop = None
        later = again[tokens[here]]
        while later[seen[tokens[here]]] <= here and seen[tokens[here]] < len(later) - 1:
            seen[tokens[here]] += 1
        for n in later[seen[tokens[here]] : seen[tokens[here]] + MOST]:
            period = n - here
            if period > 0 and tied[n] > tied[here]:
                count = 1 + _alike(tokens, here, n) // period
                if count > 1:
                    loop = Loop(here, period, count)
                    break
        if loop is not None:
            found.append(loop)
        here += loop.period * loop.count if loop else 1
    return found


def _alike(tokens: Sequence[int], a: int, b: int) -> int:
    """The number of equal tokens from a on and from b on."""
    count = 0
    while b + count < len(tokens) and tokens[a + count] == tokens[b + count]:
        count += 1
    return count


def _recurs(loop: Loop, inputs: Sequence[Sequence[int]], made: Sequence[Value]) -> bool:
    """Whether the second iteration reads results of the first one, other than to add them up."""
    for n in range(loop.start + loop.period, loop.start + 2 * loop.period):
        for source in inputs[n]:
            summed = source == n - loop.period and made[n].function in SUMS
            if loop.round(source) == 0 and not summed:
                return True
    return False


def _give_rows(loops: Sequence[Loop], inputs: Sequence[Sequence[int]]) -> None:
    """Give rows to the loops. A loop that needs another loop's results has its rows above it."""
    needs: list[set[int]] = [set() for _ in inputs]  # the loops before each place
    first = 0
    for number, loop in enumerate(loops):
        known: set[int] = set()
        for n in range(first, loop.start + loop.period * loop.count):
            for source in inputs[n]:
                if source >= 0:
                    needs[n] |= needs[source]
            if n >= loop.start:
                known |= needs[n]
                needs[n].add(number)
        first = loop.start + loop.period * loop.count
        begin = max((max(loops[k].rows) + 1 for k in known if k != number), default=0)
        loop.rows = list(range(begin, begin + loop.count))


def _pair(loop: Loop, others: Sequence[Loop], inputs: Sequence[Sequence[int]]) -> None:
    """Pair two loops. A third loop that reads one iteration of each tells which iterations belong
    together. The later loop gets the rows of the earlier one."""
    read: list[dict[int, set[int]]] = [defaultdict(set) for _ in range(loop.count)]
    for n in range(loop.period * loop.count):
        for source in inputs[loop.start + n]:
            for number, other in enumerate(others):
                if (round_ := other.round(source)) is not None:
                    read[n // loop.period][number].add(round_)
    numbers = sorted(read[0])
    if len(numbers) != 2 or any(
        sorted(r) != numbers or any(len(rounds) != 1 for rounds in r.values()) for r in read
    ):
        return
    one, two = (others[n] for n in numbers)
    pairs = {min(r[numbers[1]]): one.rows[min(r[numbers[0]])] for r in read}
    if set(pairs) == set(range(two.count)) and set(two.rows) == set(pairs.values()):
        two.rows = [pairs[k] for k in range(two.count)]
