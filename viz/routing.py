"""The way of every link: straight where it can be, else around whatever stands in between.

For each link there are candidates, the plainest first; the first that passes no box and no
circle is drawn. Parameters reach the farther rows by bending left around the nearer circles, as
in the textbook; the last resort goes through the free channels between rows and columns.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from itertools import islice, pairwise
from typing import Any

import numpy as np

from viz.diagram import Diagram, Link
from viz.geometry import (
    Cubic,
    Curve,
    Measure,
    Point,
    crossings,
    distance,
    line,
    polyline,
    sample,
    toward,
)
from viz.layout import BEND, BEND_STEP, MOST_BENDS, Layout, Placed

CLEARANCE = 2.0  # between a line and what it passes
TIP = 1.9  # between an arrow's tip and what it points at
SHORTEST = 4.0  # what an arrow's last stretch must measure
TRACK = 3.5  # between lines in one channel
BESIDE = 6.0  # between two links with the same ends
CANDIDATES = 12  # ways through channels that are looked at closely


def route(diagram: Diagram, layout: Layout) -> list[Curve]:
    """One curve per link, in the order of the links, up to its arrow's tip."""
    router = _Router(diagram, layout)
    curves = {link: curve for link in diagram.links if (curve := router.plain(link))}
    for link in diagram.links:
        if link not in curves:
            curves[link] = router.through_channels(link)
    return [curves[link] for link in diagram.links]


