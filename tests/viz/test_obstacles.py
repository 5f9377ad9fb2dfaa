"""Obstacles, found by place, against a look at every shape."""

import numpy as np
import pytest

from viz.curves import RADIUS, within
from viz.diagram import Link
from viz.geometry import line, polyline, sample
from viz.layout import Placed
from viz.obstacles import CLEARANCE, Obstacles

LINK = Link(0, 1)


def shapes(seed: int) -> list[Placed]:
    draw = np.random.default_rng(seed)
    return [
        Placed("circle" if n % 2 else "box", x, y, 12.25, 12.25 if n % 2 else 11.25)
        for n, (x, y) in enumerate(draw.uniform(-200, 400, (30, 2)).tolist())
    ]


def touched(places: list[Placed], points: np.ndarray, extra: float) -> bool:
    """Whether any shape but the link's ends is nearer to the points than this."""
    return any(np.any(within(place, points, extra)) for place in places[2:])


def certain(places: list[Placed], points: np.ndarray) -> bool:
    """Whether what is near does not hang on the places of the samples."""
    return touched(places, points, CLEARANCE - 0.1) == touched(places, points, CLEARANCE + 0.1)


@pytest.mark.parametrize("seed", range(20))
def test_a_curve_is_clear_where_no_shape_is_near(seed: int) -> None:
    places = shapes(seed)
    obstacles = Obstacles(places)
    draw = np.random.default_rng(100 + seed)
    for curve in (
        [line(*map(tuple, draw.uniform(-200, 400, (2, 2)).tolist()))],
        polyline(list(map(tuple, draw.uniform(-200, 400, (4, 2)).tolist()))),
    ):
        points = np.concatenate(
            [np.stack([np.linspace(a, b, 2000) for a, b in zip(c[0], c[3], strict=True)], 1)
             if c[1] == line(c[0], c[3])[1] else sample([c]) for c in curve]
        )  # fmt: skip
        ends = any(np.any(within(place, points, -0.1)) for place in places[:2])
        if ends or certain(places, points):
            clear = not touched(places, points, CLEARANCE) and not ends
            assert obstacles.are_clear_of(curve, LINK) == clear


@pytest.mark.parametrize("seed", range(20))
def test_only_lines_with_a_shape_on_them_are_closed(seed: int) -> None:
    places = shapes(seed)
    obstacles = Obstacles(places)
    draw = np.random.default_rng(200 + seed)
    for _ in range(20):
        at, start, stop = draw.uniform(-200, 400, 3).tolist()
        inner = np.linspace(min(start, stop) + RADIUS, max(start, stop) - RADIUS, 4000)
        for axis in (0, 1):
            level = np.full_like(inner, at)
            points = np.stack([level, inner] if axis == 0 else [inner, level], axis=1)
            is_open = obstacles.leave_open(axis, at, start, stop, LINK)
            if max(start, stop) - min(start, stop) > 2 * RADIUS:
                free = not touched(places, points, CLEARANCE)
                assert is_open == free or not certain(places, points)
        left, right = obstacles.stretch(at, start, LINK)
        assert left < start < right
