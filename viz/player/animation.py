"""An animated picture of one backward sweep: the figure, and the gradient that walks through it.

It is SVG with style rules and no script, so it plays where pictures are shown: in a README, in a
slide. Where motion is not wanted (`prefers-reduced-motion`) it shows the end.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

import numpy as np

import tinygrad_rnn as tg
from viz import svg
from viz.diagram import Diagram, Link, group
from viz.geometry import Curve, Point, sample
from viz.labels import END_OF_LINE, SEPARATOR, Run
from viz.layout import arrange
from viz.player.flows import flow_of, nodes_of
from viz.player.recording import EVERY_ROW, Recording, record
from viz.routing import route
from viz.scene import Scene, Text, compose
from viz.snapshot import snapshot
from viz.strokes import strokes
from viz.themes import DARK, TEXTBOOK, THEMES, Colours, Theme

MOVE, REST = 0.55, 2.4  # how long one move takes, and the end is shown, in seconds
WIDEST = 12.0  # of all strands of a link together, in points
ALONE = 9  # strands drawn one by one; of the other losses one band
BACK, BACK_DARK = "#C74E00", "#FF9D5C"
LIGHT_SCALE = [(76, 29, 149), (139, 38, 137), (192, 57, 110), (222, 98, 74), (240, 150, 40)]
DARK_SCALE = [(140, 100, 230), (190, 90, 200), (235, 95, 150), (255, 140, 100), (255, 195, 90)]
BAR, BARS_BESIDE = 17.0, 84.0


@dataclass(frozen=True, repr=False)
class Animation:
    """A picture that moves; it shows itself in a notebook."""

    title: str
    svg: str = field(repr=False)

    def save(self, path: str | Path) -> Path:
        """Write it to an .svg file; return the path."""
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
) -> Animation:
    """An animated SVG of one backward sweep: every loss a strand, as wide as what flows is large.

    losses, and what is raised: as for `play`.
    path: an .svg file to write; None writes nothing.
    title: what the picture is called where it is read aloud.

    >>> import viz
    >>> from viz.models import recurrent_loss
    >>> viz.animate(recurrent_loss(steps=2))
    <Animation: A backward sweep, ... kB>
    """
    from viz.player.play import checked

    outputs = checked(losses)
    animation = Animation(title, _Sweep(outputs, title).text())
    if path is not None:
        animation.save(path)
    return animation


class _Sweep:
    """The figure's scene, its recording, and what is laid over it, move by move."""

    def __init__(self, outputs: Sequence[tg.Tensor], title: str) -> None:
        self.recording: Recording = record(outputs, most=0)
        self.diagram: Diagram = group(snapshot(outputs), "named")
        self.layout = arrange(self.diagram)
        self.curves = route(self.diagram, self.layout)
        lines = strokes(self.diagram, self.curves)
        self.scene: Scene = compose(self.diagram, self.layout, lines, title)
        self.nodes = nodes_of(self.diagram)
        circles = [i for i, shape in enumerate(self.diagram.shapes) if shape.kind == "circle"]
        order = sorted(circles, key=lambda i: self.nodes[i][-1].position, reverse=True)
        self.move = {circle: n for n, circle in enumerate(order)}
        self.duration = len(order) * MOVE + REST
        self.rules: list[str] = []
        self.flows = [
            {
                source: norm
                for source, norm in flow_of(link, self.nodes, self.recording).items()
                if norm
            }
            for link in self.diagram.links
        ]
        self.largest = max((v for flow in self.flows for v in flow.values()), default=1.0)
        self.right = self.scene.bounds()[1][0]
        self._headings()

    def text(self) -> str:
        """The SVG."""
        theme = _theme(len(self.recording.sources))
        (left, _), (_, top) = self.scene.bounds()
        self.left, self.top = left, top
        over = "".join([*self._strands(), *self._reached(), *self._bars()])
        figure = svg.write(self.scene, THEMES["textbook"])
        name = f"sweep-{hashlib.sha1(over.encode()).hexdigest()[:6]}"
        rules = "".join(self._style(theme, name))
        moving = f'<style>{rules}</style>\n<g class="{name}">\n{over}</g>\n'
        return figure.replace("</svg>", f"{moving}</svg>")

    # Time -----------------------------------------------------------------------------------------

    def _style(self, theme: Theme, name: str) -> Iterable[str]:
        """Key frames for each move; names of their own, so that two figures share a page."""
        yield f".{name} path{{fill:none;stroke-dasharray:1}}"
        for n in range(len(self.move)):
            start, stop = (100 * (n + s) * MOVE / self.duration for s in (0.0, 0.9))
            yield f"@keyframes {name}-f{n}{{0%,{start:.2f}%{{stroke-dashoffset:1}}"
            yield f"{stop:.2f}%,to{{stroke-dashoffset:0}}}}"
            yield f"@keyframes {name}-g{n}{{0%,{start:.2f}%{{opacity:0}}"
            yield f"{stop:.2f}%,to{{opacity:1}}}}"
            timing = f"{self.duration:.2f}s ease-in-out infinite"
            yield f".{name} .f{n}{{animation:{name}-f{n} {timing}}}"
            yield f".{name} .g{n}{{animation:{name}-g{n} {timing}}}"
        rules = ""
        for kind, (fill, stroke, _) in (theme.dark or {}).items():
            if kind not in TEXTBOOK:
                colour = stroke if stroke != "none" else fill
                rules += f".{name} .{kind}{{stroke:{colour}}}"
                rules += f".{name} .bar.{kind}{{stroke:none;fill:{colour}}}"
        yield f"@media(prefers-color-scheme:dark){{{rules}}}"
        yield f"@media(prefers-reduced-motion:reduce){{.{name} *{{animation:none!important}}}}"

    def _turn(self, link: Link) -> int:
        """The move in which a link's gradient flows: that of the circle it belongs to."""
        return self.move.get(link.target, self.move.get(link.source, 0))

    # What flows -----------------------------------------------------------------------------------

    def _strands(self) -> Iterable[str]:
        for link, curve, flow in zip(self.diagram.links, self.curves, self.flows, strict=True):
            shown = list(flow.items())[:ALONE]
            if len(flow) > ALONE:
                older = list(flow.items())[ALONE:]
                shown.append((older[-1][0], float(np.hypot.reduce([v for _, v in older]))))
            widths = [0.6 + 2.2 * max(0.0, 1 + np.log10(v / self.largest) / 4) for _, v in shown]
            shrink = min(1.0, WIDEST / (sum(widths) or 1.0))
            at = -sum(widths) * shrink / 2
            for (source, _), width in zip(shown, widths, strict=True):
                way = self._path(_aside(curve, at + width * shrink / 2)[::-1])
                kind = "back" if source == EVERY_ROW else f"loss{source}"
                stroke = _colours(len(self.recording.sources), kind).stroke
                yield (
                    f'<path class="{kind} f{self._turn(link)}" pathLength="1" '
                    f'stroke="{stroke}" stroke-width="{width * shrink:.2f}" d="{way}"/>\n'
                )
                at += width * shrink

    def _reached(self) -> Iterable[str]:
        """Outlines: of a circle in its move, of a box when its gradient is complete."""
        done: dict[int, int] = {}
        for link, flow in zip(self.diagram.links, self.flows, strict=True):
            if flow:
                done[link.source] = max(done.get(link.source, 0), self._turn(link))
        for i, n in done.items():
            place = self.layout.places[i]
            if place.kind == "circle":
                continue
            x, y = place.x - self.left, self.top - place.y
            yield (
                f'<rect class="back g{n}" x="{x - place.half_width:.1f}" '
                f'y="{y - place.half_height:.1f}" width="{2 * place.half_width:.1f}" '
                f'height="{2 * place.half_height:.1f}" fill="none" stroke="{BACK}" '
                f'stroke-width="1.6"/>\n'
            )

    # What parameters collect ----------------------------------------------------------------------

    def _columns(self) -> list[tuple[float, int]]:
        """The parameters with bars: where their column begins, and their place in `tied`."""
        if self.recording.rows.count < 2:
            return []
        return [
            (self.right + 26 + n * (BARS_BESIDE + 18), n)
            for n in range(min(4, len(self.recording.tied)))
        ]

    def _headings(self) -> None:
        """The parameters' names above their columns; they make room for these, too."""
        nodes = list(self.recording.tied)
        top = max(place.top for place in self.layout.places)
        for x, n in self._columns():
            place = next(i for i, own in enumerate(self.nodes) if nodes[n] in own)
            label = [run for line in self.diagram.shapes[place].label for run in line]
            name = _split(label)[self.nodes[place].index(nodes[n])]
            line = (Run("∂"), Run("L", italic=True), Run("/∂"), *name)
            self.scene.texts.append(Text("text", x + BARS_BESIDE / 2, top + 14, line))
            edge = Text("text", x + BARS_BESIDE, top + 14, (Run("\u2009"),), anchor="start")
            self.scene.texts.append(edge)

    def _bars(self) -> Iterable[str]:
        """One bar a step, by loss, and in the last row their sum."""
        nodes = list(self.recording.tied)
        height: dict[int, float] = {}
        for place, own in zip(self.layout.places, self.nodes, strict=True):
            if place.kind == "circle" and (row := self.recording.rows.of(own[-1])) is not None:
                height.setdefault(row, self.top - place.y)
        bottom = self.top - min(place.y for place in self.layout.places)
        for x, n in self._columns():
            tied = self.recording.tied[nodes[n]]
            by_row: dict[int, list[tuple[int, float]]] = {}
            for (source, row), v in sorted(tied.along.items()):
                by_row.setdefault(row, []).append((source, v))
            low = min(0.0, *(sum(min(v, 0) for _, v in parts) for parts in by_row.values()))
            high = max(
                float(np.linalg.norm(tied.full)),
                *(sum(max(v, 0) for _, v in p) for p in by_row.values()),
            )
            scale = BARS_BESIDE / ((high - low) or 1.0)
            zero = x - self.left - low * scale
            turns = self._arrivals(nodes[n])
            total = 0.0
            for row, parts in sorted(by_row.items(), reverse=True):
                right = left = 0.0
                for source, v in parts:
                    start = right if v > 0 else left + v
                    right, left = (right + v, left) if v > 0 else (right, left + v)
                    yield self._bar(
                        f"loss{source}",
                        turns.get(row, 0),
                        zero + start * scale,
                        height.get(row, bottom) - BAR / 2,
                        abs(v) * scale,
                    )
                before, total = total, total + sum(v for _, v in parts)
                yield self._bar(
                    "sum",
                    turns.get(row, 0),
                    zero + min(before, total) * scale,
                    bottom - BAR / 2,
                    abs(total - before) * scale + 0.2,
                )

    def _bar(self, kind: str, move: int, x: float, y: float, width: float) -> str:
        colours = _colours(len(self.recording.sources), kind)
        fill = colours.fill if colours.fill != "none" else colours.stroke
        return (
            f'<rect class="{kind} bar g{move}" x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" '
            f'height="{BAR}" fill="{fill}"/>\n'
        )

    def _arrivals(self, node: object) -> dict[int, int]:
        """The move in which each row's share comes to a parameter."""
        found: dict[int, int] = {}
        for link in self.diagram.links:
            for use in link.uses:
                user = use.node()
                if user is not None and any(p is node for p in user.parents):
                    row = self.recording.rows.of(user)
                    key = EVERY_ROW if row is None else row
                    found[key] = max(found.get(key, 0), self._turn(link))
        return found

    def _path(self, points: Sequence[Point]) -> str:
        return "M" + "L".join(f"{x - self.left:.1f} {self.top - y:.1f}" for x, y in points)


