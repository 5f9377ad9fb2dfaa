"""Points and Bézier curves, as routing around boxes and circles needs them."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property, lru_cache
from itertools import pairwise
from typing import Any, TypeAlias

import numpy as np

Point: TypeAlias = tuple[float, float]
Cubic: TypeAlias = tuple[Point, Point, Point, Point]
Curve: TypeAlias = list[Cubic]

SPACING = 3.0  # between the samples of a curve, in points
ROUNDNESS = 0.55  # of the way to a corner: the inner points of its cubic


def line(a: Point, b: Point) -> Cubic:
    """The straight line as a cubic."""
    return a, between(a, b, 1 / 3), between(a, b, 2 / 3), b


def between(a: Point, b: Point, share: float) -> Point:
    return a[0] + share * (b[0] - a[0]), a[1] + share * (b[1] - a[1])


def distance(a: Point, b: Point) -> float:
    return math.hypot(b[0] - a[0], b[1] - a[1])


def is_straight(cubic: Cubic) -> bool:
    """Whether the cubic is the straight line between its ends, at constant speed."""
    a, b, c, d = cubic
    return distance(between(a, d, 1 / 3), b) + distance(between(a, d, 2 / 3), c) < 1e-6


def toward(a: Point, b: Point, length: float) -> Point:
    """The point at this distance from a, in the direction of b."""
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
        curve.append(
            (begin, between(begin, corner, ROUNDNESS), between(end, corner, ROUNDNESS), end)
        )
        here = end
    curve.append(line(here, points[-1]))
    return [cubic for cubic in curve if distance(cubic[0], cubic[3]) > 1e-9]


def sample(curve: Curve) -> Any:
    """Points on the curve, so close that no box fits between two of them: an array (points, 2)."""
    return _sample(curve)[0]


def _sample(curve: Curve) -> tuple[Any, Any]:
    """Points on the curve, with their places. A place is the cubic's number plus its t."""
    points, places = [], []
    for number, (a, b, c, d) in enumerate(curve):
        long = distance(a, b) + distance(b, c) + distance(c, d)
        t, weights = _weights(max(6, math.ceil(long / SPACING)))
        points.append(weights @ np.array([a, b, c, d]))
        places.append(number + t)
    points.append(np.array([curve[-1][3]]))
    places.append(np.array([float(len(curve))]))
    return np.concatenate(points), np.concatenate(places)


def mapped(curve: Curve, to: Callable[[Point], Point]) -> Curve:
    """The curve with the function applied to every point."""
    return [(to(a), to(b), to(c), to(d)) for a, b, c, d in curve]


@lru_cache(maxsize=1024)
def _weights(count: int) -> tuple[Any, Any]:
    """A number of places on a cubic, without its end, and the weights of its four points there."""
    t = np.linspace(0, 1, count, endpoint=False)
    weights = np.stack([(1 - t) ** 3, 3 * t * (1 - t) ** 2, 3 * t**2 * (1 - t), t**3])
    return t, weights.T


def split(cubic: Cubic, t: float) -> tuple[Cubic, Cubic]:
    """The two parts of a cubic, before and after t (de Casteljau)."""
    a, b, c, d = cubic
    ab, bc, cd = between(a, b, t), between(b, c, t), between(c, d, t)
    abc, bcd = between(ab, bc, t), between(bc, cd, t)
    middle = between(abc, bcd, t)
    return (a, ab, abc, middle), (middle, bcd, cd, d)


def part(curve: Curve, start: float, stop: float) -> Curve:
    """The part of the curve between two places. A place is the cubic's number plus its t."""
    found: Curve = []
    for number, cubic in enumerate(curve):
        low, high = max(start - number, 0.0), min(stop - number, 1.0)
        if low >= high:
            continue
        piece = split(cubic, high)[0] if high < 1 else cubic
        found.append(split(piece, low / high)[1] if low > 0 else piece)
    return found


def corners(curve: Curve) -> tuple[Any, Any]:
    """Points between which the curve is nearly straight, with their places."""
    points, places = [], []
    for number, cubic in enumerate(curve):
        if is_straight(cubic):
            points.append(np.array([cubic[0]]))
            places.append(np.array([float(number)]))
        else:
            some, where = _sample([cubic])
            points.append(some[:-1])
            places.append(where[:-1] + number)
    points.append(np.array([curve[-1][3]]))
    places.append(np.array([float(len(curve))]))
    return np.concatenate(points), np.concatenate(places)


