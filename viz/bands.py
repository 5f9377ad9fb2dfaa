"""Bands: a frame with a title around each part of a network that `tg.scope` names."""

from __future__ import annotations

from viz.labels import Run
from viz.scene import Box, Scene, Text

PADDING = 5.0
TITLE = 7.0


def add_bands(scene: Scene) -> None:
    """Add a band around each part whose shapes have no other shape between them."""
    diagram = scene.diagram
    assert diagram is not None
    shapes = [box for box in scene.boxes if box.shape is not None]
    parts = dict.fromkeys(s.part for s in diagram.shapes if s.part and s.rows is not None)
    if len(parts) < 2:
        return
    bands = []
    for part in parts:
        own = {i for i, s in enumerate(diagram.shapes) if s.part == part and s.rows is not None}
        inside = [box for box in shapes if box.shape in own]
        left = min(box.x - box.half_width for box in inside) - PADDING
        right = max(box.x + box.half_width for box in inside) + PADDING
        low = min(box.y - box.half_height for box in inside) - PADDING
        high = max(box.y + box.half_height for box in inside) + PADDING
        middle, height = (left + right) / 2, (low + high) / 2
        half_width, half_height = (right - left) / 2, (high - low) / 2
        others = [box for box in shapes if box not in inside]
        if any(
            abs(box.x - middle) < half_width + box.half_width
            and abs(box.y - height) < half_height + box.half_height
            for box in others
        ):
            continue
        title = f"the part {part}"
        bands.append(Box("band", middle, height, half_width, half_height, corner=6, title=title))
        line = (Run(part, italic=True),)
        scene.texts.append(Text("muted", right - 4, high + TITLE / 2 + 1, line, TITLE, "end"))
    scene.boxes[:0] = bands
