"""Obstacles: the shapes that a link must not touch, found by place."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from itertools import product

import numpy as np

from viz.curves import AHEAD, RADIUS, meets, within
from viz.diagram import Link
from viz.geometry import Curve, Point, is_straight, sample
from viz.layout import Placed

CELL = 60.0  # of the squares in which shapes are found
CLEARANCE = 1.4  # between a line and the shapes that it passes


class Obstacles:
    """All shapes. The ends of a link are no obstacles for it."""

    def __init__(self, places: Sequence[Placed]) -> None:
        self.places = places
        self.round = np.array([p.kind == "circle" for p in places])
        self.centre = np.array([p.centre for p in places])
        self.half = np.array([(p.half_width, p.half_height) for p in places])
        self.cells: dict[tuple[int, ...], list[int]] = defaultdict(list)  # the shapes in a square
        first = ((self.centre - self.half) // CELL).astype(int).tolist()
        last = ((self.centre + self.half) // CELL).astype(int).tolist()
        for i, (low, high) in enumerate(zip(first, last, strict=True)):
            for cell in product(*(range(a, b + 1) for a, b in zip(low, high, strict=True))):
                self.cells[cell].append(i)
        self.standing: dict[tuple[int, float], list[tuple[float, float, int]]] = {}

    def are_clear_of(self, curve: Curve, link: Link) -> bool:
        """Whether the curve keeps a distance from every other shape, and from its own ends."""
        for cubic in curve:
            near = self._around(cubic)
            straight = is_straight(cubic)
            points = sample([cubic]) if near and not straight else ()
            for i in near:
                margin = -0.1 if i in (link.source, link.target) else CLEARANCE
                if straight:
                    if meets(self.places[i], cubic[0], cubic[3], margin):
                        return False
                elif np.any(within(self.places[i], points, margin)):
                    return False
        return True

    def _around(self, points: Sequence[Point]) -> list[int]:
        """The shapes that are near the corners of these points."""
        xs, ys = zip(*points, strict=True)
        left, right = min(xs) - CLEARANCE, max(xs) + CLEARANCE
        low, high = min(ys) - CLEARANCE, max(ys) + CLEARANCE
        found: set[int] = set()
        for column in range(int(left // CELL), int(right // CELL) + 1):
            for row in range(int(low // CELL), int(high // CELL) + 1):
                found.update(self.cells.get((column, row), ()))
        return [
            i
            for i in found
            for p in (self.places[i],)
            if left < p.x + p.half_width
            and p.x - p.half_width < right
            and low < p.y + p.half_height
            and p.y - p.half_height < high
        ]

    def stretch(self, y: float, x: float, link: Link) -> tuple[float, float]:
        """How far to the left and to the right a level line can go from its first corner."""
        left, right = -math.inf, math.inf
        for low, high, i in self._standing(1, y):
            if i not in (link.source, link.target):
                if high > x + AHEAD + RADIUS:
                    right = min(right, max(low, x + AHEAD + RADIUS) + RADIUS)
                if low < x - AHEAD - RADIUS:
                    left = max(left, min(high, x - AHEAD - RADIUS) - RADIUS)
        return left, right

    def leave_open(self, axis: int, at: float, start: float, stop: float, link: Link) -> bool:
        """Whether no shape stands on a straight line between its rounded corners.

        axis: 0 for a vertical line at x = at, 1 for a level one at y = at.
        """
        low, high = min(start, stop) + RADIUS, max(start, stop) - RADIUS
        return low >= high or not any(
            first < high and low < last and i != link.source and i != link.target
            for first, last, i in self._standing(axis, at)
        )

    def _standing(self, axis: int, at: float) -> list[tuple[float, float, int]]:
        """The shapes on a line, each with the stretch of the line that it takes."""
        if (axis, at) in self.standing:
            return self.standing[axis, at]
        off = np.abs(self.centre[:, axis] - at)
        half = self.half + CLEARANCE
        found = np.flatnonzero(off < half[:, axis])
        across, along = half[found, axis], half[found, 1 - axis]
        chord = np.sqrt(np.maximum(across**2 - off[found] ** 2, 0))
        along = np.where(self.round[found], chord, along)
        middle = self.centre[found, 1 - axis]
        stretches = (middle - along).tolist(), (middle + along).tolist(), found.tolist()
        self.standing[axis, at] = list(zip(*stretches, strict=True))
        return self.standing[axis, at]
