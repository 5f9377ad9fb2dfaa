"""The same network under several strategies, side by side, with the matrix of each.

Nothing is recorded again. A strategy is its matrix M, and its gradient is Σ M[t, s] ∂L_t/∂W_s.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

from tinygrad_rnn.engine.graph import Array
from viz import labels
from viz.geometry import Point
from viz.labels import Run
from viz.scene import Box, Scene, Text, moved
from viz.themes import loss_colour

BETWEEN = 36.0
CELL = 10.0


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
    """The scenes side by side, each with its name above it."""
    made = Scene(title, f"under {', '.join(names)}: {scenes[0].description}")
    made.diagram = scenes[0].diagram
    x = 0.0
    top = max(scene.bounds()[1][1] for scene in scenes)
    for scene, name in zip(scenes, names, strict=True):
        (left, _), (right, _) = scene.bounds()
        by = x - left
        made.boxes += [replace(box, x=box.x + by) for box in scene.boxes]
        made.texts += [replace(text, x=text.x + by) for text in scene.texts]
        made.paths += [moved(path, partial(_aside, by)) for path in scene.paths]
        made.texts.append(Text("text", x, top + 10, (Run(name),), labels.SIZE + 1, "start"))
        x += right - left + BETWEEN
    return made


def _aside(by: float, point: Point) -> Point:
    return point[0] + by, point[1]
