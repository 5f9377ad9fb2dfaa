"""The picture as TikZ: a complete document. Its tikzpicture contains the colours, so it can be
copied into another document.

Needs the package tikz; names in scripts other than Latin and Greek need lualatex
or xelatex.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from viz import labels
from viz.geometry import Curve, is_straight
from viz.labels import Label, Line, Run
from viz.letters import writable
from viz.scene import Box, Path, Scene
from viz.svg import number
from viz.themes import Colours, Theme

SPECIAL = {c: f"\\{c}" for c in "&%$#_{}"} | {
    "\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}",
    "<": r"\textless{}", ">": r"\textgreater{}", "…": r"\ldots{}", "\u2009": r"\,", "\u00a0": "~",
    "−": "$-$", "×": r"$\times$", "÷": r"$\div$", "⋮": r"$\vdots$", "²": r"$^2$", "√": r"$\surd$",
    "′": r"$'$", "∂": r"$\partial$", "∇": r"$\nabla$", "ℓ": r"$\ell$", "·": r"$\cdot$",
    "‖": r"$\|$", "⁻": "$^-$", "¹": "$^1$", "³": "$^3$", "⋯": r"$\cdots$", "⊙": r"$\odot$",
    "°": r"$^\circ$", "Σ": r"$\Sigma$", "⟨": r"$\langle$", "⟩": r"$\rangle$", "→": r"$\to$",
}  # fmt: skip
GREEK = {letter: f"\\{name}" for name, letter in labels.LETTERS.items()}
LATIN_CAPITALS = dict(zip("ΑΒΕΖΗΙΚΜΝΟΡΤΧο", "ABEZHIKMNOPTXo", strict=True))
ACCENTS = {mark: f"\\{name}" for name, mark in labels.ACCENTS.items()}


BEGIN = (
    r"\documentclass{article}",
    r"\usepackage{tikz}",
    r"\begin{document}",
    r"\setbox0=\hbox{%",
)
END = (  # a page as large as the picture, in any TeX
    r"}",
    r"\ifdefined\pdfpagewidth\else\let\pdfpagewidth\pagewidth\let\pdfpageheight\pageheight\fi",
    r"\pdfpagewidth=\dimexpr\wd0+2bp\relax",
    r"\pdfpageheight=\dimexpr\ht0+\dp0+2bp\relax",
    r"\hoffset=\dimexpr1bp-1in\relax",
    r"\voffset=\dimexpr1bp-1in\relax",
    r"\shipout\box0",
    r"\end{document}",
)


def write(scene: Scene, theme: Theme) -> str:
    """The LaTeX document."""
    return "\n".join(_document(scene, theme)) + "\n"


def _document(scene: Scene, theme: Theme) -> Iterator[str]:
    yield "% " + " ".join(writable(f"{scene.title}: {scene.description}").split())
    yield from BEGIN
    yield r"\begin{tikzpicture}[x=1bp,y=1bp,line width=1bp,inner sep=0]"
    kinds = {box.kind for box in scene.boxes} | {path.kind for path in scene.paths}
    kinds |= {text.kind for text in scene.texts} | {"paper"}
    for kind in sorted(kinds):
        for part, colour in zip(Colours._fields, theme[kind], strict=True):
            if colour != "none":
                yield _colour(f"{kind}-{part}", colour)
    own = {box.colour for box in scene.boxes} | {path.colour for path in scene.paths}
    for colour in sorted(own - {""}):
        yield _colour(_name(colour), colour)
    for path in scene.paths:
        yield from _path(path)
    for box in scene.boxes:
        yield from _box(box, theme[box.kind])
    for text in scene.texts:
        anchor = {"start": "west", "middle": "center", "end": "east"}[text.anchor]
        family = r"\ttfamily" if text.monospace else ""
        yield (
            rf"\node[anchor={anchor},text={text.kind}-text] at {_at(text.x, text.y)} "
            rf"{{{_size(text.font)}{family}{_line(text.line)}}};"
        )
    yield r"\end{tikzpicture}%"
    yield from END


def _name(colour: str) -> str:
    return f"own-{colour.removeprefix('#')}"


def _colour(name: str, colour: str) -> str:
    digits = colour.removeprefix("#")
    if len(digits) == 3:
        digits = "".join(2 * digit for digit in digits)
    return rf"\definecolor{{{name}}}{{HTML}}{{{digits.upper()}}}"


def _path(path: Path) -> Iterator[str]:
    width = "" if path.width == 1 else f",line width={number(path.width)}bp"
    for rim in path.rims:
        yield rf"\draw[paper-fill,line width=4.6bp] {_curve(rim)};"
    stroke = _name(path.colour) if path.colour else f"{path.kind}-stroke"
    for curve in path.curves:
        yield rf"\draw[{stroke}{width}] {_curve(curve)};"
    if path.head:
        style = "fill" if path.filled else "draw"
        yield rf"\{style}[{path.kind}-stroke] {_curve(path.head)};"


def _box(box: Box, colours: Colours) -> Iterator[str]:
    place = _at(box.x, box.y)
    style = [
        f"{what}={box.kind}-{part}"
        for what, part in (("draw", "stroke"), ("fill", "fill"))
        if getattr(colours, part) != "none"
    ]
    if box.colour:
        style = [s for s in style if not s.startswith("fill")] + [f"fill={_name(box.colour)}"]
    if box.corner:
        style.append(f"rounded corners={number(box.corner)}bp")
    if style and box.round:
        yield rf"\path[{','.join(style)}] {place} circle[radius={number(box.half_width)}];"
    elif style:
        low = _at(box.x - box.half_width, box.y - box.half_height)
        high = _at(box.x + box.half_width, box.y + box.half_height)
        yield rf"\path[{','.join(style)}] {low} rectangle {high};"
    if box.label:
        text = _label(box.label)
        yield rf"\node[align=center,text={box.kind}-text] at {place} {{{_size(box.font)}{text}}};"


def _label(label: Label) -> str:
    return r"\\".join(map(_line, label))


def _line(line: Line) -> str:
    parts = []
    for level, runs in labels.groups(line):
        inside = "".join(map(_run, runs))
        if level == labels.SMALL:
            inside = rf"{{\fontsize{{6.5}}{{7.5}}\selectfont {inside}}}"
        elif level:
            inside = rf"\text{'sub' if level < 0 else 'super'}script{{{inside}}}"
        parts.append(inside)
    return "".join(parts)


def _run(run: Run) -> str:
    text = "".join(_letters(run))
    return rf"\textbf{{{text}}}" if run.bold else rf"\textit{{{text}}}" if run.italic else text


def _letters(run: Run) -> Iterator[str]:
    for letter in re.findall(r"(?s).[\u0300-\u036f\u20d0-\u20ff]?", writable(run.text)):
        base, accent = letter[0], letter[1:]
        if base in GREEK and base not in SPECIAL:
            math = LATIN_CAPITALS.get(base) or GREEK[base]
            written = rf"$\mathbf{{{math}}}$" if run.bold else f"${math}$"
        else:
            written = SPECIAL.get(base, base)
        if accent:
            core = written.strip("$") if written.startswith("$") else rf"\mathrm{{{written}}}"
            written = f"${ACCENTS.get(accent, '')}{{{core}}}$"
        yield written


def _curve(curve: Curve) -> str:
    text = _at(*curve[0][0])
    for cubic in curve:
        if is_straight(cubic):
            text += f" -- {_at(*cubic[3])}"
        else:
            a, b, c = (_at(*point) for point in cubic[1:])
            text += f" .. controls {a} and {b} .. {c}"
    return text


def _at(x: float, y: float) -> str:
    return f"({number(x)},{number(y)})"


def _size(font: float) -> str:
    return rf"\fontsize{{{number(font)}}}{{{number(1.4 * font)}}}\selectfont "
