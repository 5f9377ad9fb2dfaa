"""What is drawn already, and how much a new line would run along it and cross it."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np

from viz.diagram import Link
from viz.geometry import Measure, meeting

TRACK = 3.5  # between lines in one channel
CELL = TRACK - 0.5  # lines that are nearer run along one another


class Drawn:
    """What is drawn already: the points of the lines, and their straight pieces."""

    def __init__(self) -> None:
        self.points, self.pieces = _Rows(2), _Rows(4)
        self.of_points, self.of_pieces = _Rows(3), _Rows(2)  # the ends of their links, a number
        self.count = 0

    def add(self, link: Link, measure: Measure) -> None:
        ends = [[link.source, link.target]]
        pieces = np.concatenate([measure.points[:-1], measure.points[1:]], axis=1)
        self.points.add(measure.dense)
        self.of_points.add(np.repeat([[*ends[0], self.count]], len(measure.dense), axis=0))
        self.count += 1
        self.pieces.add(pieces)
        self.of_pieces.add(np.repeat(ends, len(pieces), axis=0))

    def trouble(self, own: Measure, link: Link) -> tuple[int, int]:
        """At how many of its points it runs along other lines, and how often it crosses one; those
        do not count that begin or end where the link does."""
        ends = link.source, link.target
        points, pieces = self.points.rows, self.pieces.rows
        low, high = own.low - CELL, own.high + CELL
        near = np.flatnonzero(np.all((points > low) & (points < high), axis=1))
        near = near[np.all(self.of_points.rows[near, :2] != ends, axis=1)]
        along = 0
        starts = np.searchsorted(own.dense_places, own.places)
        starts[-1] += 1
        for (a, b), (first, last) in zip(pairwise(own.points), pairwise(starts), strict=True):
            low, high = np.minimum(a, b) - CELL, np.maximum(a, b) + CELL
            beside = near[np.all((points[near] > low) & (points[near] < high), axis=1)]
            if len(beside):
                along += _close(
                    own.dense[first:last], points[beside], self.of_points.rows[beside, 2]
                )
        low, high = own.low, own.high
        reach = np.minimum(pieces[:, :2], pieces[:, 2:]) <= high
        reach &= np.maximum(pieces[:, :2], pieces[:, 2:]) >= low
        crossed = np.flatnonzero(np.all(reach, axis=1))
        crossed = crossed[np.all(self.of_pieces.rows[crossed] != ends, axis=1)]
        start, stop = pieces[crossed, :2], pieces[crossed, 2:]
        return along, len(meeting(own.points[:-1], own.points[1:], start, stop)[0])


def _close(own: Any, others: Any, lines: Any) -> int:
    """How many of its own points are close to another line's, counted for each of those lines.

    own: on a straight piece. others: what is in the box around it. lines: their numbers, sorted.
    """
    level = np.ptp(own, axis=0) < 1e-9
    if len(own) == 1 or not level.any():
        near = np.abs(own[:, None] - others).max(-1) < CELL
        begins = np.flatnonzero(np.diff(lines, prepend=-1))
        return int(np.sum(np.logical_or.reduceat(near, begins, axis=1)))
    axis = int(level[0])  # along which the piece runs
    own, others = np.sort(own[:, axis]), others[:, axis]
    order = np.lexsort((others, lines))
    others, lines = others[order], lines[order]
    first = np.searchsorted(own, others - CELL, "right")
    last = np.searchsorted(own, others + CELL, "left")
    same = (
        np.diff(lines, prepend=-1) == 0
    )  # as the point before: what both are close to counts once
    reached = np.where(same, np.roll(last, 1), 0)
    return int(np.sum(np.maximum(last - np.maximum(first, reached), 0)))


class _Rows:
    """Rows of numbers that grow."""

    def __init__(self, width: int) -> None:
        self.all, self.count = np.zeros((256, width)), 0

    def add(self, rows: Any) -> None:
        while self.count + len(rows) > len(self.all):
            self.all = np.concatenate([self.all, np.zeros_like(self.all)])
        self.all[self.count : self.count + len(rows)] = rows
        self.count += len(rows)

    @property
    def rows(self) -> Any:
        return self.all[: self.count]
