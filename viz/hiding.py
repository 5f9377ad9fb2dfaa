"""Hiding of values: computed values lose their boxes, given values disappear."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import replace
from fnmatch import fnmatchcase

from viz.labels import Name
from viz.snapshot import Value


def hidden(values: Sequence[Value], patterns: Sequence[str]) -> list[Value]:
    """The values without those that match a pattern.

    patterns: names, or the parts that the names of all steps share, with * as a wildcard: "o_2",
        "o", "b_*". A computed value becomes part of the circles that use it. An output stays.
    A pattern that matches no name is warned of, at the line of the user's code.
    """
    if not patterns:
        return list(values)
    named = [value for value in values if value.name]
    for pattern in patterns:
        if not any(_matches(value, pattern) for value in named):
            warnings.warn(
                f"hide={pattern!r} matches no name in the picture, so it hides nothing",
                UserWarning,
                stacklevel=5,
            )

    def fits(value: Value) -> bool:
        return not value.output and any(_matches(value, pattern) for pattern in patterns)

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


def _matches(value: Value, pattern: str) -> bool:
    names = {value.name, Name.parse(value.name).role.removesuffix("^")} if value.name else set()
    return any(fnmatchcase(name, pattern) for name in names)