class _Router:
    def __init__(self, diagram: Diagram, layout: Layout) -> None:
        self.diagram = diagram
        self.layout = layout
        self.places = layout.places
        self.low = np.array([(p.x - p.half_width, p.y - p.half_height) for p in self.places])
        self.high = np.array([(p.x + p.half_width, p.y + p.half_height) for p in self.places])
        self.round = np.array([p.kind == "circle" for p in self.places])
        self.centre = np.array([p.centre for p in self.places])
        self.radius = np.array([p.half_width for p in self.places])
        self.links_into: dict[int, list[Link]] = defaultdict(list)  # from below, by column
        for link in diagram.links:
            below = diagram.shapes[link.source]
            if below.rows is None and below.beside is None:
                self.links_into[round(self.places[link.target].x)].append(link)
        self.drawn: list[tuple[Link, Measure]] = []

    def plain(self, link: Link) -> Curve | None:
        """The first candidate without anything in its way."""
        for curve in self._candidates(link):
            if self.is_clear(curve, link):
                self.drawn.append((link, Measure(curve)))
                return curve
        return None

    def is_clear(self, curve: Curve, link: Link) -> bool:
        """Whether the curve passes every other shape at some distance, and its own ends too."""
        points = sample(curve)
        below, above = points.min(0) - CLEARANCE, points.max(0) + CLEARANCE
        near = np.all((self.low < above) & (self.high > below), axis=1)
        near[[link.source, link.target]] = False
        for i in np.flatnonzero(near):
            if self.round[i]:
                off = np.hypot(*(points - self.centre[i]).T) - self.radius[i]
            else:
                beside = np.maximum(self.low[i] - points, points - self.high[i])
                off = beside.max(axis=1)
            if off.min() < CLEARANCE:
                return False
        return not any(
            np.any(_within(self.places[i], points, -0.1)) for i in (link.source, link.target)
        )

    def _candidates(self, link: Link) -> Iterator[Curve]:
        source, target = self.places[link.source], self.places[link.target]
        ends = link.source, link.target
        if beside := sum((other.source, other.target) == ends for other, _ in self.drawn):
            yield [_alongside(source, target, BESIDE * beside)]
        if self.diagram.shapes[link.source].rows is None:
            yield from self._from_below(link)
        yield [line(leave(source, target.centre), reach(target, source.centre))]
        if source.kind != "circle" and abs(source.y - target.y) > source.half_height:
            right, up = target.x > source.x, target.y > source.y
            corner = (
                source.x + (source.half_width if right else -source.half_width),
                source.y + (source.half_height if up else -source.half_height),
            )
            yield [line(corner, reach(target, corner))]
        yield from _sweep(source, target)

    def _from_below(self, link: Link) -> Iterator[Curve]:
        """Straight up to the nearest circle; around the nearer ones to the others."""
        source, target = self.places[link.source], self.places[link.target]
        nearer = sum(
            1
            for p in self.places
            if abs(p.x - target.x) < 1 and source.top < p.y < target.y and p.kind == "circle"
        )
        aside = abs(target.x - source.x)
        if not nearer and aside < source.half_width - 3:
            yield [line((target.x, source.top), (target.x, target.y - target.half_height - TIP))]
        if nearer and aside < source.half_width + BEND:
            inner = min(nearer, MOST_BENDS) + self._bends_inside(link)
            yield from (_bent_left(source, target, inner + more) for more in range(4))

    def _bends_inside(self, link: Link) -> int:
        """How many ways of others from below run nearer to the column: parameters' come first."""
        uses: dict[tuple[bool, int], int] = defaultdict(int)
        for other in self.links_into[round(self.places[link.target].x)]:
            uses[self.diagram.shapes[other.source].kind != "parameters", other.source] += 1
        own = self.diagram.shapes[link.source].kind != "parameters", link.source
        return sum(min(n - 1, MOST_BENDS) for key, n in uses.items() if key < own)

    def through_channels(self, link: Link) -> Curve:
        """Up or down into a channel between rows, along it, and, where the ends are in different
        rows, along one between columns; where it crosses and grazes the least."""
        source, target = self.places[link.source], self.places[link.target]
        ways: list[tuple[float, int, list[Point]]] = []
        for offset in (0.0, TRACK, -TRACK, 2 * TRACK, -2 * TRACK):
            for points in self._ways(source, target, offset):
                length = sum(distance(a, b) for a, b in pairwise(points))
                ways.append((length + 2 * abs(offset), len(ways), points))
        ways.sort()
        clear = (
            (cost, number, curve)
            for cost, number, points in ways
            if distance(points[-2], points[-1]) > SHORTEST
            and self.is_clear(curve := polyline(points), link)
        )
        shortest = list(islice(clear, CANDIDATES)) or [(0.0, 0, polyline(ways[0][2]))]
        best = min((cost + self._trouble(curve, link), n, curve) for cost, n, curve in shortest)
        self.drawn.append((link, Measure(best[2])))
        return best[2]

    def _trouble(self, curve: Curve, link: Link) -> float:
        """What it costs to cross other lines, and to run along them."""
        own = Measure(curve)
        low, high = own.points.min(0) - TRACK, own.points.max(0) + TRACK
        trouble = 0.0
        for other, measure in self.drawn:
            if other.source == link.source or other.target == link.target:
                continue
            if np.any(high < measure.low) or np.any(measure.high < low):
                continue
            apart = np.abs(own.points[:, None] - measure.points[None]).max(-1).min(1)
            trouble += 4.0 * int(np.sum(apart < TRACK - 0.5))
            trouble += 30.0 * len(crossings(own, measure))
        return trouble

    def _ways(self, source: Placed, target: Placed, offset: float) -> Iterator[list[Point]]:
        rows = self.layout.horizontal
        for first in _around(rows, source.y):
            for last in _around(rows, target.y):
                aside = max(-TRACK, min(offset, TRACK))  # farther would touch the shapes
                out, back = first + aside, last + aside
                if first == last:
                    yield _joined(source, target, [(source.x, out), (target.x, back)])
                    continue
                for column in self.layout.vertical:
                    x = column + offset
                    ways = [(source.x, out), (x, out), (x, back), (target.x, back)]
                    yield _joined(source, target, ways)


def _around(rows: list[float], y: float) -> list[float]:
    """The channels right above and right below."""
    return [
        min((r for r in rows if r > y), default=rows[-1]),
        max((r for r in rows if r < y), default=rows[0]),
    ]


def _joined(source: Placed, target: Placed, way: list[Point]) -> list[Point]:
    """The way from outline to outline; it leaves and arrives aslant where there is room to."""
    first, last = _shifted(way[0], way[1]), _shifted(way[-1], way[-2])
    return [leave(source, first), first, *way[1:-1], last, reach(target, last)]


def _shifted(corner: Point, neighbour: Point) -> Point:
    run = neighbour[0] - corner[0]
    return corner[0] + float(np.clip(run / 2, -14, 14)), corner[1]


