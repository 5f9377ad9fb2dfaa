"""Truncation strategies side by side: a text, and below it how far the gradient reaches.

Each strategy has a row of arrows. They are read from its `weights`: an arrow spans the steps
that one loss reaches, and what lies within another arrow is left out. Strategies whose reaches
overlap, such as windows, have several lines to their row.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from tinygrad_rnn.recurrent.truncation import Truncation
from viz import labels
from viz.dot import new_graph, number, plain
from viz.figure import Figure

# The measures of the textbook's figure, in points.
MONOSPACE = "cmtt10,Courier New,Courier,Nimbus Mono PS,DejaVu Sans Mono,monospace"
SIZE = 16.0
ADVANCE = 8.4  # from letter to letter
FIRST_ROW = 26.0  # below the middle of the text
PITCH = 18.4  # from row to row
LINE = 6.0  # between the lines of one row
INSET = 0.6  # of an arrow's ends from the edges of its letters
HEAD = 4.0


def draw_truncations(
    text: str, strategies: Sequence[Truncation] | Mapping[str, Truncation]
) -> Figure:
    """Draw the text, a step for each character, and a row of arrows per strategy.

    strategies: truncations such as `tg.Subsequence(4)`, drawn from top to bottom; as a dict, with
        its keys as their names.
    An arrow runs from f(t) to t, for the losses whose reach is not within another's. Chapter
    "Backpropagation Through Time", section "Comparing Strategies".
    Raises ValueError for an empty text, or where the sequences of a batch differ.

    >>> import tinygrad_rnn as tg, viz
    >>> figure = viz.draw_truncations("the time machine", [tg.Subsequence(4), tg.Full()])
    >>> figure.source.count(" -> ")
    5
    """
    if not text:
        raise ValueError("there is no text to draw the strategies under")
    rows = strategies if isinstance(strategies, Mapping) else dict(enumerate(strategies))
    dot = new_graph()
    dot.graph_attr["pad"] = "0.1"
    dot.edge_attr |= {"arrowhead": "normal", "arrowsize": "0.4"}
    for t, letter in enumerate(text):
        dot.node(
            f"c{t}",
            plain(letter),
            shape="none",
            pos=f"{number(ADVANCE * (t + 0.5))},0",
            fixedsize="false",  # a face that has to stand in may be wider
            width=f"{ADVANCE / 72:.4f}",
            height=f"{SIZE * 1.4 / 72:.4f}",
            fontname=MONOSPACE,
            fontsize=f"{SIZE:g}",
        )
    y = -FIRST_ROW
    for place, (name, strategy) in enumerate(rows.items()):
        lines = _packed(reaches(strategy, len(text)))
        if isinstance(name, str):
            half = labels.width(name) / 2 + 3
            dot.node(
                f"name{place}",
                plain(name),
                shape="none",
                pos=f"{number(-half - 8)},{number(y - LINE * (len(lines) - 1) / 2)}",
                width=f"{half / 36:.4f}",
                height="0.2",
            )
        for line in lines:
            for first, last in line:
                start, tip = ADVANCE * first + INSET, ADVANCE * (last + 1) - INSET
                dot.edge(f"c{first}", f"c{last}", pos=_arrow(start, tip, y))
            y -= LINE
        y -= PITCH - LINE
    return Figure(str(dot.source), "truncation strategies")


def reaches(strategy: Truncation, steps: int) -> list[tuple[int, int]]:
    """The stretches (f(t), t) that lie within no other one.

    >>> import tinygrad_rnn as tg
    >>> from viz.strategies import reaches
    >>> reaches(tg.Subsequence(3), 8)
    [(0, 2), (3, 5), (6, 7)]
    """
    weights = np.asarray(strategy.weights(steps))
    if weights.ndim != 2:
        raise ValueError(
            f"the sequences of a batch differ here (weights of shape {weights.shape}); "
            f"draw a strategy of one sequence"
        )
    found: list[tuple[int, int]] = []
    for t in reversed(range(steps)):
        first = int(np.flatnonzero(weights[t])[0])
        if not found or first < found[-1][0]:
            found.append((first, t))
    return found[::-1]


def _packed(stretches: Sequence[tuple[int, int]]) -> list[list[tuple[int, int]]]:
    """The stretches on as few lines as they need so as not to overlap."""
    lines: list[list[tuple[int, int]]] = []
    for stretch in stretches:
        line = next((li for li in lines if li[-1][1] < stretch[0]), None)
        if line is None:
            lines.append([stretch])
        else:
            line.append(stretch)
    return lines


def _arrow(start: float, tip: float, y: float) -> str:
    end = tip - HEAD
    points = [start, (2 * start + end) / 3, (start + 2 * end) / 3, end]
    return f"e,{number(tip)},{number(y)} " + " ".join(f"{number(x)},{number(y)}" for x in points)
