"""Strands: the gradients along a link, with one line for each loss, side by side.

A cut strand starts at the later end and stops at a bar.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from viz.curves import TIP, within
from viz.geometry import Cubic, Curve, Measure, Point, distance, line, part
from viz.layout import Placed
from viz.scene import Path

THINNEST, THICKEST = 0.5, 2.6
DECADES = 4.0  # of norms between the narrowest and the widest
APART = 0.5
MOST = 13  # the most strands side by side; those of the earliest losses are drawn as one
WIDEST, IN_CHANNEL = 14.0, 4.2  # all strands of a straight link together, and of a bent one
CUT_AT = 0.62  # the fraction of the length at which a cut strand ends
BAR = 1.6  # the extent of a bar on either side


@dataclass(frozen=True)
class Strand:
    """The gradient of one loss along a link. size: its norm, relative to the largest in the
    picture.

    loss: the number of the loss; None for all losses together.
    """

    loss: int | None
    size: float
    colour: str
    cut: bool = False

    @property
    def width(self) -> float:
        return width_of(self.size)


def width_of(size: float) -> float:
    """The width of a strand, on a logarithmic scale over four decades.

    >>> from viz.strands import width_of
    >>> [round(width_of(10.0**-n), 2) for n in range(5)]
    [2.6, 2.08, 1.55, 1.02, 0.5]
    """
    if size <= 0:
        return THINNEST
    share = max(0.0, 1 + math.log10(min(size, 1.0)) / DECADES)
    return THINNEST + (THICKEST - THINNEST) * share


def bundle(strands: Sequence[Strand]) -> list[Strand]:
    """The strands of a link, reduced to as many as can be distinguished."""
    strands = list(strands)
    if len(strands) <= MOST:
        return strands
    first, rest = strands[: len(strands) - MOST + 1], strands[len(strands) - MOST + 1 :]
    size = math.sqrt(sum(strand.size**2 for strand in first))
    return [Strand(first[-1].loss, size, first[-1].colour, all(s.cut for s in first)), *rest]


def paths(curve: Curve, strands: Sequence[Strand], source: Placed, target: Placed) -> list[Path]:
    """The strands along a link's curve, from outline to outline.

    The gradient enters at the end of the curve. Many strands are narrower, so that they fit between
    shapes, and fit into a channel where the link is bent.
    """
    strands = bundle(strands)
    whole = sum(strand.width for strand in strands) + APART * (len(strands) - 1)
    narrower = min(1.0, (WIDEST if len(curve) == 1 else IN_CHANNEL) / whole) if whole else 1.0
    drawn, here = [], -narrower * whole / 2
    for strand in strands:
        width = narrower * strand.width
        aside = here + width / 2
        here += width + narrower * APART
        beside = _between([offset(cubic, aside) for cubic in curve], source, target)
        bars: list[Curve] = []
        if strand.cut:
            measure = Measure(beside)
            at = (1 - CUT_AT) * measure.total
            (x, y), (dx, dy) = measure.at(at), measure.direction(at)
            far = width / 2 + BAR
            bars = [[line((x - far * dy, y + far * dx), (x + far * dy, y - far * dx))]]
            beside = part(beside, measure.place(at), len(beside))
        drawn.append(Path("strand", (beside, *bars), width=width, colour=strand.colour))
    return drawn


def _between(curve: Curve, source: Placed, target: Placed) -> Curve:
    """The part of the curve outside of both shapes."""
    measure = Measure(curve)
    outside = ~within(source, measure.dense, 0.5) & ~within(target, measure.dense, TIP - 0.2)
    places = measure.dense_places[outside]
    return part(curve, float(places[0]), float(places[-1])) if len(places) > 1 else curve


def offset(cubic: Cubic, aside: float) -> Cubic:
    """The offset curve at this distance to the left, approximated for gentle curves."""
    a, b, c, d = cubic
    first, last = _normal(a, b, d), _normal(c, d, a)
    if distance(c, d) < 1e-9:
        last = _normal(b, d, a)

    def moved(point: Point, normal: Point) -> Point:
        return point[0] + aside * normal[0], point[1] + aside * normal[1]

    return moved(a, first), moved(b, first), moved(c, last), moved(d, last)


def _normal(a: Point, b: Point, otherwise: Point) -> Point:
    if distance(a, b) < 1e-9:
        b = otherwise
    long = distance(a, b) or 1.0
    return -(b[1] - a[1]) / long, (b[0] - a[0]) / long
