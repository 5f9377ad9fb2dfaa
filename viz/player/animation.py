"""An animated picture of one backward sweep. The gradients appear in the figure move by move.

The picture is SVG with style rules and no script, so it plays in a README or on a slide. With
`prefers-reduced-motion` it shows the final state.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import tinygrad_rnn as tg
from viz import checks, svg
from viz.backward.flows import nodes_of, uses_of
from viz.backward.recording import Recording, record
from viz.bars import COLUMN, ROOM, add_bars
from viz.diagram import Diagram, Link, group
from viz.gradients import Flows, add_strands
from viz.layout import Layout, arrange
from viz.legend import add_losses
from viz.margin import Margin
from viz.routing import route
from viz.scene import Box, Path as Way, Scene, compose
from viz.snapshot import snapshot
from viz.strands import bundle
from viz.strokes import strokes
from viz.themes import THEMES

MOVE, REST = 0.55, 2.4  # the duration of one move, and of the final state, in seconds
BACK, BACK_DARK = "#C05000", "#FF9D5C"


@dataclass(frozen=True, repr=False)
class Animation:
    """An animated picture. It shows itself in a notebook."""

    title: str
    svg: str = field(repr=False)

    def save(self, path: str | Path) -> Path:
        """Write it to an .svg file; return the path."""
        checks.suffix(path, "svg")
        path = Path(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(self.svg, encoding="utf-8")
        return path

    def _repr_svg_(self) -> str:
        return self.svg

    def __repr__(self) -> str:
        return f"<Animation: {self.title}, {len(self.svg.encode()) / 1000:.0f} kB>"


def animate(
    losses: tg.Tensor | Iterable[tg.Tensor],
    path: str | Path | None = None,
    title: str = "A backward sweep",
    detail: str = "named",
) -> Animation:
    """An animated SVG of one backward sweep. Every loss is a strand; its width is the gradient's
    norm.

    losses, detail: as for `play`, and so are the errors.
    path: the .svg file to write. None writes no file.
    title: the title that screen readers read aloud.

    >>> import viz
    >>> from viz.models import recurrent_loss
    >>> viz.animate(recurrent_loss(steps=2))
    <Animation: A backward sweep, ... kB>
    """
    from viz.player.play import checked

    outputs = checked(losses, detail)
    checks.text("title", title)
    animation = Animation(title, _Sweep(outputs, title, detail).text())
    if path is not None:
        animation.save(path)
    return animation


class _Sweep:
    """The figure with its gradients, and the move in which each part of it appears."""

    def __init__(self, outputs: Sequence[tg.Tensor], title: str, detail: str) -> None:
        self.recording: Recording = record(outputs, most=0)
        self.diagram: Diagram = group(snapshot(outputs), detail)
        self.layout: Layout = arrange(self.diagram)
        self.lines = strokes(self.diagram, route(self.diagram, self.layout))
        self.nodes = nodes_of(self.diagram)
        circles = [i for i, shape in enumerate(self.diagram.shapes) if shape.kind == "circle"]
        order = sorted(circles, key=lambda i: self.nodes[i][-1].position, reverse=True)
        self.move = {circle: n for n, circle in enumerate(order)}
        self.duration = len(order) * MOVE + REST
        self.scene: Scene = compose(self.diagram, self.layout, self.lines, title)
        self.classes: dict[int, str] = {}  # by the identity of a path or a box of the scene
        flows = Flows(self.diagram, self.recording)
        self.bunches = [flows.strands(stroke.link) for stroke in self.lines]
        before = len(self.scene.paths)
        add_strands(self.scene, self.layout, self.lines, flows)
        self._time_strands(self.scene.paths[before:])
        right = self.scene.bounds()[1][0]
        before = len(self.scene.boxes)
        if self.recording.rows.count > 1:
            Margin(self.diagram, self.layout, "up").add(self.scene, partial(add_bars, flows=flows))
            self._time_bars(self.scene.boxes[before:], right + ROOM)
        add_losses(self.scene, len(self.recording.sources), widths=True)

    def text(self) -> str:
        """The SVG."""
        theme = THEMES["textbook"]
        figure = svg.write(self.scene, theme)
        name = f"sweep-{hashlib.sha1(figure.encode()).hexdigest()[:6]}"

        def annotate(item: Box | Way) -> str:
            timed = self.classes.get(id(item))
            if timed is None:
                return ""
            length = ' pathLength="1"' if isinstance(item, Way) else ""
            return f'class="{name} {timed}"{length}'

        figure = svg.write(self.scene, theme, annotate)
        rules, over = "".join(self._style(name)), "".join(self._outlines(name))
        return figure.replace("</svg>", f"<style>{rules}</style>\n{over}</svg>")

    def _style(self, name: str) -> Iterator[str]:
        """Key frames for each move. Their names are unique, so that two figures can share a
        page."""
        yield f".{name}[pathLength]{{stroke-dasharray:1}}"
        for n in range(len(self.move)):
            start, stop = (100 * (n + s) * MOVE / self.duration for s in (0.0, 0.9))
            for frames, hidden, shown in (
                ("f", "stroke-dashoffset:-1", "stroke-dashoffset:0"),
                ("g", "opacity:0", "opacity:1"),
            ):
                yield f"@keyframes {name}-{frames}{n}{{0%,{start:.2f}%{{{hidden}}}"
                yield f"{stop:.2f}%,to{{{shown}}}}}"
                timing = f"{self.duration:.2f}s ease-in-out infinite"
                yield f".{name}.{frames}{n}{{animation:{name}-{frames}{n} {timing}}}"
        yield f"@media(prefers-color-scheme:dark){{.{name}.ring{{stroke:{BACK_DARK}}}}}"
        yield f"@media(prefers-reduced-motion:reduce){{.{name}{{animation:none!important}}}}"

    def _turn(self, link: Link) -> int:
        """The move in which a link's gradient flows: the move of its circle."""
        return self.move.get(link.target, self.move.get(link.source, 0))

    def _time_strands(self, paths: Sequence[Way]) -> None:
        """`add_strands` has drawn the strands of one link after those of the one before."""
        left = iter(paths)
        for stroke, bunch in zip(self.lines, self.bunches, strict=True):
            for _ in bundle(bunch):
                self.classes[id(next(left))] = f"f{self._turn(stroke.link)}"

    def _time_bars(self, boxes: Sequence[Box], first: float) -> None:
        """Time the bars. A bar stands in its parameter's column and in the row of its step. The sum
        stands below the rows and appears with the last of its bars."""
        rows = Margin(self.diagram, self.layout, "up").rows
        tied = [n for n, t in self.recording.tied.items() if len({s for _, s in t.along}) > 1]
        arrivals = [self._arrivals(node) for node in tied]
        for box in boxes:
            if box.kind != "bar":
                continue
            row = min(range(len(rows)), key=lambda r: abs(rows[r] - box.y))
            column = max(0, round((box.x - first - COLUMN / 4) / COLUMN))
            arrival = arrivals[min(column, len(arrivals) - 1)]
            last = max(arrival.values(), default=len(self.move) - 1)
            move = arrival.get(row, last) if abs(rows[row] - box.y) < 1 else last
            self.classes[id(box)] = f"g{move}"

    def _arrivals(self, node: object) -> dict[int, int]:
        """The move in which each row's share of the gradient arrives at a parameter."""
        found: dict[int, int] = {}
        for link in self.diagram.links:
            for user, parent in uses_of(link):
                row = self.recording.rows.of(user)
                if parent is node and row is not None:
                    found[row] = max(found.get(row, 0), self._turn(link))
        return found

    def _outlines(self, name: str) -> Iterator[str]:
        """Rings around the boxes. A ring appears in the move that completes the gradient of its
        box."""
        (left, _), (_, top) = self.scene.bounds()
        done: dict[int, int] = {}
        for stroke, bunch in zip(self.lines, self.bunches, strict=True):
            if bunch:
                source = stroke.link.source
                done[source] = max(done.get(source, 0), self._turn(stroke.link))
        for i, move in done.items():
            place = self.layout.places[i]
            if place.kind != "circle":
                x, y = place.x - place.half_width - left, top - place.y - place.half_height
                yield (
                    f'<rect class="{name} ring g{move}" x="{x:.1f}" y="{y:.1f}" '
                    f'width="{2 * place.half_width:.1f}" height="{2 * place.half_height:.1f}" '
                    f'fill="none" stroke="{BACK}" stroke-width="1.6"/>\n'
                )
