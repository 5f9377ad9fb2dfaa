"""Windows as one chain: the copies of a step that `unroll` makes for its windows, drawn once.

For `Window` and `TBPTT` every loss has a reach of its own, so the steps before it run again for it.
The copies of a step compute the same numbers. They differ only in the losses that flow back through
them. So one copy is drawn, and its links say which losses pass and which are cut there.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
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
    """The values with one copy of each step. The inputs say for which losses they are cut."""
    served = serves(values)
    if not served:
        return list(values)
    copies: dict[int, list[int]] = defaultdict(list)
    drawn = _drawn(values)
    for i, kept in enumerate(drawn):
        copies[kept].append(i)
    moved = {kept: n for n, kept in enumerate(copies)}
    return [
        replace(
            values[kept],
            inputs=merged(
                use._replace(
                    source=moved[drawn[use.source]],
                    losses=behind(served.get(window_of(values[i]) or "", ()), values[i].step),
                )
                for i in alike
                for use in _inputs(values, i, kept)
            ),
            output=any(values[i].output for i in alike),
            copies=tuple(values[i].node for i in alike if i != kept),
        )
        for kept, alike in copies.items()
    ]


def _drawn(values: Sequence[Value]) -> list[int]:
    """For each value the copy of it that is drawn, which is the first one.

    Copies of a step agree in the names of their values, and a value with a name is computed in the
    same way in each, so the arguments before it agree too. What a copy computes of constants
    alone, such as a multiple of the state that enters a window, is a constant there.
    """
    drawn = list(range(len(values)))
    first: dict[tuple[object, ...], int] = {}
    counts: Counter[tuple[object, ...]] = Counter()
    for i, value in enumerate(values):
        if (window := window_of(value)) and value.name and not value.given:
            key = value.step, value.name
            drawn[i] = first.setdefault((*key, counts[window, *key]), i)
            counts[window, *key] += 1
    for i in reversed(range(len(values))):
        if drawn[i] == i:
            continue
        known = {use.argument: part.source for part in values[drawn[i]].inputs for use in part.uses}
        for part in values[i].inputs:
            if window_of(values[part.source]) == window_of(values[i]):
                for use in part.uses:
                    drawn[part.source] = min(
                        drawn[part.source], known.get(use.argument, len(values))
                    )
    return drawn


def _inputs(values: Sequence[Value], i: int, kept: int) -> Iterator[Input]:
    """The inputs of a copy of a value that is drawn. If the copy is a constant, the links from
    earlier steps are cut there."""
    constant = values[i].given and not values[kept].given
    for part in values[kept if constant else i].inputs:
        source = values[part.source]
        if not constant:
            yield part
        elif source.step != values[kept].step and not source.given:
            yield part._replace(weight=0.0, uses=())


def behind(losses: tuple[int, ...], step: int | None) -> tuple[int, ...]:
    """The losses at this step or later. An earlier loss does not reach the step."""
    return tuple(t for t in losses if step is None or t >= step)
