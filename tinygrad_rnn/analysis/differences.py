"""Central differences of a function, to check a gradient against them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

EVERY_ENTRY = 64
"""Up to this size each entry of an argument is varied. Above, random directions are used."""

DIRECTIONS = 8

STEP = 1e-5
"""Half of the difference's width, for entries of size 1."""

TOLERANCE = 1e-6
"""The largest relative difference (absolute, below 1), in addition to the rounding error."""


def compare(
    gradient: Any,
    value_at: Callable[[Any], float],
    point: Any,
    label: Callable[[str], str],
    rng: np.random.Generator,
    tolerance: float = TOLERANCE,
) -> None:
    """AssertionError if `gradient` is not the gradient of `value_at` at `point`.

    label: the function that describes the comparison, given a text for the direction.
    """
    value = abs(value_at(point))
    for where, direction in directions(point, rng):
        width = STEP * max(1.0, float(np.max(np.abs(point * (direction != 0)))))
        above, below = value_at(point + width * direction), value_at(point - width * direction)
        difference = (above - below) / (2 * width)
        found = float(np.sum(gradient * direction))
        rounding = 8 * np.finfo(np.float64).eps * value / width
        if not abs(found - difference) <= tolerance * max(1, abs(difference)) + rounding:
            raise AssertionError(
                f"{label(where)}, is {found:.10g} by differentiation but {difference:.10g} by "
                f"differences"
            )


def directions(point: Any, rng: np.random.Generator) -> list[tuple[str, Any]]:
    """Directions to move a point: along each entry, or random ones if there are many entries."""
    if point.size <= EVERY_ENTRY:
        along = np.eye(point.size).reshape(point.size, *point.shape)
        return [(f"entry {e}", d) for e, d in zip(np.ndindex(point.shape), along, strict=True)]
    along = rng.standard_normal((DIRECTIONS, *point.shape))
    return [(f"random direction {i}", d) for i, d in enumerate(along)]


def too_coarse(name: str, dtype: Any) -> TypeError:
    """The error for dtypes below float64, where rounding errors dominate the differences."""
    return TypeError(
        f"{name} is {dtype}, but only float64 is precise enough to check a gradient by "
        f"differences; convert it with .astype(np.float64)"
    )
