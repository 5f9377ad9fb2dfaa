"""Captions: pills on lines, with the factor ξ that multiplies the gradient there, and the names of
gates beside their circles."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from tinygrad_rnn.engine.graph import Array
from viz import labels
from viz.diagram import Diagram
from viz.geometry import Measure, sample
from viz.layout import Placed
from viz.scene import Box, Text
from viz.strokes import Stroke

SIZE = 6.4
HALF_HEIGHT = 4.5
PADDING = 2.0
APART = 2.2  # from the shapes
GATE = 8.0  # the font size of a gate's name
BESIDE = 5.0  # from a circle to the name's middle
PLACES = ((0, 1), (0.6, 0.8), (-0.6, 0.8), (0, -1), (0.6, -0.8), (-0.6, -0.8), (0.85, 0.5))
"""Directions from a circle to the name of its gate."""


def captions(strokes: Sequence[Stroke], places: Sequence[Placed]) -> list[Box]:
    """One pill for every link that is scaled or reset. It lies on the link, where it covers the
    least."""
    scaled = [s for s in strokes if s.link.weight not in (0, 1) or s.link.says]
    if not scaled:
        return []
    taken = _taken(places)
    found: list[Box] = []
    for stroke in scaled:
        number = "" if stroke.link.weight is None else f" = {stroke.link.weight:.3g}"
        line: labels.Line = (labels.Run("ξ", italic=True), labels.Run(number))
        if stroke.link.says:
            line = (labels.Run(stroke.link.says),)
        lines = _points(other for other in strokes if other is not stroke)
        found.append(_best(_candidates(stroke, line), taken, lines))
    return found


def gates(diagram: Diagram, strokes: Sequence[Stroke], places: Sequence[Placed]) -> list[Text]:
    """The name of each gate beside the circle that computes it, where it covers the least."""
    named = [(s.caption, p) for s, p in zip(diagram.shapes, places, strict=True) if s.caption]
    if not named:
        return []
    taken, lines = _taken(places), _points(strokes)
    texts = []
    for name, place in named:
        line = (labels.Run(name, italic=True),)
        half_width, far = labels.width(line, GATE) / 2, place.half_width + BESIDE
        around = (
            Box("text", place.x + far * x, place.y + far * y, half_width, GATE / 2 - 1)
            for x, y in PLACES
        )
        best = _best(around, taken, lines)
        texts.append(Text("text", best.x, best.y, line, GATE))
    return texts


def _taken(places: Sequence[Placed]) -> list[tuple[float, ...]]:
    return [(p.x, p.y, p.half_width, p.half_height) for p in places]


def _points(strokes: Iterable[Stroke]) -> Array:
    return np.concatenate([np.zeros((0, 2)), *(sample(stroke.curve) for stroke in strokes)])


def _best(boxes: Iterable[Box], taken: list[tuple[float, ...]], lines: Array) -> Box:
    """The first of the boxes that cover the least. From then on its place is taken."""
    best = min(boxes, key=lambda box: _covered(box, taken, lines))
    taken.append((best.x, best.y, best.half_width, best.half_height))
    return best


def _candidates(stroke: Stroke, line: labels.Line) -> Iterator[Box]:
    measure = Measure(stroke.curve)
    half_width = labels.width(line, SIZE) / 2 + PADDING
    for share in (0.5, 0.45, 0.4, 0.55, 0.6, 0.35, 0.65, 0.3, 0.7):
        x, y = measure.at(share * measure.total)
        yield Box("pill", x, y, half_width, HALF_HEIGHT, (line,), SIZE, corner=HALF_HEIGHT)


def _covered(pill: Box, taken: Sequence[tuple[float, ...]], lines: Array) -> int:
    """The amount that a pill covers. Boxes count more than lines."""
    boxes = sum(
        abs(pill.x - x) < pill.half_width + w + APART
        and abs(pill.y - y) < pill.half_height + h + APART
        for x, y, w, h in taken
    )
    off = np.abs(lines - (pill.x, pill.y)) < (pill.half_width, pill.half_height)
    return 100 * boxes + int(np.sum(off.all(axis=1)))
