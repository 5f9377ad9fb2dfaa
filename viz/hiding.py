"""Hiding of values: computed values lose their boxes, given values disappear."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from fnmatch import fnmatchcase

from viz.labels import Name
from viz.snapshot import Value


def hidden(values: Sequence[Value], patterns: Sequence[str]) -> list[Value]:
    """The values without those that match a pattern.

    patterns: names, or the parts that the names of all steps share, with * as a wildcard: "o_2",
        "o", "b_*". A computed value becomes part of the circles that use it. An output stays.
    """
    if not patterns:
        return list(values)

    def fits(value: Value) -> bool:
        if not value.name or value.output:
            return False
        known = {value.name, Name.parse(value.name).role.removesuffix("^")}
        return any(fnmatchcase(name, pattern) for name in known for pattern in patterns)

    kept = [i for i, value in enumerate(values) if not (value.given and fits(value))]
    moved = {i: n for n, i in enumerate(kept)}
    return [
        replace(
            values[i],
            name=None if fits(values[i]) else values[i].name,
            inputs=tuple(
                use._replace(source=moved[use.source])
                for use in values[i].inputs
                if use.source in moved
            ),
        )
        for i in kept
    ]