def leave(place: Placed, goal: Point) -> Point:
    """The point of the outline on the way from the centre to the goal."""
    return _on_outline(place, goal, 0.0)


def reach(place: Placed, origin: Point) -> Point:
    """Where an arrow's tip stops that comes straight from the origin."""
    return _on_outline(place, origin, TIP)


def _alongside(source: Placed, target: Placed, aside: float) -> Cubic:
    """A line beside the straight one: for a value that is used twice, once cut."""
    long = distance(source.centre, target.centre)
    dx, dy = (target.x - source.x) / long, (target.y - source.y) / long
    t = np.linspace(0, 1, 400)[:, None]
    centre = np.array([source.x - aside * dy, source.y + aside * dx])
    points = centre + t * long * np.array([dx, dy])
    outside = points[~_within(source, points, 0.0) & ~_within(target, points, TIP)]
    start, tip = outside[0].tolist(), outside[-1].tolist()
    return line((start[0], start[1]), (tip[0], tip[1]))


def _within(place: Placed, points: Any, extra: float) -> Any:
    """Which of the points are in the shape, enlarged by so much."""
    off = np.abs(points - np.array(place.centre))
    if place.kind == "circle":
        return np.hypot(*off.T) < place.half_width + extra
    return np.all(off < (place.half_width + extra, place.half_height + extra), axis=1)


def _on_outline(place: Placed, other: Point, extra: float) -> Point:
    dx, dy = other[0] - place.x, other[1] - place.y
    if place.kind == "circle":
        return toward(place.centre, other, place.half_width + extra)
    scale = min(
        (place.half_width + extra) / abs(dx) if dx else np.inf,
        (place.half_height + extra) / abs(dy) if dy else np.inf,
    )
    return place.x + scale * dx, place.y + scale * dy


def _bent_left(source: Placed, target: Placed, bend: int) -> Curve:
    """Up along the left side of a column, as far out as there are nearer circles to pass.

    The shares are those of the textbook's two curves.
    """
    bend = max(bend, 1)
    out = target.x - BEND - BEND_STEP * (bend - 1)
    start_x = max(target.x - 11.3 - 3.6 * (bend - 1), source.x - source.half_width)
    start = min(start_x, source.x + source.half_width), source.top
    angle = np.radians(min(28 + 10 * bend, 55))
    way = target.half_width + TIP
    tip = float(target.x - way * np.cos(angle)), float(target.y - way * np.sin(angle))
    low = source.y + 29.7 + 8.7 * min(bend, 3)
    high = max(low, tip[1] - 20 - 15 * min(bend, 2) - 4 * max(bend - 2, 0))
    low = min(low, high, (start[1] + tip[1]) / 2 + 2)
    high = max(low, min(high, tip[1] - 18))
    up, across = low - start[1], out - start[0]
    curve: Curve = [
        (
            start,
            (start[0] + 0.49 * across, start[1] + 0.24 * up),
            (out, start[1] + 0.42 * up),
            (out, low),
        )
    ]
    if high > low + 1e-6:
        curve.append(line((out, low), (out, high)))
    up, across = tip[1] - high, tip[0] - out
    curve.append(
        (
            (out, high),
            (out, high + 0.39 * up),
            (out + 0.56 * across, high + 0.757 * up),
            tip,
        )
    )
    return curve


def _sweep(source: Placed, target: Placed) -> Iterator[Curve]:
    """Out sideways and in steeply: for the far ends of a fan."""
    side = 1.0 if target.x > source.x else -1.0
    climb = 1.0 if target.y > source.y else -1.0
    start = source.x + side * source.half_width, source.y
    room = abs(target.x - start[0])
    angle = np.radians(65)
    way = target.half_width + TIP
    tip = (
        float(target.x - side * way * np.cos(angle)),
        float(target.y - climb * way * np.sin(angle)),
    )
    if abs(target.y - source.y) < 30 or room < 12:
        return
    yield [
        (
            start,
            (start[0] + side * 0.7 * room, start[1]),
            (tip[0] - side * 8, tip[1] - climb * 0.5 * abs(tip[1] - start[1])),
            tip,
        )
    ]
