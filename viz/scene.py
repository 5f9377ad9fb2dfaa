"""The scene: boxes, paths and texts with their positions. Every writer starts from a scene.

Measures are in points and y grows upwards. A class (`kind`) names the colours in a theme.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace

from viz import labels
from viz.diagram import Diagram
from viz.geometry import Curve, Point, mapped
from viz.labels import Label, Line
from viz.layout import Layout
from viz.strokes import Stroke, arrow_head

PAD = 1.44  # around everything
MONOSPACED = 0.6  # the width of a letter, in units of the font size
SYMBOL = 8.0  # the font size in a circle, where there is room


@dataclass(frozen=True)
class Box:
    """A rectangle or a circle with a label in its middle.

    round: whether the box is a circle. corner: the radius of a rectangle's corners.
    font: the font size of the label.
    shape: the place of the shape in `Diagram.shapes`; None for boxes of legends and margins.
    colour: the fill colour, where it is not that of the class.
    title, note: the full name, and further remarks.
    """

    kind: str
    x: float
    y: float
    half_width: float
    half_height: float
    label: Label = ()
    font: float = labels.SIZE
    round: bool = False
    corner: float = 0.0
    shape: int | None = None
    colour: str = ""
    title: str = ""
    note: str = ""


@dataclass(frozen=True)
class Path:
    """A line: its visible curves, and the strokes of its arrow.

    rims: the parts of its casing, drawn before the line in the colour of the paper.
    gapped: the visible curves for writers that draw no casings; the same as `curves` without
        casings.
    link: the place of the link in `Diagram.links`; None for lines of legends and margins.
    ends: the ids of the ends in a DOT source: n4 is the shape in place 4.
    filled: whether the arrow is a filled triangle.
    colour: the colour, where it is not that of the class.
    """

    kind: str
    curves: tuple[Curve, ...]
    head: Curve = field(default_factory=list)
    width: float = 1.0
    link: int | None = None
    ends: tuple[str, str] = ("", "")
    filled: bool = False
    colour: str = ""
    rims: tuple[Curve, ...] = ()
    gapped: tuple[Curve, ...] = ()


def moved(path: Path, to: Callable[[Point], Point]) -> Path:
    """The path with the function applied to every point."""

    def of(curves: Iterable[Curve]) -> tuple[Curve, ...]:
        return tuple(mapped(curve, to) for curve in curves)

    (head,) = of([path.head])
    return replace(
        path, curves=of(path.curves), head=head, rims=of(path.rims), gapped=of(path.gapped)
    )


@dataclass(frozen=True)
class Text:
    """A line of text on its own; (x, y) is the middle of its height, at its anchor.

    id: its id in a DOT source, where a path ends at the text.
    """

    kind: str
    x: float
    y: float
    line: Line
    font: float = labels.SIZE
    anchor: str = "middle"
    monospace: bool = False
    id: str = ""

    @property
    def half_width(self) -> float:
        if self.monospace:
            return sum(len(run.text) for run in self.line) * MONOSPACED * self.font / 2
        return labels.width(self.line, self.font) / 2


@dataclass
class Scene:
    """Everything in a picture. Paths are drawn first, then boxes, then texts.

    diagram: the shapes and links, with the nodes of the tape behind them.
    """

    title: str
    description: str
    boxes: list[Box] = field(default_factory=list)
    paths: list[Path] = field(default_factory=list)
    texts: list[Text] = field(default_factory=list)
    diagram: Diagram | None = None

    def bounds(self) -> tuple[Point, Point]:
        """The lower left and the upper right corner, with a margin."""
        xs: list[float] = []
        ys: list[float] = []
        for box in self.boxes:
            edge = 0.5
            xs += [box.x - box.half_width - edge, box.x + box.half_width + edge]
            ys += [box.y - box.half_height - edge, box.y + box.half_height + edge]
        for text in self.texts:
            left = {"start": 0.0, "middle": 1.0, "end": 2.0}[text.anchor] * text.half_width
            xs += [text.x - left, text.x - left + 2 * text.half_width]
            ys += [text.y - text.font / 2, text.y + text.font / 2]
        for path in self.paths:
            for curve in (*path.curves, path.head):
                for x, y in (point for cubic in curve for point in cubic):
                    xs.append(x)
                    ys.append(y)
        if not xs:
            return (0.0, 0.0), (0.0, 0.0)
        return (min(xs) - PAD, min(ys) - PAD), (max(xs) + PAD, max(ys) + PAD)


def compose(diagram: Diagram, layout: Layout, strokes: Sequence[Stroke], title: str) -> Scene:
    """The scene of a diagram with its layout and its lines."""
    scene = Scene(title, describe(diagram), diagram=diagram)
    for i, (shape, place) in enumerate(zip(diagram.shapes, layout.places, strict=True)):
        font = labels.SIZE
        if shape.kind == "circle" and shape.label:
            font = min(SYMBOL, SYMBOL * 18 / labels.size(shape.label)[0])
        scene.boxes.append(
            Box(
                shape.look,
                place.x,
                place.y,
                place.half_width,
                place.half_height,
                shape.label,
                font,
                round=shape.kind == "circle",
                shape=i,
                title=shape.title,
                note=shape.note,
            )
        )
    for i, stroke in sorted(enumerate(strokes), key=lambda item: item[1].rank):
        scene.paths.append(
            Path(
                kind_of(stroke.link.weight),
                (*stroke.cased, *stroke.bars),
                arrow_head(stroke.curve),
                link=i,
                ends=(f"n{stroke.link.source}", f"n{stroke.link.target}"),
                rims=tuple(stroke.rims),
                gapped=(*stroke.pieces, *stroke.bars),
            )
        )
    return scene


def kind_of(weight: float | None) -> str:
    """The class of a link with this weight."""
    return "cut" if weight == 0 else "link" if weight == 1 else "scaled"


def describe(diagram: Diagram) -> str:
    """A description of the picture in words, for screen readers."""

    def count(number: int, what: str, several: str = "") -> str:
        return f"{number} {what if number == 1 else several or what + 's'}"

    of_kind: dict[str, list[str]] = {"box": [], "circle": [], "parameters": []}
    for shape in diagram.shapes:
        of_kind.setdefault(shape.kind, []).append(shape.title)
    used = {link.source for link in diagram.links}
    results = [s.title for i, s in enumerate(diagram.shapes) if s.kind == "box" and i not in used]
    parts = [count(diagram.rows, "row") + " of time"] if diagram.rows > 1 else []
    parts.append(count(len(of_kind["box"]), "value"))
    parts.append(count(len(of_kind["circle"]), "computation"))
    if of_kind["parameters"]:
        parts.append(f"parameters {_listed(of_kind['parameters'])}")
    cuts = sum(link.weight == 0 for link in diagram.links)
    if cuts:
        parts.append(f"{count(cuts, 'link')} cut")
    return f"{', '.join(parts)}; computes {_listed(results) or 'nothing'}"


def _listed(names: Iterable[str], most: int = 8) -> str:
    names = list(names)
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" * (len(names) > most))
