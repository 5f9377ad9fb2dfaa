"""The figure for the page: places, paths and labels, with each path stored once.

Rows are translations of one another. So a path is stored relative to its beginning, and the hundred
links of a hundred steps share one path.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import tinygrad_rnn as tg
from tinygrad_rnn.engine.graph import Array, Node
from viz.diagram import Diagram, group
from viz.geometry import Curve
from viz.labels import Line
from viz.layout import Layout, arrange
from viz.routing import route
from viz.snapshot import snapshot
from viz.strokes import arrow_head

MARGIN = 3.0  # around the shapes, in points

BOLD, ITALIC, SUBSCRIPT, SUPERSCRIPT = 1, 2, 4, 8


@dataclass
class Stage:
    """The positions of the shapes and links. y grows downwards.

    places: x, y, width and height of every shape. ways: for every link, the place of its path among
        `paths` and its beginning. paths: each a line and, after a second `m`, its arrow's head.
    """

    diagram: Diagram
    width: float
    height: float
    places: list[tuple[float, float, float, float]]
    ways: list[tuple[int, float, float]] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)


def stage(outputs: Sequence[tg.Tensor], detail: str, arrays: Mapping[Node, Array]) -> Stage:
    """The textbook's figure of the outputs, with all rows. detail is as for `draw`.

    arrays: the known arrays.
    """
    diagram = group(snapshot(outputs), detail, arrays=arrays)
    layout = arrange(diagram)
    curves = route(diagram, layout)
    left, right, low, top = _bounds(layout, curves)
    made = Stage(
        diagram,
        _round(right - left),
        _round(top - low),
        [
            (
                _round(p.x - left),
                _round(top - p.y),
                _round(2 * p.half_width),
                _round(2 * p.half_height),
            )
            for p in layout.places
        ],
    )
    known: dict[str, int] = {}
    for curve in curves:
        head = arrow_head(curve)
        (x, y), (tip_x, tip_y), (wing_x, wing_y) = curve[0][0], curve[-1][3], head[0][0]
        path = _relative(curve, "m0 0")
        path += _relative(head, f"m{_g(wing_x - tip_x)} {_g(tip_y - wing_y)}")
        made.ways.append((known.setdefault(path, len(known)), _round(x - left), _round(top - y)))
    made.paths = list(known)
    return made


def _bounds(layout: Layout, curves: Sequence[Curve]) -> tuple[float, float, float, float]:
    points = [point for curve in curves for cubic in curve for point in cubic]
    xs = [x for x, _ in points]
    ys = [y for _, y in points]
    for place in layout.places:
        xs += [place.x - place.half_width, place.x + place.half_width]
        ys += [place.y - place.half_height, place.y + place.half_height]
    return min(xs) - MARGIN, max(xs) + MARGIN, min(ys) - MARGIN, max(ys) + MARGIN


def _relative(curve: Curve, begin: str) -> str:
    """The curve as a path relative to its beginning: `l` for straight parts, else `c`."""
    parts = [begin]
    for a, b, c, d in curve:
        straight = all(
            abs((b[0] - a[0]) * (p[1] - a[1]) - (b[1] - a[1]) * (p[0] - a[0])) < 1e-6
            for p in (c, d)
        )
        steps = [(p[0] - a[0], a[1] - p[1]) for p in ((d,) if straight else (b, c, d))]
        parts.append(("l" if straight else "c") + " ".join(f"{_g(x)} {_g(y)}" for x, y in steps))
    return "".join(parts)


def _g(x: float) -> str:
    return f"{round(x, 1) + 0.0:g}"


def _round(x: float) -> float:
    """A number rounded to tenths of a point. A whole number is written without decimals."""
    rounded = round(x, 1)
    return int(rounded) if rounded == int(rounded) else rounded


def runs(line: Line) -> list[list[Any]]:
    """A label's line for the page: [letters, style] for each run. The style is a sum of the four
    above."""
    return [
        [
            run.text,
            BOLD * run.bold
            + ITALIC * run.italic
            + {0: 0, -1: SUBSCRIPT, 1: SUPERSCRIPT}[run.level],
        ]
        for run in line
    ]
