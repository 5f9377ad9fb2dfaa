"""The picture as DOT: every position is given, so Graphviz draws and arranges nothing.

`layout=nop2` says so in the file itself (it is what `neato -n2` runs). An edge's `pos` holds one
curve per visible piece, then the strokes of its arrow, in the edge's own pen.
"""

from __future__ import annotations

import html
from collections.abc import Sequence
from typing import Any

from viz import labels
from viz.captions import SIZE, captions
from viz.diagram import Diagram
from viz.geometry import Curve
from viz.layout import Layout, Placed
from viz.strokes import Stroke, arrow_head

OPERATOR = "#B2D9FF"
PARAMETER = "#66BFFF"
CUT = "#8C8C8C"
SCALED = "#C05000"


def write(diagram: Diagram, layout: Layout, strokes: Sequence[Stroke]) -> str:
    """The DOT source; ids count the shapes from 0."""
    dot = new_graph()
    for i, (shape, place) in enumerate(zip(diagram.shapes, layout.places, strict=True)):
        attributes = _node(place)
        label = f"<{labels.centred(shape.label)}>" if shape.label else ""
        if shape.kind == "circle" and shape.label:
            attributes["fontsize"] = f"{min(8.0, 8 * 18 / labels.width(shape.label)):.1f}"
        dot.node(f"n{i}", label, **attributes)
    for stroke in strokes:
        pieces = [*stroke.pieces, *stroke.bars, arrow_head(stroke.curve)]
        attributes = {"pos": "; ".join(map(_spline, pieces))}
        weight = stroke.link.weight
        if weight == 0:
            attributes["color"] = CUT
        elif weight != 1:
            attributes["color"] = SCALED
        dot.edge(f"n{stroke.link.source}", f"n{stroke.link.target}", **attributes)
    for i, caption in enumerate(captions(strokes, layout.places)):
        dot.node(
            f"weight{i}",
            f"<{caption.text}>",
            shape="none",
            pos=f"{number(caption.x)},{number(caption.y)}",
            fontsize=f"{SIZE:g}",
            fontcolor=SCALED,
            fixedsize="false",
            width="0",
            height="0",
        )
    return str(dot.source)


def new_graph() -> Any:
    """An empty picture of the textbook's style."""
    try:
        import graphviz
    except ImportError:
        raise ImportError(
            "pictures need the graphviz package: pip install 'tinygrad-rnn[viz]'"
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


def plain(text: str) -> str:
    """The text as a label that means itself: no entities, no escapes, no markup."""
    import graphviz

    return str(graphviz.escape(html.escape(text)))


def _node(place: Placed) -> dict[str, str]:
    attributes = {
        "pos": f"{number(place.x)},{number(place.y)}",
        "width": f"{place.half_width / 36:.4f}",
        "height": f"{place.half_height / 36:.4f}",
    }
    if place.kind == "circle":
        attributes |= {"shape": "circle", "style": "filled", "fillcolor": OPERATOR}
    elif place.kind == "parameters":
        attributes |= {"style": "filled", "fillcolor": PARAMETER}
    elif place.kind == "dots":
        attributes |= {"shape": "none"}
    return attributes


def _spline(curve: Curve) -> str:
    points = [curve[0][0], *(point for cubic in curve for point in cubic[1:])]
    return " ".join(f"{number(x)},{number(y)}" for x, y in points)


def number(x: float) -> str:
    return f"{round(x, 2) + 0.0:g}"
