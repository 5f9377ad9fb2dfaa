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
from collections.abc import Iterator, Sequence
from heapq import heappop, heappush
from itertools import count, islice, pairwise, product
from operator import itemgetter

from viz.curves import (
    AHEAD,
    RADIUS,
    TIP,
    alongside,
    bent_left,
    comb,
    leave,
    rail,
    reach,
    sweep,
)
from viz.diagram import Diagram, Link
from viz.geometry import Curve, Point, distance, line, polyline
from viz.layout import BEND, MOST_BENDS, Layout
from viz.obstacles import Obstacles
from viz.traffic import TRACK, Drawn

SHORTEST = 4.0  # the least length of an arrow's last segment
BESIDE = 6.0  # between two links with the same ends
BENEATH = 24.0  # the least room between a channel and the circle above it
SLACK = 60.0  # the most by which a path may be shorter than its estimate
ALONG, CROSSED = 12.0, 30.0  # the costs of a sample along another line, and of a crossing
BETTER = 8.0  # a longer path must be better by this much
UNLIKE = 60.0  # the cost of a form that differs from the one in another row
CANDIDATES = 8  # the paths through channels that are checked in full

OFFSETS = (0.0, TRACK, -TRACK, 2 * TRACK, -2 * TRACK)  # from a channel's middle


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
        self.obstacles = Obstacles(layout.places)
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
        self.forms: dict[tuple[str, str], tuple[tuple[int, int], ...]] = {}  # of paths, by roles
        self.drawn = Drawn()

    def plain(self, link: Link) -> Curve | None:
        """The first candidate without an obstacle."""
        for curve in self._candidates(link):
            if self.obstacles.are_clear_of(curve, link):
                return self.draw(link, curve)
        return None

    def draw(self, link: Link, curve: Curve) -> Curve:
        self.ends[link.source, link.target] += 1
        self.drawn.add(link, curve)
        return curve

    def _candidates(self, link: Link) -> Iterator[Curve]:
        source, target = self.places[link.source], self.places[link.target]
        if beside := self.ends[link.source, link.target]:
            yield [alongside(source, target, BESIDE * beside)]
        below = self.diagram.shapes[link.source].rows is None or self._rises(link)
        if below:
            yield from self._from_below(link)
        rows = abs(source.y - target.y) / self.layout.pitch
        is_fan = self.many and not below and self._is_fan(link)
        if is_fan and rows > 1.1:
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
        if is_fan:
            levels = _around(self.layout.horizontal, source.y)
            for level in sorted(levels, key=lambda y: abs(y - target.y)):
                yield comb(source, target, round(rows), level)

    def _from_below(self, link: Link) -> Iterator[Curve]:
        """Candidates for a link from below: straight up to the nearest circle, and around it to the
        others."""
        source, target = self.places[link.source], self.places[link.target]
        nearer = sum(source.top < y < target.y for y in self.columns[round(target.x)])
        aside = abs(target.x - source.x)
        state = self.diagram.shapes[link.source].beside is not None
        if (nearer or self._rises(link)) and self.many and not state:
            number = self._rails_inside(link)
            above = min(y for y in self.layout.horizontal if y > source.top)
            for channel in dict.fromkeys((self._beneath(link, above), above)):
                yield from (rail(source, target, number + more, channel) for more in range(3))
        if not nearer and aside < source.half_width - 3:
            yield [line((target.x, source.top), (target.x, target.y - target.half_height - TIP))]
        if nearer and aside < source.half_width + BEND:
            inner = min(nearer, MOST_BENDS) + self._bends_inside(link)
            yield from (bent_left(source, target, inner + more) for more in range(4))

    def _rises(self, link: Link) -> bool:
        return (link.source, link.target) in self.layout.rising

    def _beneath(self, link: Link, above: float) -> float:
        """The channel in which a link goes to its rail: right above its source or, if it rises from
        a row, the highest channel under all circles at the rail."""
        column = self.links_into[round(self.places[link.target].x)]
        lowest = min(self.places[k.target].y for k in column if k.source == link.source) - BENEATH
        channels = [y for y in self.layout.horizontal if above < y < lowest]
        return max(channels, default=above) if self._rises(link) else above

    def _rails_inside(self, link: Link) -> int:
        """The number of other rails nearer to the column. The rails of parameters come first, and
        those of boxes farther to the right."""
        shapes = self.diagram.shapes
        others = {other.source for other in self.links_into[round(self.places[link.target].x)]}
        order = sorted(others, key=lambda i: (shapes[i].kind != "parameters", -self.places[i].x, i))
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
        found = self._best(link, self._ways(link)) or self._best(link, self._sideways(link))
        if found is None:
            source, target = self.places[link.source], self.places[link.target]
            found = [line(leave(source, target.centre), reach(target, source.centre))]
        return self.draw(link, found)

    def _ways(self, link: Link) -> Iterator[list[Point]]:
        """The paths that go up or down, the shortest first. Paths far to the side are made only
        when needed."""
        source, target = self.places[link.source], self.places[link.target]
        rows = self.layout.horizontal
        around = list(product(_around(rows, source.y), _around(rows, target.y)))
        waiting: list[tuple[float, int, list[Point]]] = []
        number = count()

        def add(offset: float, out: float, back: float, x: float | None) -> None:
            start = _shifted(source.x, target.x if x is None else x)
            end = _shifted(target.x, source.x if x is None else x)
            way = [(start, out), *([] if x is None else [(x, out), (x, back)]), (end, back)]
            points = [leave(source, way[0]), *way, reach(target, way[-1])]
            heappush(waiting, (_length(points) + 2 * abs(offset), next(number), points))

        turns = []
        for offset in OFFSETS:
            aside = max(-TRACK, min(offset, TRACK))  # a larger offset would touch the shapes
            for first, last in around:
                out, back = first + aside, last + aside
                left, right = self.obstacles.stretch(out, source.x, link)
                if first == last:
                    if left <= target.x <= right:
                        add(offset, out, back, None)
                    continue
                low, high = self.obstacles.stretch(back, target.x, link)
                turns.append((offset, out, back, max(left, low), min(right, high)))
        for column in sorted(
            self.layout.vertical, key=lambda x: abs(x - source.x) + abs(x - target.x)
        ):
            least = abs(column - source.x) + abs(column - target.x) - SLACK
            while waiting and waiting[0][0] < least:
                yield heappop(waiting)[-1]
            for offset, out, back, left, right in turns:
                x = column + offset
                if left <= x <= right and self.obstacles.leave_open(0, x, out, back, link):
                    add(offset, out, back, x)
        while waiting:
            yield heappop(waiting)[-1]

    def _sideways(self, link: Link) -> Iterator[list[Point]]:
        """The paths that leave and return sideways, the shortest first."""
        source, target = self.places[link.source], self.places[link.target]
        rows, columns = self.layout.boundaries, self.layout.vertical
        levels = sorted({*_around(rows, source.y), *_around(rows, target.y)})
        around = product(_around(columns, source.x), _around(columns, target.x), levels)
        found = []
        for offset, (first, last, row) in product(OFFSETS, around):
            aside = max(-TRACK, min(offset, TRACK))
            x, y, back = first + aside, row + offset, last + aside
            if (
                self.obstacles.leave_open(0, x, source.y, y, link)
                and self.obstacles.leave_open(1, y, x, back, link)
                and self.obstacles.leave_open(0, back, y, target.y, link)
            ):
                way = [(x, source.y), (x, y), (back, y), (back, target.y)]
                points = [leave(source, way[0]), *way, reach(target, way[-1])]
                found.append((_length(points) + 2 * abs(offset), points))
        yield from (points for _, points in sorted(found, key=itemgetter(0)))

    def _best(self, link: Link, ways: Iterator[list[Point]]) -> Curve | None:
        shapes, y = self.diagram.shapes, self.places[link.source].y
        clear = (
            (_length(points), points, curve)
            for points in ways
            if distance(points[-2], points[-1]) > SHORTEST
            and self.obstacles.are_clear_of(curve := polyline(points, RADIUS), link)
        )
        best, least = None, math.inf
        own: tuple[tuple[int, int], ...] = ()
        known = shapes[link.source].role, shapes[link.target].role
        for cost, points, curve in islice(clear, CANDIDATES):
            if cost >= least:  # all further paths are longer
                break
            form = tuple((round(a), round(b - y)) for a, b in points)
            cost += self._trouble(curve, link) + UNLIKE * (self.forms.get(known, form) != form)
            if cost < least - BETTER:
                best, least, own = curve, cost, form
        if best:
            self.forms.setdefault(known, own)
        return best

    def _trouble(self, curve: Curve, link: Link) -> float:
        """The cost of crossing other lines, and of running along them."""
        near, crossed = self.drawn.trouble(curve, link)
        return ALONG * near + CROSSED * crossed


def _length(points: Sequence[Point]) -> float:
    return math.fsum(distance(a, b) for a, b in pairwise(points))


def _around(rows: list[float], y: float) -> list[float]:
    """The channels right above and right below."""
    return [
        min((r for r in rows if r > y), default=rows[-1]),
        max((r for r in rows if r < y), default=rows[0]),
    ]


def _shifted(corner: float, neighbour: float) -> float:
    """The corner moved towards its neighbour, so that a path leaves and arrives diagonally."""
    return corner + max(-AHEAD, min((neighbour - corner) / 2, AHEAD))
