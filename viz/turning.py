"""The direction in which time runs: up, as in the textbook, or down, or to the right."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from viz.geometry import Cubic, Curve, Point
from viz.layout import Layout
from viz.strokes import Stroke

DIRECTIONS = ("up", "right", "down")


def turn(layout: Layout, lines: Sequence[Stroke], direction: str) -> None:
    """Turn everything that was laid out with time running upwards. A layout for "right" was made
    with the widths and heights of its shapes exchanged."""
    if direction == "up":
        return
    exchanged = direction == "right"

    def moved(point: Point) -> Point:
        return (point[1], point[0]) if exchanged else (point[0], -point[1])

    for i, place in enumerate(layout.places):
        x, y = moved(place.centre)
        wide, high = place.half_width, place.half_height
        if exchanged:
            wide, high = high, wide
        layout.places[i] = replace(place, x=x, y=y, half_width=wide, half_height=high)
    for stroke in lines:
        stroke.curve = _mapped(stroke.curve, moved)
        for curves in (stroke.pieces, stroke.cased, stroke.bars, stroke.rims):
            curves[:] = [_mapped(curve, moved) for curve in curves]


def _mapped(curve: Curve, moved: Callable[[Point], Point]) -> Curve:
    def of(cubic: Cubic) -> Cubic:
        a, b, c, d = map(moved, cubic)
        return a, b, c, d

    return [of(cubic) for cubic in curve]
