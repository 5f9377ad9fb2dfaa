"""What is written beside a line: the ξ by which the gradient is multiplied there."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from viz import labels
from viz.geometry import Measure, sample
from viz.layout import Placed
from viz.strokes import Stroke

SIZE = 6.5


@dataclass(frozen=True)
class Caption:
    """A text, its centre and half of its width and height."""

    text: str
    x: float
    y: float
    half_width: float
    half_height: float


def captions(strokes: Sequence[Stroke], places: Sequence[Placed]) -> list[Caption]:
    """One caption for every scaled link, where it covers the least."""
    scaled = [stroke for stroke in strokes if stroke.link.weight not in (0, 1)]
    if not scaled:
        return []
    lines = np.concatenate([sample(stroke.curve) for stroke in strokes])
    taken = [(p.x, p.y, p.half_width, p.half_height) for p in places]
    found: list[Caption] = []
    for stroke in scaled:
        number = "" if stroke.link.weight is None else f" = {stroke.link.weight:.3g}"
        text = f"<I>ξ</I>{number}"
        best = min(
            enumerate(_candidates(stroke, text)),
            key=lambda item: (_covered(item[1], taken, lines), item[0]),
        )[1]
        taken.append((best.x, best.y, best.half_width, best.half_height))
        found.append(best)
    return found


def _candidates(stroke: Stroke, text: str) -> Iterator[Caption]:
    measure = Measure(stroke.curve)
    half_width, half_height = labels.width(text) * SIZE / labels.SIZE / 2 + 1.0, 4.0
    for share in (0.5, 0.4, 0.6, 0.3, 0.7, 0.2, 0.8):
        (x, y), (dx, dy) = (
            measure.at(share * measure.total),
            measure.direction(share * measure.total),
        )
        away = half_width * abs(dy) + half_height * abs(dx)
        for side in (1.0, -1.0):
            yield Caption(text, x + side * away * dy, y - side * away * dx, half_width, half_height)


def _covered(caption: Caption, taken: Sequence[tuple[float, ...]], lines: np.ndarray) -> int:
    """How much lies under the caption: boxes weigh more than lines."""
    boxes = sum(
        abs(caption.x - x) < caption.half_width + w and abs(caption.y - y) < caption.half_height + h
        for x, y, w, h in taken
    )
    off = np.abs(lines - (caption.x, caption.y)) < (caption.half_width, caption.half_height)
    return 100 * boxes + int(np.sum(off.all(axis=1)))
