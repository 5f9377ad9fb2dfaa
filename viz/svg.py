"""The picture as SVG: text as text, plain attributes, no ids, and one rule for dark pages.

Colours are attributes of the elements, so programs without style sheets show them, too. The one
rule names the theme's class, so two figures on one page do not interfere.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from itertools import groupby

from viz import labels
from viz.geometry import Curve, is_straight
from viz.labels import Line
from viz.letters import escape
from viz.scene import Box, Path, Scene, Text
from viz.themes import Colours, Theme, on_dark

SMALLER = 0.72  # of a subscript's type
DROP, RISE = 0.26, 0.38  # of a subscript and a superscript, of the size of the type
BASELINE = 0.33  # below the middle of a line
MONOSPACE = "Courier New,Courier,monospace"

Annotate = Callable[[Box | Path], str]


def write(scene: Scene, theme: Theme, annotate: Annotate | None = None) -> str:
    """The SVG text.

    annotate: a function that gives attributes of each box and path, such as 'data-shape="3"'.
    """
    writer = _Writer(scene, theme, annotate or (lambda item: ""))
    return "".join(writer.document())


def style_sheet(
    theme: Theme, kinds: Collection[str] | None = None, own: Iterable[tuple[str, str]] = ()
) -> str:
    """The rule that turns a figure of this theme dark where the page is.

    kinds: the classes in the figure; None means all classes.
    own: the colours that belong to no class, each with what it colours: "fill" or "stroke".
    """
    if theme.dark is None:
        return ""
    root = f".viz-{theme.name}"
    rules = []
    if kinds is None or "rim" in kinds:
        rules.append(f"{root} .rim{{stroke:{theme.dark['paper'].fill}}}")
    for kind, colours in theme.dark.items():
        if colours == theme[kind] or (kinds is not None and kind not in kinds):
            continue
        pairs = (("fill", colours.fill), ("stroke", colours.stroke))
        area = ";".join(f"{name}:{colour}" for name, colour in pairs if colour != "none")
        class_ = f"{root} .{kind}"
        if colours.text == "none":
            rules.append(f"{class_}{{{area}}}")
            continue
        if area:
            rules.append(f"{class_}{{{area}}}")
        rules.append(f"{class_} text{{fill:{colours.text}}}")
    rules += [f'{root} [{what}="{colour}"]{{{what}:{on_dark(colour)}}}' for what, colour in own]
    return f"@media (prefers-color-scheme:dark){{{''.join(rules)}}}"


class _Writer:
    def __init__(self, scene: Scene, theme: Theme, annotate: Annotate) -> None:
        self.scene, self.theme, self.annotate = scene, theme, annotate
        (self.left, low), (right, self.top) = scene.bounds()
        self.width, self.height = right - self.left, self.top - low

    def document(self) -> Iterator[str]:
        size = f'width="{number(self.width)}pt" height="{number(self.height)}pt"'
        view = f"0 0 {number(self.width)} {number(self.height)}"
        yield (
            f'<svg xmlns="http://www.w3.org/2000/svg" {size} viewBox="{view}" role="img" '
            f'class="viz-{self.theme.name}" font-family="{labels.FONT}" '
            f'font-size="{number(labels.SIZE)}" text-anchor="middle">\n'
        )
        yield f"<title>{escape(self.scene.title)}</title>\n"
        yield f"<desc>{escape(self.scene.description)}</desc>\n"
        kinds = {"paper"} | {i.kind for i in self.scene.boxes} | {i.kind for i in self.scene.texts}
        kinds |= {path.kind for path in self.scene.paths}
        kinds |= {"rim" for path in self.scene.paths if path.rims}
        own = {("stroke", path.colour) for path in self.scene.paths if path.colour}
        own |= {("fill", box.colour) for box in self.scene.boxes if box.colour}
        if rules := style_sheet(self.theme, kinds, sorted(own)):
            sheet = escape(rules).replace("&quot;", '"')  # selectors; text needs no such entity
            yield f"<style>{sheet}</style>\n"
        paper = self.theme["paper"].fill
        if paper != "none":
            yield f'<rect class="paper" width="100%" height="100%" fill="{paper}"/>\n'
        for (kind, width), paths in groupby(
            self.scene.paths, lambda path: (path.kind, 1.0 if path.colour else path.width)
        ):
            stroke = self.theme[kind].stroke
            thick = "" if width == 1 else f' stroke-width="{number(width)}"'
            yield f'<g class="{kind}" fill="none" stroke="{stroke}"{thick}>\n'
            for path in paths:
                if path.rims:
                    rims = self._curves(path.rims)
                    yield f'<path class="rim" stroke="{paper}" stroke-width="4.6" d="{rims}"/>\n'
                look = ""
                if path.colour:
                    look = f' stroke="{self.theme.own(path.colour)}"'
                    look += f' stroke-width="{number(path.width)}"'
                yield f'<path{self._extra(path)}{look} d="{self._data(path)}"/>\n'
                if path.filled:
                    yield f'<path fill="{stroke}" d="{self._curves([path.head])}z"/>\n'
            yield "</g>\n"
        for kind, boxes in groupby(self.scene.boxes, lambda box: box.kind):
            colours = self.theme[kind]
            yield f'<g class="{kind}" fill="{colours.fill}" stroke="{colours.stroke}">\n'
            for box in boxes:
                yield from self._box(box, colours)
            yield "</g>\n"
        for kind, texts in groupby(self.scene.texts, lambda text: text.kind):
            yield f'<g class="{kind}" fill="none" stroke="none">\n'
            for text in texts:
                yield self._text(text)
            yield "</g>\n"
        yield "</svg>\n"

    def _extra(self, item: Box | Path) -> str:
        extra = self.annotate(item)
        return f" {extra}" if extra else ""

    def _box(self, box: Box, colours: Colours) -> Iterator[str]:
        x, y = box.x - self.left, self.top - box.y
        yield f"<g{self._extra(box)}>"
        if box.title:
            yield f"<title>{escape(box.title)}</title>"
        if box.note:
            yield f"<desc>{escape(box.note)}</desc>"
        own = f' fill="{self.theme.own(box.colour)}"' if box.colour else ""
        if box.round:
            place = f'cx="{number(x)}" cy="{number(y)}" r="{number(box.half_width)}"{own}'
            yield f"<circle {place}/>"
        elif colours.fill != "none" or colours.stroke != "none" or own:
            place = (
                f'x="{number(x - box.half_width)}" y="{number(y - box.half_height)}" '
                f'width="{number(2 * box.half_width)}" height="{number(2 * box.half_height)}"'
            )
            corner = own + (f' rx="{number(box.corner)}"' if box.corner else "")
            yield f"<rect {place}{corner}/>"
        for line, below in zip(box.label, labels.middles(box.label), strict=True):
            yield _typeset(line, x, y + below, box.font, f' fill="{colours.text}" stroke="none"')
        yield "</g>\n"

    def _text(self, text: Text) -> str:
        extra = f' fill="{self.theme[text.kind].text}"'
        extra += "" if text.anchor == "middle" else f' text-anchor="{text.anchor}"'
        if text.monospace:
            extra += f' font-family="{MONOSPACE}" xml:space="preserve"'
        x, y = text.x - self.left, self.top - text.y
        return _typeset(text.line, x, y, text.font, extra) + "\n"

    def _data(self, path: Path) -> str:
        curves = [*path.curves, path.head] if path.head and not path.filled else path.curves
        return self._curves(curves)

    def _curves(self, curves: Iterable[Curve]) -> str:
        """Path data with relative coordinates, which are short. They are rounded to tenths of a
        point. Each step starts at the rounded end of the step before, so that errors do not
        accumulate."""
        parts: list[str] = []
        here = (0, 0)
        for curve in curves:
            start = self._tenths(curve[0][0])
            if not parts:
                parts.append("M" + _pairs([start]))
            elif start != here:
                parts.append("m" + _pairs([_minus(start, here)]))
            here, letter = start, ""
            for cubic in curve:
                points = [self._tenths(p) for p in cubic[1:]]
                new = "l" if is_straight(cubic) else "c"
                steps = [_minus(p, here) for p in (points[-1:] if new == "l" else points)]
                text = _pairs(steps)
                parts.append(
                    new + text if new != letter else text if text[0] == "-" else " " + text
                )
                here, letter = points[-1], new
        return "".join(parts)

    def _tenths(self, point: tuple[float, float]) -> tuple[int, int]:
        return round(10 * (point[0] - self.left)), round(10 * (self.top - point[1]))


def _minus(a: tuple[int, int], b: tuple[int, int]) -> tuple[int, int]:
    return a[0] - b[0], a[1] - b[1]


def _pairs(points: Sequence[tuple[int, int]]) -> str:
    """Tenths as numbers, with the fewest separators that SVG allows."""
    text = ""
    for tenths in (n for point in points for n in point):
        written = f"{tenths / 10:g}"
        text += written if not text or written[0] == "-" else " " + written
    return text


def _typeset(line: Line, x: float, y: float, font: float, extra: str) -> str:
    """A line of text around x, its middle at the height y."""
    size = "" if font == labels.SIZE else f' font-size="{number(font)}"'
    spans, height = [], 0.0
    for run in line:
        attributes = ""
        level = {-1: DROP, 1: -RISE}.get(run.level, 0.0) * font
        if abs(level - height) > 1e-9:
            attributes += f' dy="{number(level - height)}"'
            height = level
        if run.level:
            attributes += f' font-size="{number(font * SMALLER)}"'
        if run.bold:
            attributes += ' font-weight="bold"'
        if run.italic:
            attributes += ' font-style="italic"'
        text = escape(run.text)
        spans.append(f"<tspan{attributes}>{text}</tspan>" if attributes else text)
    baseline = y + BASELINE * font
    if not spans:
        return ""
    return f'<text x="{number(x)}" y="{number(baseline)}"{size}{extra}>{"".join(spans)}</text>'


def number(x: float) -> str:
    """A number with at most two decimals, without trailing zeros."""
    return f"{round(x, 2) + 0.0:g}" if abs(x) < 1000 else f"{x:.1f}".removesuffix(".0")
