"""What flows back, drawn into a picture: strands on the links, bars beside the tied parameters.

A bar is ⟨∂L_t/∂W_s, ĝ⟩, ĝ being the direction of the full gradient: what loss t adds at step s,
seen along the gradient. So bars have signs, and all of them add up to the gradient's norm; norms
themselves do not add.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from tinygrad_rnn.engine.graph import Array, Node
from viz import labels, strands
from viz.backward.flows import flow_of, nodes_of, total, uses_of
from viz.backward.recording import EVERY_ROW, Recording, Tied
from viz.diagram import Diagram, Link
from viz.geometry import line
from viz.labels import Run
from viz.layout import PITCH, Layout, Placed
from viz.legend import ALL, SMALL
from viz.scene import Box, Path, Scene, Text
from viz.strands import Strand
from viz.strokes import Stroke
from viz.themes import loss_colour

LONGEST_BAR, BAR_HEIGHT = 60.0, 13.0
COLUMN, ROOM = 96.0, 44.0  # from parameter to parameter, and before the first one
MOST_PARAMETERS = 6


@dataclass
class Flows:
    """What a recording sends along the links of a diagram, every loss by itself.

    weights: M, with which loss t counts at step s; None counts all of them once.
    """

    diagram: Diagram
    recording: Recording
    weights: Array | None = None

    def __post_init__(self) -> None:
        self.nodes = nodes_of(self.diagram)
        self.one_by_one = self.recording.no_chain is None

    def colour(self, source: int) -> str:
        if source == EVERY_ROW or not self.one_by_one:
            return ALL
        return loss_colour(source, len(self.recording.sources))

    def weight(self, source: int, row: int | None) -> float:
        """M[t, s]; 1 above all rows, and where there is no M."""
        loss = self.recording.sources[source].loss if source != EVERY_ROW else None
        if self.weights is None or loss is None or row is None:
            return 1.0
        return float(self.weights[loss, row])

    def strands(self, link: Link) -> list[Strand]:
        """Unscaled: their sizes are norms."""
        rows, uses = self.recording.rows, uses_of(link)
        later = {rows.of(user) for user, _ in uses} or {rows.of(self.nodes[link.target][-1])}
        earlier = {rows.of(parent) for _, parent in uses} or later
        above, below = (next(iter(s)) if len(s) == 1 else None for s in (later, earlier))
        if self.diagram.shapes[link.source].kind == "parameters":
            size = total(link, self.recording, lambda source: self._counted(source, above))
            return [Strand(None, size, ALL)] if size else []
        found = []
        for source, norm in flow_of(link, self.nodes, self.recording).items():
            if not self.counts(source):
                continue
            upper, lower = self.weight(source, above), self.weight(source, below)
            if upper and norm:
                cut = lower == 0 or link.weight == 0
                found.append(Strand(source, norm * abs(upper), self.colour(source), cut))
        known = {strand.loss for strand in found}
        for source in self._cut_at(link):
            if source not in known:
                size = self._arriving(link.target, source)
                found.append(Strand(source, size, self.colour(source), cut=True))
        return sorted(found, key=lambda strand: strand.loss or 0)

    def counts(self, source: int) -> bool:
        """Whether it is a loss; else it may be another truncation of the same tape."""
        return self.one_by_one or source in (EVERY_ROW, 0)

    def _counted(self, source: int, row: int | None) -> float:
        return self.weight(source, row) if self.counts(source) else 0.0

    def _cut_at(self, link: Link) -> Iterable[int]:
        """The losses that come to a link which the tape itself has cut."""
        sources = range(len(self.recording.sources))
        if link.weight == 0 and not link.cutting:
            return [n for n in sources if self._arriving(link.target, n)]
        return [n for n in sources if self.recording.sources[n].loss in link.cutting]

    def _arriving(self, shape: int, source: int) -> float:
        found = [self.recording.gradients.get(node, {}).get(source) for node in self.nodes[shape]]
        return max((float(np.linalg.norm(g)) for g in found if g is not None), default=0.0)


def add_strands(scene: Scene, layout: Layout, lines: Sequence[Stroke], flows: Flows) -> None:
    """Strands on the links along which a gradient flows; the links themselves become faint."""
    found = [flows.strands(stroke.link) for stroke in lines]
    largest = max((s.size for bunch in found for s in bunch), default=0.0) or 1.0
    place = {path.link: n for n, path in enumerate(scene.paths) if path.link is not None}
    for i, (stroke, bunch) in enumerate(zip(lines, found, strict=True)):
        if bunch:
            path = scene.paths[place[i]]
            scene.paths[place[i]] = _faint(path)
            scaled = [Strand(s.loss, s.size / largest, s.colour, s.cut) for s in bunch]
            scene.paths += strands.paths(stroke.curve, scaled, *_ends(layout, stroke))


def add_reach(scene: Scene, layout: Layout, lines: Sequence[Stroke], count: int) -> None:
    """Which loss passes a link and which is cut at it, where each has a reach of its own."""
    diagram = scene.diagram
    assert diagram is not None
    place = {path.link: n for n, path in enumerate(scene.paths) if path.link is not None}
    for i, stroke in enumerate(lines):
        link = stroke.link
        source, target = diagram.shapes[link.source].rows, diagram.shapes[link.target].rows
        if not (link.passing or link.cutting) or source == target or source is None:
            continue
        bunch = [Strand(t, 0.05, loss_colour(t, count)) for t in link.passing]
        bunch += [Strand(t, 0.05, loss_colour(t, count), cut=True) for t in link.cutting]
        scene.paths[place[i]] = _faint(scene.paths[place[i]])
        bunch.sort(key=lambda s: s.loss or 0)
        scene.paths += strands.paths(stroke.curve, bunch, *_ends(layout, stroke))


def _ends(layout: Layout, stroke: Stroke) -> tuple[Placed, Placed]:
    return layout.places[stroke.link.source], layout.places[stroke.link.target]


def _faint(path: Path) -> Path:
    return Path("faint", path.curves, path.head, path.width, path.link, path.ends,
                rims=path.rims, gapped=path.gapped)  # fmt: skip


# Bars ------------------------------------------------------------------------------------------


def heights(diagram: Diagram, layout: Layout) -> list[float]:
    """The height of every row."""
    tops: list[list[float]] = [[] for _ in range(diagram.rows)]
    for shape, place in zip(diagram.shapes, layout.places, strict=True):
        if shape.row is not None and shape.kind != "dots":
            tops[shape.row].append(place.y)
    known = {r: (min(t) + max(t)) / 2 for r, t in enumerate(tops) if t}
    if not known:
        return [(r + 1.5) * PITCH for r in range(diagram.rows)]
    rows = list(known)
    return [float(y) for y in np.interp(range(diagram.rows), rows, list(known.values()))]


def add_bars(scene: Scene, layout: Layout, flows: Flows) -> None:
    """To the right of the picture, for each tied parameter one bar per step, and their sum."""
    recording = flows.recording
    tied = {n: t for n, t in recording.tied.items() if len({row for _, row in t.along}) > 1}
    _, (right, top) = scene.bounds()
    rows = heights(flows.diagram, layout)
    for number, (node, one) in enumerate(list(tied.items())[:MOST_PARAMETERS]):
        _bars_of(scene, flows, node, one, right + ROOM + COLUMN * number, rows, top)


def _bars_of(
    scene: Scene, flows: Flows, node: Node, tied: Tied, x: float, rows: list[float], top: float
) -> None:
    whole = float(np.linalg.norm(tied.full)) or 1.0
    scale = LONGEST_BAR / whole
    name = (Run("∂"), Run("L", italic=True), Run("/∂"), *labels.name_runs(node.name or "W"))
    y = max(top, rows[-1] + PITCH / 2) + 6
    scene.texts.append(Text("text", x, y, name, labels.SIZE))
    total = 0.0
    low = rows[0] - PITCH
    scene.paths.append(Path("faint", ([line((x, low - 10), (x, rows[-1] + 12))],), width=0.5))
    drawn = flows.diagram.drawn_rows
    ends: dict[tuple[int, int], float] = {}  # how far the bars of a row reach, by sign
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
    """Between the truncated and the full gradient, in degrees; None where only norms were kept."""
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
