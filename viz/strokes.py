"""Strokes: the visible pieces of each line, its arrow, and the bars of a cut.

Where two lines cross, the lower line is broken, as in the textbook. In large figures, and where
many lines cross, the upper line has a casing instead, a rim in the colour of the paper. Writers
without casings break the lower line where a casing would cover it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from viz.diagram import Diagram, Link
from viz.geometry import Curve, Measure, Segments, distance, line, part

ARROW = 4.0  # an arrow's length
WING = 1.5  # half of its width
GAP = 5.5  # half of the gap where a line is crossed
CASING = 4.6  # the width of a casing
CASED = 3.4  # half of how long
STUB = 4.0  # the least visible part of a line before its first gap
CRUMB = 7.0  # shorter pieces between two gaps are left out
BAR = 4.0  # half of a bar across a cut
BARS_APART = 4.0
MANY = 0.4  # crossings for each link, from which on lines have casings


@dataclass
class Stroke:
    """A link as it is drawn.

    pieces: the parts between the gaps. The last part ends at the arrow's tip.
    cased: the parts for writers with casings, where only a cut breaks the line.
    bars: short lines across a link that was cut.
    rims: the parts of the casing. rank: lines of lower rank are drawn first.
    """

    link: Link
    curve: Curve
    pieces: list[Curve] = field(default_factory=list)
    cased: list[Curve] = field(default_factory=list)
    bars: list[Curve] = field(default_factory=list)
    rims: list[Curve] = field(default_factory=list)
    rank: int = 0


def strokes(diagram: Diagram, curves: Sequence[Curve]) -> list[Stroke]:
    """One stroke per link. The lines of parameters lie on top, straight lines below them, and lines
    through channels at the bottom."""
    drawn = [Stroke(link, curve) for link, curve in zip(diagram.links, curves, strict=True)]
    measures = [Measure(r.curve) for r in drawn]
    gaps: list[list[float]] = [[] for _ in drawn]
    segments = Segments(measures)
    sources = np.array([link.source for link in diagram.links])
    targets = np.array([link.target for link in diagram.links])
    rank = [(not _is_on_top(diagram, r), len(r.curve) > 1, i) for i, r in enumerate(drawn)]
    rims: dict[tuple[float, float], tuple[int, float]] = {}  # by place: one for all on a rail
    for i, r in enumerate(drawn):
        r.rank = -sum(rank[i][:2])
        meeting = (sources == r.link.source) | (targets == r.link.target)
        for j, at_i, at_j in segments.crossings(i, meeting):
            (above, at), (below, under) = ((i, at_i), (j, at_j))
            if rank[above] > rank[below]:
                (above, at), (below, under) = (below, under), (above, at)
            gaps[below].append(under)
            x, y = measures[above].at(at)
            rims.setdefault((round(x), round(y)), (above, at))
    cased = diagram.is_dense or sum(map(len, gaps)) > MANY * len(drawn)
    for above, at in rims.values() if cased else ():
        m = measures[above]
        stop = min(at + CASED, m.total - ARROW)
        if stop > (start := max(at - CASED, 0.0)):
            drawn[above].rims.append(part(m.curve, m.place(start), m.place(stop)))
    half = CASING / 2 if cased else GAP
    for r, measure, crossed in zip(drawn, measures, gaps, strict=True):
        hidden = [(at - half, at + half) for at in crossed]
        cut: list[tuple[float, float]] = []
        if r.link.weight == 0:
            cut = [_cut(r, measure, hidden)]
        r.pieces = _visible(r.curve, measure, hidden + cut)
        r.cased = _visible(r.curve, measure, cut) if cased else list(r.pieces)
    return drawn


def _is_on_top(diagram: Diagram, r: Stroke) -> bool:
    """Whether a line comes from a shape that all rows share."""
    source = diagram.shapes[r.link.source]
    return source.rows is None and source.beside is None


def _visible(curve: Curve, measure: Measure, hidden: list[tuple[float, float]]) -> list[Curve]:
    """The pieces outside the gaps. A stub at the start and the arrow stay visible."""
    first, last = min(STUB, measure.total / 3), measure.total - ARROW - 0.25
    pieces: list[Curve] = []
    here = 0.0
    for low, high in sorted(hidden):
        low, high = max(low, first), min(high, last)
        if high <= max(low, here):
            continue
        if low > here + (CRUMB if here else 0):
            pieces.append(part(curve, measure.place(here), measure.place(low)))
        here = high
    pieces.append(part(curve, measure.place(here), len(curve)))
    return pieces


def _cut(r: Stroke, measure: Measure, hidden: list[tuple[float, float]]) -> tuple[float, float]:
    """A gap with a bar at either side, in the middle of the longest visible piece."""
    free, here = [], 0.0
    for low, high in [*sorted(hidden), (measure.total - ARROW, measure.total)]:
        free.append((low - here, (low + here) / 2))
        here = max(here, high)
    _, middle = max(free)
    for at in (middle - BARS_APART / 2, middle + BARS_APART / 2):
        (x, y), (dx, dy) = measure.at(at), measure.direction(at)
        r.bars.append([line((x - BAR * dy, y + BAR * dx), (x + BAR * dy, y - BAR * dx))])
    return middle - BARS_APART / 2, middle + BARS_APART / 2


def arrow_head(curve: Curve) -> Curve:
    """The two strokes of the open arrow at the end of a curve."""
    _, _, before, tip = curve[-1]
    if distance(before, tip) < 1e-9:
        before = curve[-1][0]
    long = distance(before, tip)
    dx, dy = (tip[0] - before[0]) / long, (tip[1] - before[1]) / long
    back = tip[0] - ARROW * dx, tip[1] - ARROW * dy
    return [
        line((back[0] - WING * dy, back[1] + WING * dx), tip),
        line(tip, (back[0] + WING * dy, back[1] - WING * dx)),
    ]
