"""Points and Bézier curves: just what routing a line around boxes and circles takes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any, TypeAlias

import numpy as np

Point: TypeAlias = tuple[float, float]
Cubic: TypeAlias = tuple[Point, Point, Point, Point]
Curve: TypeAlias = list[Cubic]

SPACING = 3.0  # between the samples of a curve, in points


def line(a: Point, b: Point) -> Cubic:
    """The straight line as a cubic."""
    return a, between(a, b, 1 / 3), between(a, b, 2 / 3), b


def between(a: Point, b: Point, share: float) -> Point:
    return a[0] + share * (b[0] - a[0]), a[1] + share * (b[1] - a[1])


def distance(a: Point, b: Point) -> float:
    return float(np.hypot(b[0] - a[0], b[1] - a[1]))


def toward(a: Point, b: Point, length: float) -> Point:
    """The point at this distance from a, on the way to b."""
    total = distance(a, b)
    return between(a, b, length / total) if total else a


def polyline(points: Sequence[Point], radius: float = 9.0) -> Curve:
    """Straight lines through the points, with rounded corners."""
    curve: Curve = []
    here = points[0]
    for corner, following in pairwise(points[1:]):
        reach = min(radius, distance(here, corner) / 2, distance(corner, following) / 2)
        begin, end = toward(corner, here, reach), toward(corner, following, reach)
        curve.append(line(here, begin))
        curve.append((begin, between(begin, corner, 0.55), between(end, corner, 0.55), end))
        here = end
    curve.append(line(here, points[-1]))
    return [cubic for cubic in curve if distance(cubic[0], cubic[3]) > 1e-9]


def sample(curve: Curve) -> Any:
    """Points on the curve, close enough that no box falls between two: an array (points, 2)."""
    return _sample(curve)[0]


def _sample(curve: Curve) -> tuple[Any, Any]:
    """Points on the curve, and their places: the cubic's number plus its t."""
    points, places = [], []
    for number, (a, b, c, d) in enumerate(curve):
        long = distance(a, b) + distance(b, c) + distance(c, d)
        t = np.linspace(0, 1, max(6, math.ceil(long / SPACING)), endpoint=False)
        weights = np.stack([(1 - t) ** 3, 3 * t * (1 - t) ** 2, 3 * t**2 * (1 - t), t**3])
        points.append(weights.T @ np.array([a, b, c, d]))
        places.append(number + t)
    points.append(np.array([curve[-1][3]]))
    places.append(np.array([float(len(curve))]))
    return np.concatenate(points), np.concatenate(places)


def split(cubic: Cubic, t: float) -> tuple[Cubic, Cubic]:
    """The two parts of a cubic, before and after t (de Casteljau)."""
    a, b, c, d = cubic
    ab, bc, cd = between(a, b, t), between(b, c, t), between(c, d, t)
    abc, bcd = between(ab, bc, t), between(bc, cd, t)
    middle = between(abc, bcd, t)
    return (a, ab, abc, middle), (middle, bcd, cd, d)


def part(curve: Curve, start: float, stop: float) -> Curve:
    """The stretch of the curve between two places; a place is the cubic's number plus its t."""
    found: Curve = []
    for number, cubic in enumerate(curve):
        low, high = max(start - number, 0.0), min(stop - number, 1.0)
        if low >= high:
            continue
        piece = split(cubic, high)[0] if high < 1 else cubic
        found.append(split(piece, low / high)[1] if low > 0 else piece)
    return found


class Measure:
    """Places along a curve by length, and lengths by place."""

    def __init__(self, curve: Curve) -> None:
        self.points, self.places = _sample(curve)
        self.low, self.high = self.points.min(0), self.points.max(0)
        steps = np.hypot(*np.diff(self.points, axis=0).T)
        self.lengths = np.concatenate([[0.0], np.cumsum(steps)])
        self.total = float(self.lengths[-1])

    def place(self, length: float) -> float:
        return float(np.interp(length, self.lengths, self.places))

    def at(self, length: float) -> Point:
        return (
            float(np.interp(length, self.lengths, self.points[:, 0])),
            float(np.interp(length, self.lengths, self.points[:, 1])),
        )

    def direction(self, length: float) -> Point:
        a, b = self.at(max(length - 0.5, 0)), self.at(min(length + 0.5, self.total))
        long = distance(a, b) or 1.0
        return (b[0] - a[0]) / long, (b[1] - a[1]) / long


def crossings(a: Measure, b: Measure) -> list[tuple[float, float]]:
    """Where two curves cross: the length along each."""
    if np.any(a.high < b.low) or np.any(b.high < a.low):
        return []
    i, j = _near(a, b), _near(b, a)
    p, q = a.points[i], b.points[j]
    r, s = a.points[i + 1] - p, b.points[j + 1] - q
    across = r[:, None, 0] * s[None, :, 1] - r[:, None, 1] * s[None, :, 0]
    offset = q[None] - p[:, None]
    with np.errstate(divide="ignore", invalid="ignore"):
        t = (offset[..., 0] * s[None, :, 1] - offset[..., 1] * s[None, :, 0]) / across
        u = (offset[..., 0] * r[:, None, 1] - offset[..., 1] * r[:, None, 0]) / across
    meet = (np.abs(across) > 1e-12) & (t >= 0) & (t < 1) & (u >= 0) & (u < 1)
    return [
        (
            float(a.lengths[i[k]] + t[k, m] * np.hypot(*r[k])),
            float(b.lengths[j[m]] + u[k, m] * np.hypot(*s[m])),
        )
        for k, m in np.argwhere(meet)
    ]


def _near(a: Measure, b: Measure) -> Any:
    """The numbers of a's pieces between samples that reach into what b spans."""
    low = np.minimum(a.points[:-1], a.points[1:])
    high = np.maximum(a.points[:-1], a.points[1:])
    return np.flatnonzero(np.all((low <= b.high) & (high >= b.low), axis=1))
