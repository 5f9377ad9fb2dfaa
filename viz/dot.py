"""The picture as DOT. Every position is given, so Graphviz only draws and does no layout.

`layout=nop2` in the file itself switches the layout off, like `neato -n2`. An edge's `pos` holds
one curve per visible piece, then the strokes of its arrow, in the edge's own pen.
"""

from __future__ import annotations

from typing import Any

from viz import labels
from viz.geometry import Curve
from viz.labels import Label, Line, Run
from viz.letters import escape
from viz.scene import Box, Path, Scene, Text
from viz.themes import BLACK, TEXTBOOK, Theme

BREAK = '<BR/><FONT POINT-SIZE="3"> </FONT><BR/>'  # a line, and a little room for subscripts
MONOSPACE = "cmtt10,Courier New,Courier,Nimbus Mono PS,DejaVu Sans Mono,monospace"


def write(scene: Scene, theme: Theme) -> str:
    """The DOT source. The ids n0, n1, ... are the shapes; e0, e1, ... are all other nodes."""
    dot = new_graph()
    if any(path.filled for path in scene.paths):
        dot.graph_attr["pad"] = "0.05"  # Graphviz's arrow heads do not count in its bounds
    if theme["paper"] != TEXTBOOK["paper"]:
        dot.graph_attr["bgcolor"] = theme["paper"].fill
    explaining = 0
    for text in scene.texts:
        if text.id:
            dot.node(text.id, markup((text.line,)), **_text(text, theme))
    for box in scene.boxes:
        if box.shape is not None:
            dot.node(f"n{box.shape}", markup(box.label), **_node(box, theme))
        else:
            dot.node(f"e{explaining}", markup(box.label), **_node(box, theme))
            explaining += 1
    for path in sorted(scene.paths, key=lambda path: path.link or 0):
        ends = path.ends
        if not all(ends):  # a line without shapes needs two invisible end points
            ends = f"e{explaining}", f"e{explaining + 1}"
            explaining += 2
            for end, point in zip(
                ends, (path.curves[0][0][0], path.curves[-1][-1][3]), strict=True
            ):
                here = {"pos": _point(point), "width": "0.01", "height": "0.01"}
                dot.node(end, "", shape="none", style="invis", **here)
        dot.edge(*ends, **_edge(path, theme))
    for text in scene.texts:
        if text.id:
            continue
        dot.node(f"e{explaining}", markup((text.line,)), **_text(text, theme))
        explaining += 1
    return str(dot.source)


def new_graph() -> Any:
    """An empty picture of the textbook's style."""
    try:
        import graphviz
    except ImportError:
        raise ImportError(
            "a picture as .gv, .png or .pdf needs the graphviz package: pip install graphviz "
            "pygraphviz, or save it as .svg"
        ) from None
    return graphviz.Digraph(
        graph_attr={"layout": "nop2", "pad": "0.02", "outputorder": "edgesfirst"},
        node_attr={
            "shape": "box",
            "fixedsize": "true",
            "penwidth": "1",
            "margin": "0",
            "fontname": labels.FONT,
            "fontsize": f"{labels.SIZE:g}",
        },
        edge_attr={"arrowhead": "none", "penwidth": "1"},
    )


def _node(box: Box, theme: Theme) -> dict[str, str]:
    attributes = {
        "pos": _point((box.x, box.y)),
        "width": f"{box.half_width / 36:.4f}",
        "height": f"{box.half_height / 36:.4f}",
    }
    fill, stroke, text = theme[box.kind]
    fill = box.colour or fill
    if box.round:
        attributes["shape"] = "circle"
        if box.label:
            attributes["fontsize"] = f"{box.font:.1f}"
    elif fill == stroke == "none" or box.kind == "pill":
        attributes["shape"] = "none"
    if not box.round and box.font != labels.SIZE:
        attributes["fontsize"] = f"{box.font:g}"
    if fill != "none":
        attributes |= {"style": "filled", "fillcolor": fill}
    if box.corner:
        attributes["style"] = ",".join(["rounded", *attributes.get("style", "").split()])
    if box.shape is None:
        attributes["fixedsize"] = "false"  # a face that has to stand in may be wider
    if stroke not in ("none", BLACK):
        attributes["color"] = stroke
    elif stroke == "none" and fill != "none":
        attributes["penwidth"] = "0"
    if text not in ("none", BLACK):
        attributes["fontcolor"] = text
    return attributes


def _edge(path: Path, theme: Theme) -> dict[str, str]:
    pieces = list(path.gapped or path.curves)
    if path.head and not path.filled:
        pieces.append(path.head)
    attributes = {"pos": "; ".join(map(_spline, pieces))}
    if path.filled:
        tip = path.head[0][3]
        attributes = {"pos": f"e,{_point(tip)} {_spline(path.curves[0])}"}
        attributes |= {"arrowhead": "normal", "arrowsize": "0.4"}
    stroke = path.colour or theme[path.kind].stroke
    if stroke != BLACK:
        attributes["color"] = stroke
    if path.width != 1:
        attributes["penwidth"] = f"{path.width:g}"
    return attributes


def _text(text: Text, theme: Theme) -> dict[str, str]:
    half = text.half_width
    x = text.x + {"start": half, "middle": 0.0, "end": -half}[text.anchor]
    attributes = {
        "shape": "none",
        "pos": _point((x, text.y)),
        "fixedsize": "false",  # a face that has to stand in may be wider
        "width": f"{half / 36:.4f}",
        "height": f"{text.font * 1.4 / 72:.4f}",
    }
    if text.font != labels.SIZE:
        attributes["fontsize"] = f"{text.font:g}"
    if text.monospace:
        attributes["fontname"] = MONOSPACE
    if theme[text.kind].text != BLACK:
        attributes["fontcolor"] = theme[text.kind].text
    return attributes


# Labels in Graphviz' HTML-like markup ------------------------------------------------------


def markup(label: Label) -> str:
    """The label between < and >, in the middle of its box also where it has no subscript.

    Graphviz places a <B> or <I> so that a subscript has room below it, but places a separate
    typeface in the middle.
    """
    if not label:
        return ""
    first = label[0]
    if (
        len(label) == 1
        and first[0].level == 0
        and all((r.level, r[1:3]) == (0, first[0][1:3]) for r in first)
    ):
        style = "Bold" * first[0].bold + "Italic" * first[0].italic
        if style:
            words = escape("".join(run.text for run in first))
            return f'<<FONT FACE="{labels.FONT} {style}">{words}</FONT>>'
    return f"<{BREAK.join(map(_line, label))}>"


def _line(line: Line) -> str:
    parts = []
    for level, runs in labels.groups(line):
        inside = "".join(map(_run, runs))
        if level == labels.SMALL:
            inside = f'<FONT POINT-SIZE="6.5">{inside}</FONT>'
        elif level:  # as large as in the book (Graphviz shrinks it too)
            tag = "SUB" if level < 0 else "SUP"
            inside = f'<FONT POINT-SIZE="{labels.SIZE * 0.9:g}"><{tag}>{inside}</{tag}></FONT>'
        parts.append(inside)
    return "".join(parts)


def _run(run: Run) -> str:
    text = escape(run.text)
    tag = "B" * run.bold + "I" * run.italic
    return f"<{tag}>{text}</{tag}>" if tag else text


def _spline(curve: Curve) -> str:
    points = [curve[0][0], *(point for cubic in curve for point in cubic[1:])]
    return " ".join(map(_point, points))


def _point(point: tuple[float, float]) -> str:
    return f"{number(point[0])},{number(point[1])}"


def number(x: float) -> str:
    return f"{round(x, 2) + 0.0:g}"
