"""Traffic: the lines drawn already, and the conflicts of a new line with them."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np

from viz.diagram import Link
from viz.geometry import Measure, meeting

TRACK = 3.5  # between lines in one channel
CELL = TRACK - 0.5  # nearer lines count as running along one another


class Drawn:
    """The lines drawn already: their points, and their straight pieces, by columns."""

    def __init__(self) -> None:
        self.points = _Columns(5)  # x, y, the ends of their links, the number of their line
        self.pieces = _Columns(6)  # the corners around them, low and high, and the ends
        self.starts = _Columns(4)  # where they start and stop
        self.count = 0

    def add(self, link: Link, measure: Measure) -> None:
        x, y = measure.dense.T
        self.points.add(x, y, link.source, link.target, self.count)
        start, stop = measure.points[:-1].T, measure.points[1:].T
        self.starts.add(*start, *stop)
        low, high = np.minimum(start, stop), np.maximum(start, stop)
        self.pieces.add(*low, *high, link.source, link.target)
        self.count += 1

    def trouble(self, own: Measure, link: Link) -> tuple[int, int]:
        """The number of a curve's points at which it runs along other lines, and the number of its
        crossings. Lines that begin or end where the link does are not counted."""
        (left, low), (right, high) = own.low, own.high
        x, y, source, target, line = self.points.columns
        near = (x > left - CELL) & (x < right + CELL) & (y > low - CELL) & (y < high + CELL)
        near &= (source != link.source) & (target != link.target)
        places = np.flatnonzero(near)
        x, y, line = x[places], y[places], line[places]
        along = 0
        starts = np.searchsorted(own.dense_places, own.places)
        starts[-1] += 1
        for (a, b), (first, last) in zip(pairwise(own.points), pairwise(starts), strict=True):
            (left_, low_), (right_, high_) = np.minimum(a, b) - CELL, np.maximum(a, b) + CELL
            beside = np.flatnonzero((x > left_) & (x < right_) & (y > low_) & (y < high_))
            if len(beside):
                others = np.stack([x[beside], y[beside]], axis=1)
                along += _close(own.dense[first:last], others, line[beside])
        x, y, x_end, y_end, source, target = self.pieces.columns
        met = (x <= right) & (y <= high) & (x_end >= left) & (y_end >= low)
        met &= (source != link.source) & (target != link.target)
        crossed = self.starts.columns[:, np.flatnonzero(met)].T
        pieces = own.points[:-1], own.points[1:]
        return along, len(meeting(*pieces, crossed[:, :2], crossed[:, 2:])[0])


def _close(own: Any, others: Any, lines: Any) -> int:
    """The number of own points that are close to another line's points, for each of those lines.

    own: points on a straight piece. others: the points in the box around it. lines: the numbers of
        their lines, sorted.
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
    same = np.diff(lines, prepend=-1) == 0  # as the point before: what is close to both counts once
    reached = np.where(same, np.roll(last, 1), 0)
    return int(np.sum(np.maximum(last - np.maximum(first, reached), 0)))


class _Columns:
    """Growing columns of numbers."""

    def __init__(self, width: int) -> None:
        self.all, self.count = np.zeros((width, 256)), 0

    def add(self, *columns: Any) -> None:
        """Add rows. A single number is repeated in each of them."""
        more = len(columns[0])
        while self.count + more > self.all.shape[1]:
            self.all = np.concatenate([self.all, np.zeros_like(self.all)], axis=1)
        for own, column in zip(self.all, columns, strict=True):
            own[self.count : self.count + more] = column
        self.count += more

    @property
    def columns(self) -> Any:
        return self.all[:, : self.count]
