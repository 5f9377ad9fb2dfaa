"""Parts of a network that `tg.scope` names, and the order of their steps.

Each part counts its steps from 0. A part that is computed from another part, such as a decoder from
its encoder, comes later and stands above it. Parts that are computed from the same inputs, such as
the two chains of a bidirectional network, have each step in the row of its input.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace

from viz.labels import Name
from viz.snapshot import Value
from viz.windows import WINDOW


def part_of(value: Value) -> str | None:
    """The outermost scope of a value, without the scopes that truncations make."""
    return next((name for name in value.scope if not name.startswith(WINDOW)), None)


def parts_of(values: Sequence[Value]) -> list[str]:
    """The parts that have steps, in recorded order; none if there is only one."""
    found = dict.fromkeys(
        part
        for value in values
        if (part := part_of(value)) and value.step is not None and not value.given
    )
    return list(found) if len(found) > 1 else []


def retimed(values: Sequence[Value]) -> list[Value]:
    """The values with the rows as their steps, where several parts have steps of their own."""
    parts = parts_of(values)
    if not parts:
        return list(values)
    rows = {part: _by_inputs(values, part) for part in parts}
    offsets = _offsets(values, parts)
    shift = [0] * len(values)
    steps: list[int | None] = []
    for i, value in enumerate(values):
        part = part_of(value)
        if part in offsets:
            shift[i] = offsets[part]
        elif part is None and not value.given:  # a loss outside of all parts goes with its state
            shift[i] = max((shift[use.source] for use in value.inputs), default=0)
        step = value.step
        if step is not None and part is not None and rows.get(part):
            step = rows[part].get(step, step)
        steps.append(None if step is None else step + shift[i])
    return [replace(value, step=step) for value, step in zip(values, steps, strict=True)]


def _offsets(values: Sequence[Value], parts: Sequence[str]) -> dict[str, int]:
    """The offset from the counted steps of each part to its rows."""
    reached: list[set[str]] = []
    before: dict[str, set[str]] = defaultdict(set)
    last: dict[str, int] = defaultdict(int)
    for value in values:
        part = part_of(value)
        known = set().union(*(reached[use.source] for use in value.inputs))
        if part in parts and part is not None:
            before[part] |= known - {part}
            if value.step is not None:
                last[part] = max(last[part], value.step + 1)
            known = known | {part}
        reached.append(known)
    offsets: dict[str, int] = {}
    for part in parts:
        earlier = [p for p in before[part] if p in offsets and part not in before[p]]
        offsets[part] = max((offsets[p] + last[p] for p in earlier), default=0)
    return offsets


def _by_inputs(values: Sequence[Value], part: str) -> dict[int, int]:
    """The row of each step of a part that reads the inputs of others in another order."""
    rows: dict[int, int] = {}
    for value in values:
        if part_of(value) != part or value.step is None:
            continue
        for use in value.inputs:
            source = values[use.source]
            number = Name.parse(source.name or "").step
            if source.given and not source.parameter and number and part_of(source) != part:
                rows.setdefault(value.step, number - 1)
    steps = {v.step for v in values if part_of(v) == part and v.step is not None}
    return rows if set(rows) == steps and set(rows.values()) == steps else {}
