"""Curves of links, from the outline of one shape to the outline of another, up to the arrow's tip.

The proportions and angles of the bent curves are those of the textbook's figure.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from viz.geometry import Cubic, Curve, Point, distance, line, polyline, toward
from viz.layout import BEND, BEND_STEP, RAIL_STEP, Placed

TIP = 1.9  # between an arrow's tip and what it points at
RAIL = 23.0  # from a column to its first rail
RADIUS = 9.0  # of a path's corners
AHEAD = 14.0  # how far the first corner of a path in a channel is towards the next one
COMB, COMB_STEP, MOST_TEETH = 20.0, 1.9, 6  # from a circle to its comb


def leave(place: Placed, goal: Point) -> Point:
    """The point of the outline on the line from the centre to the goal."""
    return _on_outline(place, goal, 0.0)


def reach(place: Placed, origin: Point) -> Point:
    """The tip of an arrow that comes straight from the origin."""
    return _on_outline(place, origin, TIP)


def alongside(source: Placed, target: Placed, aside: float) -> Cubic:
    """A line beside the straight line, for a value that is used twice, once cut."""
    long = distance(source.centre, target.centre)
    dx, dy = (target.x - source.x) / long, (target.y - source.y) / long
    t = np.linspace(0, 1, 400)[:, None]
    centre = np.array([source.x - aside * dy, source.y + aside * dx])
    points = centre + t * long * np.array([dx, dy])
    outside = points[~within(source, points, 0.0) & ~within(target, points, TIP)]
    start, tip = outside[0].tolist(), outside[-1].tolist()
    return line((start[0], start[1]), (tip[0], tip[1]))


def within(place: Placed, points: Any, extra: float) -> Any:
    """Which points are inside the shape, enlarged by a margin."""
    off = np.abs(points - np.array(place.centre))
    if place.kind == "circle":
        return np.hypot(*off.T) < place.half_width + extra
    return np.all(off < (place.half_width + extra, place.half_height + extra), axis=1)


def meets(place: Placed, a: Point, b: Point, extra: float) -> bool:
    """Whether the straight line from a to b is inside the shape somewhere, enlarged by a margin."""
    (x, y), (dx, dy) = (a[0] - place.x, a[1] - place.y), (b[0] - a[0], b[1] - a[1])
    if place.kind == "circle":
        long = dx * dx + dy * dy
        t = min(max(-(x * dx + y * dy) / long, 0.0), 1.0) if long else 0.0
        return math.hypot(x + t * dx, y + t * dy) < place.half_width + extra
    first, last = 0.0, 1.0  # the part of the line between the edges
    for at, way, half in ((x, dx, place.half_width), (y, dy, place.half_height)):
        if abs(way) < 1e-12:
            if abs(at) >= half + extra:
                return False
            continue
        enter, leave = sorted(((-half - extra - at) / way, (half + extra - at) / way))
        first, last = max(first, enter), min(last, leave)
    return first < last


def _on_outline(place: Placed, other: Point, extra: float) -> Point:
    dx, dy = other[0] - place.x, other[1] - place.y
    if place.kind == "circle":
        return toward(place.centre, other, place.half_width + extra)
    scale = min(
        (place.half_width + extra) / abs(dx) if dx else np.inf,
        (place.half_height + extra) / abs(dy) if dy else np.inf,
    )
    return place.x + scale * dx, place.y + scale * dy


def bent_left(source: Placed, target: Placed, bend: int) -> Curve:
    """A curve up along the left side of a column. More nearer circles push it farther out.

    The proportions are those of the textbook's two curves.
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


def sweep(source: Placed, target: Placed) -> Iterator[Curve]:
    """A curve that leaves sideways and arrives steeply, for the far ends of a fan."""
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


def rail(source: Placed, target: Placed, number: int, channel: float) -> Curve:
    """A line up a rail beside the column, and over a tap into the circle. All links of a source
    share the rail.

    number: the number of the rail, from the column outwards. channel: the height at which the line
        enters a rail that is not above its source.
    """
    x = target.x - RAIL - RAIL_STEP * number
    tip, tap = _tap(target, -1.0, -1.0, 38.0, 30.0)
    room = 0.0 if source.kind == "circle" else source.half_width - 2
    start = min(max(x, source.x - room), source.x + room), source.top
    up = tap[1] - 7.0
    curve: Curve = []
    foot = (x, source.top)
    if abs(start[0] - x) > 1e-9:
        if abs(start[0] - x) < 20:
            foot = x, source.top + 14
            bow = 8.0
            curve.append((start, (start[0], start[1] + bow), (x, foot[1] - bow), foot))
        else:
            channel += RAIL_STEP * number / 2
            foot = x, channel + 8
            way = [start, (start[0], channel), (x, channel), foot]
            curve += polyline(way, 5.0)
    curve.append(line(foot, (x, up)))
    curve.append(((x, up), (x, up + 4), (tap[0] - 4, tap[1] - 2.3), tap))
    curve.append(line(tap, tip))
    return curve


def comb(source: Placed, target: Placed, rows: int, level: float | None = None) -> Curve:
    """A line sideways to the comb beside a circle, along the comb, and over a tap into the circle.

    rows: the distance of the source in rows. Farther sources have their tooth nearer to the circle,
        so that no tooth crosses another. level: the height of the channel in which the line passes
        what stands between; None where nothing does.
    """
    side = 1.0 if source.x > target.x else -1.0
    climb = 1.0 if source.y > target.y else -1.0
    start = [(source.x - side * source.half_width, source.y)]
    if level is not None:
        first = source.x - side * AHEAD, level
        start = [leave(source, first), first]
    height = start[-1][1]
    off = height - target.y
    if level is not None and abs(off) < target.half_width / 2:  # straight into the circle
        way = target.half_width + TIP
        return polyline([*start, (target.x + side * math.sqrt(way**2 - off**2), height)])
    x = target.x + side * (COMB + COMB_STEP * (MOST_TEETH - min(rows, MOST_TEETH)))
    tip, tap = _tap(target, side, climb, 48.0, 40.0)
    aside = abs(x - tap[0])
    end = x, tap[1] + climb * max(7.0, 0.95 * aside)
    curve = polyline([*start, (x, height), end], 6.0)
    bent = end, (x, end[1] - climb * 4), (tap[0] + side * 4, tap[1] + climb * 3.3), tap
    return [*curve, bent, line(tap, tip)]


def _tap(target: Placed, side: float, climb: float, place: float, slope: float) -> tuple[Any, Any]:
    """The tip at a circle, at an angle from its side, and the beginning of the last segment."""
    angle, way = np.radians(place), target.half_width + TIP
    tip = target.x + side * way * np.cos(angle), target.y + climb * way * np.sin(angle)
    angle = np.radians(slope)
    tap = tip[0] + side * 5.0 * np.cos(angle), tip[1] + climb * 5.0 * np.sin(angle)
    return (float(tip[0]), float(tip[1])), (float(tap[0]), float(tap[1]))
