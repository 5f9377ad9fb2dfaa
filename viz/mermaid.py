"""The picture as Mermaid, which README pages can render: the links, without positions."""

from __future__ import annotations

from viz import labels
from viz.diagram import Link, Shape
from viz.scene import Scene
from viz.themes import Theme


def write(scene: Scene, theme: Theme) -> str:
    """The Mermaid source. Time runs upwards. Raises ValueError for a picture that is no graph."""
    if scene.diagram is None:
        raise ValueError(
            "Mermaid draws only graphs, which this picture is not: save it as .svg, .png, .pdf or "
            ".tex"
        )
    lines = ["flowchart BT"]
    for i, shape in enumerate(scene.diagram.shapes):
        lines.append(f"    n{i}{_shape(shape)}:::{shape.look}")
    cuts = []
    for number, link in enumerate(scene.diagram.links):
        lines.append(f"    n{link.source} {_arrow(link)} n{link.target}")
        if link.weight == 0:
            cuts.append(str(number))
    for kind in dict.fromkeys(shape.look for shape in scene.diagram.shapes):
        fill, stroke, text = theme[kind]
        outline = "stroke-width:0" if stroke == "none" else f"stroke:{stroke}"
        lines.append(f"    classDef {kind} fill:{fill},{outline},color:{text}")
    if cuts:
        lines.append(f"    linkStyle {','.join(cuts)} stroke:{theme['cut'].stroke}")
    return "\n".join(lines) + "\n"


def _shape(shape: Shape) -> str:
    text = _quoted(labels.plain(shape.label) if shape.kind != "box" else shape.title)
    if shape.kind == "parameters":
        text = _quoted(shape.title)
    return f'(("{text or " "}"))' if shape.kind == "circle" else f'["{text}"]'


def _quoted(text: str) -> str:
    """The text with characters that Mermaid would read as markup replaced by entities."""
    return "".join(c if c.isalnum() or c in " _,^()'." else f"#{ord(c)};" for c in text)


def _arrow(link: Link) -> str:
    if link.weight == 0:
        return "-.-x"
    if link.weight == 1:
        return "-->"
    number = "" if link.weight is None else f" = {link.weight:.3g}"
    return f'-->|"ξ{number}"|'
