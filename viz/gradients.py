"""The backward pass in a picture: each link has a strand for every loss."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from tinygrad_rnn.engine.graph import Array
from viz import strands
from viz.backward.flows import flow_of, nodes_of, total, uses_of
from viz.backward.recording import EVERY_ROW, Recording
from viz.diagram import Diagram, Link
from viz.layout import Layout
from viz.legend import ALL
from viz.scene import Scene
from viz.strands import Strand
from viz.strokes import Stroke
from viz.themes import loss_colour


@dataclass
class Flows:
    """The gradient flows of a recording along the links of a diagram, for every loss separately.

    weights: the matrix M, the weight of loss t at step s. None gives every loss the weight 1.
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
        """M[t, s]; 1 above all rows, and without a matrix M."""
        loss = self.recording.sources[source].loss if source != EVERY_ROW else None
        if self.weights is None or loss is None or row is None:
            return 1.0
        return float(self.weights[loss, row])

    def strands(self, link: Link) -> list[Strand]:
        """The strands of a link, not yet scaled: their sizes are norms."""
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
        """Whether the source is drawn. A source that is no loss may be another truncation of the
        same tape."""
        return self.one_by_one or source in (EVERY_ROW, 0)

    def _counted(self, source: int, row: int | None) -> float:
        return self.weight(source, row) if self.counts(source) else 0.0

    def _cut_at(self, link: Link) -> Iterable[int]:
        """The losses that reach a link which the tape itself has cut."""
        sources = range(len(self.recording.sources))
        if link.weight == 0 and not link.cutting:
            return [n for n in sources if self._arriving(link.target, n)]
        return [n for n in sources if self.recording.sources[n].loss in link.cutting]

    def _arriving(self, shape: int, source: int) -> float:
        found = [self.recording.gradients.get(node, {}).get(source) for node in self.nodes[shape]]
        return max((float(np.linalg.norm(g)) for g in found if g is not None), default=0.0)


def add_strands(scene: Scene, layout: Layout, lines: Sequence[Stroke], flows: Flows) -> None:
    """Add strands to the links along which a gradient flows."""
    found = [flows.strands(stroke.link) for stroke in lines]
    largest = max((s.size for bunch in found for s in bunch), default=0.0) or 1.0
    scaled = [[replace(s, size=s.size / largest) for s in bunch] for bunch in found]
    _add(scene, layout, lines, scaled)


def add_reach(scene: Scene, layout: Layout, lines: Sequence[Stroke], count: int) -> None:
    """Show which losses pass a link and which are cut at it, where each loss has its own reach."""
    diagram = scene.diagram
    assert diagram is not None

    def reaching(link: Link) -> list[Strand]:
        source, target = diagram.shapes[link.source].rows, diagram.shapes[link.target].rows
        if source == target or source is None:
            return []
        bunch = [Strand(t, 0.05, loss_colour(t, count)) for t in link.passing]
        bunch += [Strand(t, 0.05, loss_colour(t, count), cut=True) for t in link.cutting]
        return sorted(bunch, key=lambda s: s.loss or 0)

    _add(scene, layout, lines, [reaching(stroke.link) for stroke in lines])


def _add(
    scene: Scene, layout: Layout, lines: Sequence[Stroke], bunches: Sequence[list[Strand]]
) -> None:
    """Add a bunch of strands along each line. A link with strands becomes faint."""
    place = {path.link: n for n, path in enumerate(scene.paths) if path.link is not None}
    for i, (stroke, bunch) in enumerate(zip(lines, bunches, strict=True)):
        if bunch:
            link, path = stroke.link, scene.paths[place[i]]
            scene.paths[place[i]] = replace(path, kind="faint", filled=False)
            source, target = layout.places[link.source], layout.places[link.target]
            scene.paths += strands.paths(stroke.curve, bunch, source, target)
