"""Routing of links: straight where possible, otherwise around the shapes in between.

Each link has candidates, the simplest first. The first candidate that crosses no box and no circle
is drawn. Links from parameters reach the farther rows by bending left around the nearer circles, as
in the textbook. From five rows on these links share a rail beside the column, and links from many
rows into one circle go along a comb. The last candidate goes through the free channels between rows
and columns.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from heapq import heappop, heappush
from itertools import islice, pairwise, product
from typing import Any

import numpy as np

from viz.curves import TIP, alongside, bent_left, comb, leave, rail, reach, sweep, within
from viz.diagram import Diagram, Link
from viz.geometry import Curve, Measure, Point, distance, line, polyline, sample
from viz.layout import BEND, MOST_BENDS, Layout, Placed
from viz.traffic import TRACK, Drawn

CLEARANCE = 2.0  # between a line and the shapes that it passes
SHORTEST = 4.0  # the least length of an arrow's last segment
BESIDE = 6.0  # between two links with the same ends
RADIUS = 9.0  # of a path's corners
SLACK = 60.0  # the most by which a path may be shorter than its estimate
BLOCK = 48  # paths that are tested at once
CANDIDATES = 12  # the paths through channels that are checked in full

Ways = Callable[[Placed, Placed, float, float | None], Iterator[tuple[int, list[Point]]]]
"""A function from two shapes, an offset from the channel's middle, and a channel between columns or
None, to paths. A path is its corners, with a number that orders paths of equal length."""


def route(diagram: Diagram, layout: Layout) -> list[Curve]:
    """One curve per link, in the order of the links, up to the arrow's tip."""
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
        self.edges = *self.low.T.copy(), *self.high.T.copy()
        self.round = np.array([p.kind == "circle" for p in self.places])
        self.centre = np.array([p.centre for p in self.places])
        self.radius = np.array([p.half_width for p in self.places])
        self.links_into: dict[int, list[Link]] = defaultdict(list)  # from below, by column
        for link in diagram.links:
            below = diagram.shapes[link.source]
            if (below.rows is None and below.beside is None) or self._rises(link):
                self.links_into[round(self.places[link.target].x)].append(link)
        self.many = diagram.is_dense
        self.columns: dict[int, list[float]] = defaultdict(list)  # the circles' heights
        for p in self.places:
            if p.kind == "circle":
                self.columns[round(p.x)].append(p.y)
        self.ends: Counter[tuple[int, int]] = Counter()  # of the lines drawn so far
        self.drawn = Drawn()

    def plain(self, link: Link) -> Curve | None:
        """The first candidate without an obstacle."""
        for curve in self._candidates(link):
            if self.is_clear(curve, link):
                return self.draw(link, curve)
        return None

    def draw(self, link: Link, curve: Curve) -> Curve:
        self.ends[link.source, link.target] += 1
        self.drawn.add(link, Measure(curve))
        return curve

    def is_clear(self, curve: Curve, link: Link) -> bool:
        """Whether the curve keeps a distance from every other shape, and from its own ends."""
        ends = [link.source, link.target]
        for cubic in curve:
            near = self._around(cubic)
            if not near.size:
                continue
            points = sample([cubic])
            for i in near.tolist():
                if i in ends:
                    if np.any(within(self.places[i], points, -0.1)):
                        return False
                    continue
                if self.round[i]:
                    off = np.hypot(*(points - self.centre[i]).T) - self.radius[i]
                else:
                    off = np.maximum(self.low[i] - points, points - self.high[i]).max(axis=1)
                if off.min() < CLEARANCE:
                    return False
        return True

    def _around(self, points: Sequence[Point]) -> Any:
        """The shapes that are near the corners of these points."""
        left, low, right, high = self.edges
        xs, ys = zip(*points, strict=True)
        near = (left < max(xs) + CLEARANCE) & (right > min(xs) - CLEARANCE)
        near &= (low < max(ys) + CLEARANCE) & (high > min(ys) - CLEARANCE)
        return np.flatnonzero(near)

    def _candidates(self, link: Link) -> Iterator[Curve]:
        source, target = self.places[link.source], self.places[link.target]
        if beside := self.ends[link.source, link.target]:
            yield [alongside(source, target, BESIDE * beside)]
        below = self.diagram.shapes[link.source].rows is None or self._rises(link)
        if below:
            yield from self._from_below(link)
        rows = abs(source.y - target.y) / self.layout.pitch
        if self.many and not below and rows > 1.1 and self._is_fan(link):
            yield comb(source, target, round(rows))
        yield [line(leave(source, target.centre), reach(target, source.centre))]
        if source.kind != "circle" and abs(source.y - target.y) > source.half_height:
            right, up = target.x > source.x, target.y > source.y
            corner = (
                source.x + (source.half_width if right else -source.half_width),
                source.y + (source.half_height if up else -source.half_height),
            )
            yield [line(corner, reach(target, corner))]
        yield from sweep(source, target)

    def _from_below(self, link: Link) -> Iterator[Curve]:
        """Candidates for a link from below: straight up to the nearest circle, and around it to the
        others."""
        source, target = self.places[link.source], self.places[link.target]
        nearer = sum(source.top < y < target.y for y in self.columns[round(target.x)])
        aside = abs(target.x - source.x)
        state = self.diagram.shapes[link.source].beside is not None
        if (nearer or self._rises(link)) and self.many and not state:
            number = self._rails_inside(link)
            channel = min(y for y in self.layout.horizontal if y > source.top)
            yield from (rail(source, target, number + more, channel) for more in range(3))
        if not nearer and aside < source.half_width - 3:
            yield [line((target.x, source.top), (target.x, target.y - target.half_height - TIP))]
        if nearer and aside < source.half_width + BEND:
            inner = min(nearer, MOST_BENDS) + self._bends_inside(link)
            yield from (bent_left(source, target, inner + more) for more in range(4))

    def _rises(self, link: Link) -> bool:
        return (link.source, link.target) in self.layout.rising

    def _rails_inside(self, link: Link) -> int:
        """The number of other rails nearer to the column. The rails of parameters come first."""
        shapes = self.diagram.shapes
        others = {other.source for other in self.links_into[round(self.places[link.target].x)]}
        order = sorted(others, key=lambda i: (shapes[i].kind != "parameters", i))
        return order.index(link.source)

    def _is_fan(self, link: Link) -> bool:
        """Whether a value of one row leads, with others, into a circle of several rows."""
        source, target = self.diagram.shapes[link.source], self.diagram.shapes[link.target]
        return target.kind == "circle" and target.row is None and source.row is not None

    def _bends_inside(self, link: Link) -> int:
        """The number of other links from below that run nearer to the column. Those of parameters
        come first."""
        uses: dict[tuple[bool, int], int] = defaultdict(int)
        for other in self.links_into[round(self.places[link.target].x)]:
            uses[self.diagram.shapes[other.source].kind != "parameters", other.source] += 1
        own = self.diagram.shapes[link.source].kind != "parameters", link.source
        return sum(min(n - 1, MOST_BENDS) for key, n in uses.items() if key < own)

    def through_channels(self, link: Link) -> Curve:
        """The path through channels that crosses and touches the fewest lines. It goes up or down
        into a channel between rows and along it. Where the ends are in different rows, it also goes
        along a channel between columns. Where shapes block all of these paths, it leaves and
        returns sideways."""
        for ways in (self._ways, self._sideways):
            found = self._best(link, self._by_length(link, ways))
            if found is not None:
                return self.draw(link, found)
        _, shortest = next(self._nearest_first(link, self._ways))
        return self.draw(link, polyline(shortest, RADIUS))

    def _by_length(self, link: Link, ways: Ways) -> Iterator[tuple[float, list[Point]]]:
        """The paths without a shape on them, with their lengths."""
        found = self._nearest_first(link, ways)
        while block := list(islice(found, BLOCK)):
            free = self._free([points for _, points in block], link)
            yield from (one for one, is_free in zip(block, free, strict=True) if is_free)

    def _nearest_first(self, link: Link, ways: Ways) -> Iterator[tuple[float, list[Point]]]:
        """Paths in the order of their lengths. Paths far to the side are made only when needed."""
        source, target = self.places[link.source], self.places[link.target]
        aside = sorted(
            (abs(x - source.x) + abs(x - target.x), n, x)
            for n, x in enumerate(self.layout.vertical)
        )
        waiting: list[tuple[float, int, int, int, list[Point]]] = []
        for least, n, column in [(0.0, -1, None), *aside]:
            while waiting and waiting[0][0] < least - SLACK:
                cost, *_, points = heappop(waiting)
                yield cost, points
            for k, offset in enumerate((0.0, TRACK, -TRACK, 2 * TRACK, -2 * TRACK)):
                for number, points in ways(source, target, offset, column):
                    cost = _length(points) + 2 * abs(offset)
                    heappush(waiting, (cost, k, number, n, points))
        while waiting:
            cost, *_, points = heappop(waiting)
            yield cost, points

    def _free(self, ways: Sequence[Sequence[Point]], link: Link) -> Any:
        """Which of the paths have no shape on the straight segments between their rounded corners.
        This is a quick test of many paths, before a full check of each."""
        inner = [
            (n, *a, *b)
            for n, points in enumerate(ways)
            for a, b in pairwise(points[1:-1])
            if abs(a[0] - b[0]) + abs(a[1] - b[1]) > 2 * RADIUS
        ]
        free = np.ones(len(ways), bool)
        if not inner:
            return free
        number, x, y, x_end, y_end = np.array(inner).T
        flat = y == y_end
        left = np.minimum(x, x_end) + RADIUS * flat
        right = np.maximum(x, x_end) - RADIUS * flat
        low, high = np.minimum(y, y_end) + RADIUS * ~flat, np.maximum(y, y_end) - RADIUS * ~flat
        others = np.ones(len(self.places), bool)
        others[[link.source, link.target]] = False
        edges = [edge[others] for edge in self.edges]
        aside = np.maximum(edges[0] - right[:, None], left[:, None] - edges[2])
        above = np.maximum(edges[1] - high[:, None], low[:, None] - edges[3])
        off = np.maximum(aside, above)
        radius = self.radius[others]
        far = np.hypot(np.maximum(aside + radius, 0), np.maximum(above + radius, 0)) - radius
        off = np.where(self.round[others], far, off)
        free[number[np.any(off < CLEARANCE, axis=1)].astype(int)] = False
        return free

    def _best(self, link: Link, ways: Iterator[tuple[float, list[Point]]]) -> Curve | None:
        clear = (
            (cost, curve)
            for cost, points in ways
            if distance(points[-2], points[-1]) > SHORTEST
            and self.is_clear(curve := polyline(points, RADIUS), link)
        )
        best, least = None, np.inf
        for cost, curve in islice(clear, CANDIDATES):
            if cost >= least:  # all further paths are longer
                break
            if (total := cost + self._trouble(curve, link)) < least:
                best, least = curve, total
        return best

    def _trouble(self, curve: Curve, link: Link) -> float:
        """The cost of crossing other lines, and of running along them."""
        own = Measure(curve)
        near, crossed = self.drawn.trouble(own, link)
        return 4.0 * near + 30.0 * crossed

    def _ways(
        self, source: Placed, target: Placed, offset: float, column: float | None
    ) -> Iterator[tuple[int, list[Point]]]:
        rows = self.layout.horizontal
        around = product(_around(rows, source.y), _around(rows, target.y))
        for number, (first, last) in enumerate(around):
            if (first == last) != (column is None):
                continue
            aside = max(-TRACK, min(offset, TRACK))  # a larger offset would touch the shapes
            out, back = first + aside, last + aside
            ways = [(source.x, out), (target.x, back)]
            if column is not None:
                x = column + offset
                ways[1:1] = [(x, out), (x, back)]
            yield number, _joined(source, target, ways)

    def _sideways(
        self, source: Placed, target: Placed, offset: float, column: float | None
    ) -> Iterator[tuple[int, list[Point]]]:
        if column is not None:
            return
        rows, columns = self.layout.boundaries, self.layout.vertical
        aside = max(-TRACK, min(offset, TRACK))
        levels = sorted({*_around(rows, source.y), *_around(rows, target.y)})
        around = product(_around(columns, source.x), _around(columns, target.x), levels)
        for number, (first, last, row) in enumerate(around):
            x, y, back = first + aside, row + offset, last + aside
            way = [(x, source.y), (x, y), (back, y), (back, target.y)]
            yield number, [leave(source, way[0]), *way, reach(target, way[-1])]


def _length(points: Sequence[Point]) -> float:
    return math.fsum(distance(a, b) for a, b in pairwise(points))


def _around(rows: list[float], y: float) -> list[float]:
    """The channels right above and right below."""
    return [
        min((r for r in rows if r > y), default=rows[-1]),
        max((r for r in rows if r < y), default=rows[0]),
    ]


def _joined(source: Placed, target: Placed, way: list[Point]) -> list[Point]:
    """The path from outline to outline. It leaves and arrives diagonally where there is room."""
    first, last = _shifted(way[0], way[1]), _shifted(way[-1], way[-2])
    return [leave(source, first), first, *way[1:-1], last, reach(target, last)]


def _shifted(corner: Point, neighbour: Point) -> Point:
    run = neighbour[0] - corner[0]
    return corner[0] + max(-14.0, min(run / 2, 14.0)), corner[1]