class Measure:
    """Places along a curve by length, and lengths by place."""

    def __init__(self, curve: Curve) -> None:
        self.curve = curve
        self.points, self.places = corners(curve)
        self.low, self.high = self.points.min(0), self.points.max(0)
        steps = np.hypot(*np.diff(self.points, axis=0).T)
        self.lengths = np.concatenate([[0.0], np.cumsum(steps)])
        self.total = float(self.lengths[-1])

    @property
    def dense(self) -> Any:
        """Points so close that no obstacle fits between two of them."""
        return self._dense[0]

    @property
    def dense_places(self) -> Any:
        return self._dense[1]

    @cached_property
    def _dense(self) -> tuple[Any, Any]:
        return _sample(self.curve)

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


class Segments:
    """The straight pieces of many curves, to find where a curve crosses the ones before it."""

    def __init__(self, measures: Sequence[Measure]) -> None:
        counts = [len(m.points) - 1 for m in measures]
        self.first = np.concatenate([[0], np.cumsum(counts)]).astype(int)
        self.owner = np.repeat(np.arange(len(measures)), counts)
        none = np.zeros((0, 2))
        self.start = np.concatenate([none, *(m.points[:-1] for m in measures)])
        self.along = np.concatenate([none, *(np.diff(m.points, axis=0) for m in measures)])
        self.begins = np.concatenate([[], *(m.lengths[:-1] for m in measures)])
        self.long = np.hypot(*self.along.T)
        stop = self.start + self.along
        self.low, self.high = np.minimum(self.start, stop), np.maximum(self.start, stop)
        self.left, self.bottom = self.low.T.copy()
        self.right, self.top = self.high.T.copy()

    def crossings(self, i: int, skip: Any) -> Iterator[tuple[int, float, float]]:
        """The crossings of curve i with earlier curves: the other curve, and the lengths along
        both.

        skip: booleans that mark the curves to ignore.
        """
        before, own = slice(0, self.first[i]), slice(self.first[i], self.first[i + 1])
        (left, low), (right, high) = self.low[own].min(0), self.high[own].max(0)
        found = (self.left[before] <= right) & (self.right[before] >= left)
        found &= (self.bottom[before] <= high) & (self.top[before] >= low)
        near = np.flatnonzero(found)
        near = near[~skip[self.owner[near]]]
        if not near.size:
            return
        p, q = self.start[own], self.start[near]
        k, m, t, u = meeting(p, p + self.along[own], q, q + self.along[near])
        mine, other = own.start + k, near[m]
        yield from zip(
            self.owner[other].tolist(),
            (self.begins[mine] + t * self.long[mine]).tolist(),
            (self.begins[other] + u * self.long[other]).tolist(),
            strict=True,
        )


def meeting(p: Any, p_end: Any, q: Any, q_end: Any) -> tuple[Any, Any, Any, Any]:
    """The crossings of the pieces p with the pieces q: their numbers, and the fraction of the
    length along each."""
    k, m = neighbours(p, p_end, q, q_end)
    meet, t, u = crossing(p[k], p_end[k], q[m], q_end[m])
    return k[meet], m[meet], t[meet], u[meet]


def neighbours(p: Any, p_end: Any, q: Any, q_end: Any, apart: float = 0.0) -> tuple[Any, Any]:
    """The pairs of pieces whose corners are not farther apart than this."""
    low, high = np.minimum(p, p_end) - apart, np.maximum(p, p_end) + apart
    left, right = np.minimum(q, q_end), np.maximum(q, q_end)
    near = (low[:, None, 0] <= right[:, 0]) & (high[:, None, 0] >= left[:, 0])
    near &= (low[:, None, 1] <= right[:, 1]) & (high[:, None, 1] >= left[:, 1])
    k, m = np.nonzero(near)
    return k, m


def crossing(p: Any, p_end: Any, q: Any, q_end: Any) -> tuple[Any, Any, Any]:
    """Whether each piece of p crosses its piece of q, and the fractions of the length."""
    r, s, offset = p_end - p, q_end - q, q - p
    across = r[:, 0] * s[:, 1] - r[:, 1] * s[:, 0]
    with np.errstate(divide="ignore", invalid="ignore"):
        t = (offset[:, 0] * s[:, 1] - offset[:, 1] * s[:, 0]) / across
        u = (offset[:, 0] * r[:, 1] - offset[:, 1] * r[:, 0]) / across
    return (np.abs(across) > 1e-12) & (t >= 0) & (t < 1) & (u >= 0) & (u < 1), t, u
