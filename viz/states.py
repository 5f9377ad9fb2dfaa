"""States without names: a value that one step computes and a later step reads gets a box.

Such a state gets a name: s_1, s_2, ... An accumulated sum, such as a loss, is no state.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from itertools import chain, count

from viz.labels import Name
from viz.scopes import part_of
from viz.snapshot import SUMS, Value

LETTERS = "srqpuvwz"


def with_states(values: Sequence[Value]) -> list[Value]:
    """The values, with names for the states that have none. Two states in the same place of their
    steps get the same name."""
    places = _places(values)
    users: dict[int, list[int]] = defaultdict(list)
    for i, value in enumerate(values):
        for use in value.inputs:
            users[use.source].append(i)
    states: dict[object, None] = {}
    for i, place in places.items():
        steps = {values[k].step for k in users[i]} - {None, values[i].step}
        summed = values[i].function in SUMS and all(places.get(k) == place for k in users[i])
        if steps and not summed and not values[i].output:
            states[place] = None
    if not states:
        return list(values)
    taken = {Name.parse(value.name).stem for value in values if value.name}
    letters = chain((c for c in LETTERS if c not in taken), (f"s^{n}" for n in count(1)))
    stems = dict(zip(states, letters, strict=False))
    return [
        replace(value, name=f"{stems[place]}_{value.step + 1}")
        if (place := places.get(i)) in stems and value.step is not None and not value.output
        else value
        for i, value in enumerate(values)
    ]


def _places(values: Sequence[Value]) -> dict[int, object]:
    """For each unnamed value computed in a step: its part, its place among the values that the step
    computes there, and how it is made."""
    counts: dict[tuple[str | None, int], int] = defaultdict(int)
    places: dict[int, object] = {}
    for i, value in enumerate(values):
        if value.given or value.step is None:
            continue
        part = part_of(value)
        if value.name is None and not value.passes and value.back is None:
            places[i] = part, counts[part, value.step], value.function, value.shape
        counts[part, value.step] += 1
    return places
