"""The margin of a picture: bars and matrices beside its rows.

The margin is laid out to the right of the picture, as if time ran upwards. Then it is turned in the
picture's direction.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from viz.diagram import Diagram
from viz.geometry import Point
from viz.layout import PITCH, Layout
from viz.scene import Scene, moved
from viz.turning import turned

Painter = Callable[[Scene, list[float], float], None]
"""A function that adds shapes to a scene, right of an x, at the heights of the rows."""


class Margin:
    """The rows of a picture, and the shapes beside it.

    rows: the heights of the rows, growing with time.
    """

    def __init__(self, diagram: Diagram, layout: Layout, direction: str) -> None:
        self.direction = direction
        places = [turned(place.centre, direction)[1] for place in layout.places]
        self.rows = _heights(diagram, places)

    def row(self, number: int) -> float:
        """The position of a row in the picture: its height, or its distance to the right."""
        return -self.rows[number] if self.direction == "down" else self.rows[number]

    def add(self, scene: Scene, paint: Painter) -> None:
        """Paint beside the scene: to its right, or below it where time runs to the right."""
        (_, low), (right, _) = scene.bounds()
        sideways = self.direction == "right"
        made = Scene("", "")
        paint(made, self.rows, 0.0 if sideways else right)
        down = low - made.bounds()[1][0] - 12.0

        def to(point: Point) -> Point:
            x, y = turned(point, self.direction)
            return x, y + down * sideways

        for box in made.boxes:
            x, y = to((box.x, box.y))
            wide, high = box.half_width, box.half_height
            if sideways:
                wide, high = high, wide
            scene.boxes.append(replace(box, x=x, y=y, half_width=wide, half_height=high))
        for text in made.texts:
            x, y = to((text.x, text.y))
            anchor = text.anchor
            if sideways:  # the shapes that were under the rows are now on their left
                below, above = text.y < self.rows[0], text.y > self.rows[-1]
                anchor = "end" if below else "start" if above else "middle"
            scene.texts.append(replace(text, x=x, y=y, anchor=anchor))
        scene.paths += [moved(path, to) for path in made.paths]


def _heights(diagram: Diagram, places: list[float]) -> list[float]:
    """The height of every row."""
    found: list[list[float]] = [[] for _ in range(diagram.rows)]
    for shape, y in zip(diagram.shapes, places, strict=True):
        if shape.row is not None and shape.kind != "dots":
            found[shape.row].append(y)
    known = {r: (min(t) + max(t)) / 2 for r, t in enumerate(found) if t}
    if not known:
        return [(r + 1.5) * PITCH for r in range(diagram.rows)]
    return [float(y) for y in np.interp(range(diagram.rows), list(known), list(known.values()))]
