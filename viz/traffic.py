"""Traffic: the lines drawn already, and the conflicts of a new line with them."""

from __future__ import annotations

from typing import Any

import numpy as np

from viz.diagram import Link
from viz.geometry import (
    ROUNDNESS,
    SPACING,
    Curve,
    between,
    crossing,
    distance,
    is_straight,
    neighbours,
    sample,
)

TRACK = 3.5  # between lines in one channel
NEAR = TRACK - 0.5  # nearer lines count as running along one another
CORNER = 15.0  # shorter curves are corners


class Drawn:
    """The lines drawn already, as straight pieces."""

    def __init__(self) -> None:
        self.pieces = np.zeros((10, 256))  # left, low, right, high; start, stop; source, target
        self.count = 0

    def add(self, link: Link, curve: Curve) -> None:
        start, stop = _pieces(curve)
        count = self.count + len(start)
        while count > self.pieces.shape[1]:
            self.pieces = np.concatenate([self.pieces, np.zeros_like(self.pieces)], axis=1)
        new = self.pieces[:, self.count : count]
        new[:8] = np.hstack([np.minimum(start, stop), np.maximum(start, stop), start, stop]).T
        new[8:] = [[link.source], [link.target]]
        self.count = count

    def trouble(self, curve: Curve, link: Link) -> tuple[float, int]:
        """How far a curve runs along other lines, in samples, and the number of its crossings.
        Lines that begin or end where the link does are not counted."""
        start, stop = _pieces(curve)
        left, low = np.minimum(start.min(0), stop.min(0)) - NEAR
        right, high = np.maximum(start.max(0), stop.max(0)) + NEAR
        first, bottom, last, top, *_, source, target = self.pieces[:, : self.count]
        met = (first < right) & (last > left) & (bottom < high) & (top > low)
        met &= (source != link.source) & (target != link.target)
        others = self.pieces[4:8, np.flatnonzero(met)].T
        k, m = neighbours(start, stop, others[:, :2], others[:, 2:], NEAR)
        p, p_end, q, q_end = start[k], stop[k], others[m, :2], others[m, 2:]
        crossed = int(np.sum(crossing(p, p_end, q, q_end)[0]))
        shared = np.minimum(np.maximum(p, p_end), np.maximum(q, q_end))
        shared -= np.maximum(np.minimum(p, p_end), np.minimum(q, q_end))
        level = (np.abs(p_end - p) < 1e-9) & (np.abs(q_end - q) < 1e-9)
        along = np.maximum(shared[:, ::-1], 0)[level]  # along the one axis, level on the other
        return float(np.sum(along)) / SPACING, crossed


def _pieces(curve: Curve) -> tuple[Any, Any]:
    """The ends of the straight pieces of a curve, with the corners that are rounded."""
    points: list[Any] = [curve[0][:1]]
    for cubic in curve:
        if is_straight(cubic):
            points.append(cubic[3:])
        elif distance(cubic[0], cubic[3]) < CORNER:
            points.append((between(cubic[0], cubic[1], 1 / ROUNDNESS), cubic[3]))
        else:
            points.append(sample([cubic])[1:])
    ends = np.concatenate(points)
    return ends[:-1], ends[1:]