def _split(label: Sequence[Run]) -> list[tuple[Run, ...]]:
    """The names in a label that lists several."""
    names: list[list[Run]] = [[]]
    for run in label:
        if run in (SEPARATOR, END_OF_LINE):
            names.append([])
        else:
            names[-1].append(run)
    return [tuple(name) for name in names]


def _aside(curve: Curve, by: float) -> list[Point]:
    """Points of the curve, moved aside."""
    points = sample(curve)[:: 2 if len(curve) > 1 else 1]
    ends = sample(curve)[-1:]
    points = np.concatenate([points, ends]) if len(curve) > 1 else points[[0, -1]]
    along = np.gradient(points, axis=0)
    along /= np.maximum(np.hypot(*along.T), 1e-9)[:, None]
    moved = points + by * np.stack([-along[:, 1], along[:, 0]], 1)
    return [(float(x), float(y)) for x, y in moved]


def _colours(losses: int, kind: str, dark: bool = False) -> Colours:
    """Of a loss: early ones dark, late ones bright; and of what is their sum."""
    if not kind.startswith("loss") or kind == f"loss{EVERY_ROW}":
        colour = BACK_DARK if dark else BACK
        return Colours(colour) if kind == "sum" else Colours("none", colour)
    scale = DARK_SCALE if dark else LIGHT_SCALE
    at = int(kind[4:]) / max(1, losses - 1) * (len(scale) - 1)
    (r, g, b), (u, v, w) = list(pairwise(scale))[min(int(at), len(scale) - 2)]
    share = at - min(int(at), len(scale) - 2)
    mixed = (round(x + share * (y - x)) for x, y in ((r, u), (g, v), (b, w)))
    return Colours("none", "#" + "".join(f"{c:02X}" for c in mixed))


def _theme(losses: int) -> Theme:
    """The textbook's, with the colours of the losses."""
    kinds = [f"loss{n}" for n in range(losses)] + ["back", "sum"]
    return Theme(
        "textbook",
        TEXTBOOK | {kind: _colours(losses, kind) for kind in kinds},
        DARK | {kind: _colours(losses, kind, dark=True) for kind in kinds},
    )
