"""Windows as one chain: the copies of a step that `unroll` makes for its windows, drawn once.

For `Window` and `TBPTT` every loss has a reach of its own, so the steps before it run again for it.
The copies of a step compute the same numbers. They differ only in the losses that flow back through
them. So one copy is drawn, and its links say which losses pass and which are cut there.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace

from viz.snapshot import Input, Value, merged

WINDOW = "window "


def window_of(value: Value) -> str | None:
    """The window that a value belongs to, if a truncation made one."""
    return next((name for name in value.scope if name.startswith(WINDOW)), None)


def serves(values: Sequence[Value]) -> dict[str, tuple[int, ...]]:
    """For each window, the steps whose losses it serves: the steps that no earlier window has
    run."""
    steps: dict[str, set[int]] = defaultdict(set)
    for value in values:
        if (window := window_of(value)) and value.step is not None:
            steps[window].add(value.step)
    seen: set[int] = set()
    served: dict[str, tuple[int, ...]] = {}
    for window in sorted(steps, key=lambda name: min(steps[name] - seen, default=-1)):
        served[window] = tuple(sorted(steps[window] - seen))
        seen |= steps[window]
    return served


def one_chain(values: Sequence[Value]) -> list[Value]:
    """The values with one copy of each step. The inputs say for which losses they are cut.

    The copies of a value are matched by their place in the step, because the cell is the same in
    each.
    """
    served = serves(values)
    if not served:
        return list(values)
    first: dict[tuple[int | None, int], int] = {}  # the drawn copy, by step and place
    counts: dict[tuple[str, int | None], int] = defaultdict(int)
    drawn: dict[int, int] = {}
    for i, value in enumerate(values):
        window = window_of(value)
        drawn[i] = i
        if window and not value.given:
            place = counts[window, value.step]
            counts[window, value.step] += 1
            drawn[i] = first.setdefault((value.step, place), i)
    copies: dict[int, list[int]] = defaultdict(list)
    for i, kept in drawn.items():
        copies[kept].append(i)
    moved = {kept: n for n, kept in enumerate(copies)}
    return [
        replace(
            values[kept],
            inputs=merged(
                Input(
                    moved[drawn[use.source]],
                    use.weight,
                    use.says,
                    use.uses,
                    behind(served.get(window_of(values[i]) or "", ()), values[i].step),
                )
                for i in alike
                for use in values[i].inputs
            ),
            output=any(values[i].output for i in alike),
            copies=tuple(values[i].node for i in alike if i != kept),
        )
        for kept, alike in copies.items()
    ]


def behind(losses: tuple[int, ...], step: int | None) -> tuple[int, ...]:
    """The losses at this step or later. An earlier loss does not reach the step."""
    return tuple(t for t in losses if step is None or t >= step)
