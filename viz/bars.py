"""Bars beside a picture: the contribution of each loss to a tied parameter's gradient at each step.

A bar is ⟨∂L_t/∂W_s, ĝ⟩, where ĝ is the direction of the full gradient. It is the contribution of
loss t at step s, projected on the gradient. So bars have signs, and they add up to the gradient's
norm. The norms of the contributions do not add up.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tinygrad_rnn.engine.graph import Node
from viz import labels
from viz.backward.recording import EVERY_ROW, Tied
from viz.geometry import line
from viz.gradients import Flows
from viz.labels import Run
from viz.layout import PITCH
from viz.legend import ALL, SMALL
from viz.scene import Box, Path, Scene, Text

LONGEST_BAR, BAR_HEIGHT = 60.0, 13.0
COLUMN, ROOM = 96.0, 44.0  # from parameter to parameter, and before the first one
MOST_PARAMETERS = 6


def add_bars(scene: Scene, rows: Sequence[float], edge: float, flows: Flows) -> None:
    """Add bars for each tied parameter, one per step, and their sum. This is a `margin.Painter`."""
    recording = flows.recording
    tied = {n: t for n, t in recording.tied.items() if len({row for _, row in t.along}) > 1}
    for number, (node, one) in enumerate(list(tied.items())[:MOST_PARAMETERS]):
        _bars_of(scene, flows, node, one, edge + ROOM + COLUMN * number, rows)


def _bars_of(
    scene: Scene, flows: Flows, node: Node, tied: Tied, x: float, rows: Sequence[float]
) -> None:
    whole = float(np.linalg.norm(tied.full)) or 1.0
    scale = LONGEST_BAR / whole
    name = (Run("∂"), Run("L", italic=True), Run("/∂"), *labels.name_runs(node.name or "W"))
    y = rows[-1] + PITCH / 2 + 6
    scene.texts.append(Text("text", x, y, name, labels.SIZE))
    total = 0.0
    low = rows[0] - PITCH
    scene.paths.append(Path("faint", ([line((x, low - 10), (x, rows[-1] + 12))],), width=0.5))
    drawn = flows.diagram.drawn_rows
    ends: dict[tuple[int, int], float] = {}  # the extent of the bars of a row, by sign
    for (source, row), along in sorted(tied.along.items()):
        if not flows.counts(source):
            continue
        part = along * flows.weight(source, None if row == EVERY_ROW else row)
        total += part
        height = low if row == EVERY_ROW else rows[drawn[row] if drawn else row]
        if row == EVERY_ROW or abs(part * scale) < 0.05:
            continue
        key = round(height), int(np.sign(part))
        start = ends.get(key, 0.0)
        ends[key] = start + part
        middle, half = x + (start + part / 2) * scale, abs(part * scale) / 2
        note = f"{part:.3g} of {whole:.3g}, loss {source + 1} at step {row + 1}"
        scene.boxes.append(
            Box("bar", middle, height, half, BAR_HEIGHT / 2, colour=flows.colour(source),
                title=note)
        )  # fmt: skip
    scene.boxes.append(
        Box("bar", x + total * scale / 2, low, abs(total * scale) / 2, BAR_HEIGHT / 2,
            colour=ALL, title=f"the bars add up to {total:.3g}")
    )  # fmt: skip
    scene.boxes.append(
        Box("outline", x + LONGEST_BAR / 2, low, LONGEST_BAR / 2, BAR_HEIGHT / 2,
            title=f"the norm of the full gradient, {whole:.3g}")
    )  # fmt: skip
    said = f"Σ = {total:.3g}"
    if flows.weights is not None:
        said = f"{total / whole:.0%} of {whole:.3g}"
        if (angle := _angle(flows, tied)) is not None and angle >= 0.5:
            said += f", {angle:.0f}° off"
    scene.texts.append(Text("muted", x, low - 12, (Run(said),), SMALL, "start"))


def _angle(flows: Flows, tied: Tied) -> float | None:
    """The angle between the truncated and the full gradient, in degrees; None where only norms were
    kept."""
    if set(tied.uses) != set(tied.along):
        return None
    cut = sum(
        use * flows.weight(source, None if row == EVERY_ROW else row)
        for (source, row), use in tied.uses.items()
    )
    long = float(np.linalg.norm(cut) * np.linalg.norm(tied.full))
    if not long:
        return None
    return float(np.degrees(np.arccos(np.clip(np.vdot(cut, tied.full) / long, -1, 1))))
