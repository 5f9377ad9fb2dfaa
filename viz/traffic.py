"""Traffic: the lines drawn already, and the conflicts of a new line with them."""

from __future__ import annotations

from typing import Any

import numpy as np

from viz.diagram import Link
from viz.geometry import ROUNDNESS, SPACING, Curve, between, distance, is_straight, meeting, sample

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
        count = self.count + start.shape[1]
        while count > self.pieces.shape[1]:
            self.pieces = np.concatenate([self.pieces, np.zeros_like(self.pieces)], axis=1)
        new = self.pieces[:, self.count : count]
        new[:4] = *np.minimum(start, stop), *np.maximum(start, stop)
        new[4:8] = *start, *stop
        new[8:] = [[link.source], [link.target]]
        self.count = count

    def trouble(self, curve: Curve, link: Link) -> tuple[float, int]:
        """How far a curve runs along other lines, in samples, and the number of its crossings.
        Lines that begin or end where the link does are not counted."""
        left, low, right, high, *_, source, target = self.pieces[:, : self.count]
        start, stop = _pieces(curve)
        lowest, highest = np.minimum(start, stop), np.maximum(start, stop)
        (begin, bottom), (end, top) = lowest.min(1) - NEAR, highest.max(1) + NEAR
        met = (left < end) & (right > begin) & (low < top) & (high > bottom)
        met &= (source != link.source) & (target != link.target)
        others = self.pieces[:, np.flatnonzero(met)]
        crossed = len(meeting(start.T, stop.T, others[4:6].T, others[6:8].T)[0])
        along = 0.0
        for axis in (0, 1):  # the pieces that run along this axis
            across = 1 - axis
            mine = np.flatnonzero(highest[across] - lowest[across] < 1e-9)
            beside = others[:, others[2 + across] - others[across] < 1e-9]
            off = np.abs(lowest[across, mine, None] - beside[across])
            shared = np.minimum(highest[axis, mine, None], beside[2 + axis])
            shared -= np.maximum(lowest[axis, mine, None], beside[axis])
            along += float(np.sum(np.maximum(shared, 0) * (off < NEAR)))
        return along / SPACING, crossed


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
    ends = np.concatenate(points).T
    return ends[:, :-1], ends[:, 1:]
