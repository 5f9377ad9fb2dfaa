"""Time in unmarked loops: a computation that repeats with the same parameters is a step.

A tape may have no marked steps. Then values whose names differ only in their number (h_1, h_2,
...), and that share a parameter in their computation, count as the same value at different times.
Without such names, loops are detected.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace

from viz.labels import Name
from viz.loops import steps_of_loops
from viz.snapshot import Value


def with_steps(values: Sequence[Value]) -> list[Value]:
    """The values with a step each, where it can be found; unchanged if steps are marked."""
    if any(value.step is not None for value in values):
        return list(values)
    alike: dict[str, dict[int, int]] = defaultdict(dict)
    for i, value in enumerate(values):
        name = Name.parse(value.name or "")
        if not value.given and name.subscript.isdigit():
            alike[name.role][int(name.subscript)] = i
    uses = _parameters_used(values)
    steps: dict[int, int] = {}
    for numbered in alike.values():
        if len(numbered) > 1 and frozenset.intersection(*(uses[i] for i in numbered.values())):
            steps |= {i: number - 1 for number, i in numbered.items()}
    _spread(values, steps)
    if not steps:
        steps = steps_of_loops(values)
    return [replace(v, step=steps[i]) if i in steps else v for i, v in enumerate(values)]


def _parameters_used(values: Sequence[Value]) -> list[frozenset[int]]:
    """For each value, the parameters between it and the named values from which it is computed."""
    uses: list[frozenset[int]] = []
    for value in values:
        found: set[int] = set()
        for use in value.inputs:
            source = values[use.source]
            if source.parameter:
                found.add(use.source)
            elif not source.name:
                found |= uses[use.source]
        uses.append(frozenset(found))
    return uses


def _spread(values: Sequence[Value], steps: dict[int, int]) -> None:
    """Give steps to unnamed values: a value computed only for values of one step belongs to that
    step."""
    wanted: dict[int, set[int | None]] = defaultdict(set)
    for i in reversed(range(len(values))):
        value = values[i]
        if i not in steps and not value.given and not value.name and len(wanted[i]) == 1:
            (step,) = wanted[i]
            if step is not None:
                steps[i] = step
        for use in value.inputs:
            wanted[use.source].add(steps.get(i))
