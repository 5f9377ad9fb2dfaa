"""Captions: pills on lines, with the factor ξ that multiplies the gradient there."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from viz import labels
from viz.geometry import Measure, sample
from viz.layout import Placed
from viz.scene import Box
from viz.strokes import Stroke

SIZE = 6.4
HALF_HEIGHT = 4.5
PADDING = 2.0
APART = 2.2  # from the shapes


def captions(strokes: Sequence[Stroke], places: Sequence[Placed]) -> list[Box]:
    """One pill for every link that is scaled or reset. It lies on the link, where it covers the
    least."""
    scaled = [s for s in strokes if s.link.weight not in (0, 1) or s.link.says]
    if not scaled:
        return []
    taken = [(p.x, p.y, p.half_width, p.half_height) for p in places]
    found: list[Box] = []
    for stroke in scaled:
        number = "" if stroke.link.weight is None else f" = {stroke.link.weight:.3g}"
        line: labels.Line = (labels.Run("ξ", italic=True), labels.Run(number))
        if stroke.link.says:
            line = (labels.Run(stroke.link.says),)
        others = [sample(other.curve) for other in strokes if other is not stroke]
        lines = np.concatenate(others) if others else np.zeros((0, 2))
        best = min(
            enumerate(_candidates(stroke, line)),
            key=lambda item: (_covered(item[1], taken, lines), item[0]),
        )[1]
        taken.append((best.x, best.y, best.half_width, best.half_height))
        found.append(best)
    return found


def _candidates(stroke: Stroke, line: labels.Line) -> Iterator[Box]:
    measure = Measure(stroke.curve)
    half_width = labels.width(line, SIZE) / 2 + PADDING
    for share in (0.5, 0.45, 0.4, 0.55, 0.6, 0.35, 0.65, 0.3, 0.7):
        x, y = measure.at(share * measure.total)
        yield Box("pill", x, y, half_width, HALF_HEIGHT, (line,), SIZE, corner=HALF_HEIGHT)


def _covered(pill: Box, taken: Sequence[tuple[float, ...]], lines: np.ndarray) -> int:
    """The amount that a pill covers. Boxes count more than lines."""
    boxes = sum(
        abs(pill.x - x) < pill.half_width + w + APART
        and abs(pill.y - y) < pill.half_height + h + APART
        for x, y, w, h in taken
    )
    off = np.abs(lines - (pill.x, pill.y)) < (pill.half_width, pill.half_height)
    return 100 * boxes + int(np.sum(off.all(axis=1)))
