"""The direction in which time runs: up, as in the textbook, or down, or to the right."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from viz.geometry import Point, mapped
from viz.layout import Layout
from viz.strokes import Stroke


def turned(point: Point, direction: str) -> Point:
    """The turned position of a point that was laid out with time running upwards. Turning twice
    gives the point back."""
    x, y = point
    return {"up": (x, y), "down": (x, -y), "right": (y, x)}[direction]


def turn(layout: Layout, lines: Sequence[Stroke], direction: str) -> None:
    """Turn a layout in which time runs upwards. A layout for "right" was made with the widths and
    heights of its shapes exchanged."""
    if direction == "up":
        return

    def to(point: Point) -> Point:
        return turned(point, direction)

    for i, place in enumerate(layout.places):
        x, y = to(place.centre)
        wide, high = place.half_width, place.half_height
        if direction == "right":
            wide, high = high, wide
        layout.places[i] = replace(place, x=x, y=y, half_width=wide, half_height=high)
    for stroke in lines:
        stroke.curve = mapped(stroke.curve, to)
        for curves in (stroke.pieces, stroke.cased, stroke.bars, stroke.rims):
            curves[:] = [mapped(curve, to) for curve in curves]
