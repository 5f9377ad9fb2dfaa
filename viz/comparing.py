"""The same network under several strategies, side by side, with the matrix of each.

Nothing is recorded again. A strategy is its matrix M, and its gradient is Σ M[t, s] ∂L_t/∂W_s.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import TypeVar

from tinygrad_rnn.engine.graph import Array
from viz import labels
from viz.geometry import Point
from viz.labels import Run
from viz.scene import Box, Scene, Text, moved
from viz.themes import loss_colour

BETWEEN = 36.0
CELL = 10.0
WIDEST = 1500.0  # of a row
Item = TypeVar("Item", Box, Text)


def add_matrix(scene: Scene, rows: Sequence[float], edge: float, weights: Array) -> None:
    """Add the matrix that shows which loss reaches which step. It has a column for each loss, and a
    cell at the height of each step. This is a `margin.Painter`."""
    count = len(weights)
    wide = min(CELL, 120 / count)
    high = min(0.6 * abs(rows[1] - rows[0]) if len(rows) > 1 else CELL, 16.0)
    left = edge + 16
    for t in range(count):
        x = left + (t + 0.5) * wide
        if count <= 12:
            name = (Run("l", italic=True), Run(str(t + 1), level=-1))
            scene.texts.append(Text("muted", x, max(rows) + high / 2 + 8, name, 6.4))
        for s in range(t + 1):
            weight = float(weights[t, s])
            colour = loss_colour(t, count) if weight else ""
            said = f"loss {t + 1} counts {weight:.3g} times at step {s + 1}"
            scene.boxes.append(
                Box("outline", x, rows[s], wide / 2 - 0.75, high / 2, colour=colour, title=said)
            )
            if weight not in (0.0, 1.0):
                number = (Run(f"{weight:.2g}"),)
                scene.texts.append(Text("text", x, rows[s], number, min(5.0, wide / 2)))


def beside(scenes: Sequence[Scene], names: Sequence[str], title: str) -> Scene:
    """The scenes side by side, each with its name above it. What does not fit into the width of a
    page goes into another row."""
    made = Scene(title, f"under {', '.join(names)}: {scenes[0].description}")
    made.diagram = scenes[0].diagram
    bounds = [scene.bounds() for scene in scenes]
    wide = max(right - left for (left, _), (right, _) in bounds) + BETWEEN
    high = max(top - low for (_, low), (_, top) in bounds) + BETWEEN
    columns = max(1, int((WIDEST + BETWEEN) // wide))
    for n, (scene, name, (corner, top)) in enumerate(
        zip(scenes, names, ((low[0], high[1]) for low, high in bounds), strict=True)
    ):
        row, column = divmod(n, columns)
        by = partial(_aside, (wide * column - corner, -high * row - top))
        made.boxes += [_moved(box, by) for box in scene.boxes]
        made.texts += [_moved(text, by) for text in scene.texts]
        made.paths += [moved(path, by) for path in scene.paths]
        line = (Run(name),)
        above = Text("text", wide * column, 10 - high * row, line, labels.SIZE + 1, "start")
        made.texts.append(above)
    return made


def _aside(by: Point, point: Point) -> Point:
    return point[0] + by[0], point[1] + by[1]


def _moved(item: Item, by: Callable[[Point], Point]) -> Item:
    x, y = by((item.x, item.y))
    return replace(item, x=x, y=y)
