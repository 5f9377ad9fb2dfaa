"""Truncation strategies compared: a text, and below it how far the gradient reaches.

Each strategy has a row of arrows, read from its `weights`. An arrow spans the steps that one loss
reaches. An arrow that lies within another one is left out. A strategy whose reaches overlap, such
as windows, has several lines in its row.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from tinygrad_rnn.recurrent.truncation import Truncation
from viz import checks, labels
from viz.figure import Figure
from viz.geometry import Point, line
from viz.scene import Path, Scene, Text

# The dimensions of the textbook's figure, in points.
SIZE = 14.0
ADVANCE = 8.4  # from letter to letter
FIRST_ROW = 26.0  # below the middle of the text
PITCH = 18.4  # from row to row
LINE = 6.0  # between the lines of one row
INSET = 0.6  # of an arrow's ends from the edges of its letters
HEAD = 4.0
WING = 1.4  # half of an arrow's width


def draw_truncations(
    text: str, strategies: Sequence[Truncation] | Mapping[str, Truncation]
) -> Figure:
    """Draw the text, a step for each character, and a row of arrows per strategy.

    strategies: truncations such as `tg.Subsequence(4)`, drawn from top to bottom. The keys of a
        dict are their names.
    An arrow runs from f(t) to t for each loss whose reach is not within another's. Chapter
    "Backpropagation Through Time", section "Comparing Strategies".
    Raises ValueError for an empty text, or where the sequences of a batch differ.

    >>> import tinygrad_rnn as tg, viz
    >>> figure = viz.draw_truncations("the time machine", [tg.Subsequence(4), tg.Full()])
    >>> figure.source.count(" -> ")
    5
    """
    checks.text("text", text)
    if not text:
        raise ValueError("text is empty: pass one character for each step")
    known = strategies.values() if isinstance(strategies, Mapping) else strategies
    if not checks.truncations("strategies", known):
        raise ValueError("strategies is empty: pass one or more, such as [tg.Full()]")
    rows = strategies if isinstance(strategies, Mapping) else dict(enumerate(strategies))
    scene = Scene("truncation strategies", "")
    for t, letter in enumerate(text):
        run = labels.Run(letter.replace(" ", "\u00a0"))
        x = ADVANCE * (t + 0.5)
        scene.texts.append(Text("text", x, 0.0, (run,), SIZE, monospace=True, id=f"c{t}"))
    y, said = -FIRST_ROW, []
    for name, strategy in rows.items():
        stretches = reaches(strategy, len(text))
        said.append(f"{name if isinstance(name, str) else strategy}: {len(stretches)} stretches")
        lines = _packed(stretches)
        if isinstance(name, str):
            middle = y - LINE * (len(lines) - 1) / 2
            scene.texts.append(Text("text", -8.0, middle, (labels.Run(name),), anchor="end"))
        for packed in lines:
            scene.paths += [_arrow(first, last, y) for first, last in packed]
            y -= LINE
        y -= PITCH - LINE
    scene.description = f"how far back each loss reaches in {text!r}; " + "; ".join(said)
    return Figure(scene)


def reaches(strategy: Truncation, steps: int) -> list[tuple[int, int]]:
    """The intervals (f(t), t) that lie within no other interval.

    >>> import tinygrad_rnn as tg
    >>> from viz.strategies import reaches
    >>> reaches(tg.Subsequence(3), 8)
    [(0, 2), (3, 5), (6, 7)]
    """
    weights = checks.weights_of(strategy, steps, "draw")
    found: list[tuple[int, int]] = []
    for t in reversed(range(steps)):
        first = int(np.flatnonzero(weights[t])[0])
        if not found or first < found[-1][0]:
            found.append((first, t))
    return found[::-1]


def _packed(stretches: Sequence[tuple[int, int]]) -> list[list[tuple[int, int]]]:
    """The intervals, arranged on as few lines as possible without overlap."""
    lines: list[list[tuple[int, int]]] = []
    for stretch in stretches:
        line = next((li for li in lines if li[-1][1] < stretch[0]), None)
        if line is None:
            lines.append([stretch])
        else:
            line.append(stretch)
    return lines


def _arrow(first: int, last: int, y: float) -> Path:
    start, tip = ADVANCE * first + INSET, ADVANCE * (last + 1) - INSET
    end = tip - HEAD
    corners: list[Point] = [(end, y + WING), (tip, y), (end, y - WING)]
    head = [line(corners[0], corners[1]), line(corners[1], corners[2])]
    ends = f"c{first}", f"c{last}"
    return Path("link", ([line((start, y), (end, y))],), head, ends=ends, filled=True)
