"""A DOT source read back, by Graphviz itself: where everything stands and every line goes."""

import html
import re
from dataclasses import dataclass

import numpy as np
import pygraphviz


@dataclass
class Box:
    id: str
    text: str
    x: float
    y: float
    width: float
    height: float
    circle: bool
    fill: str | None
    outline: bool


@dataclass
class Line:
    source: str
    target: str
    pieces: list[np.ndarray]
    color: str | None
    tip: np.ndarray

    def points(self) -> np.ndarray:
        """Close points on all of its curves."""
        t = np.linspace(0, 1, 60)[:, None]
        return np.concatenate(
            [
                (1 - t) ** 3 * a + 3 * t * (1 - t) ** 2 * b + 3 * t**2 * (1 - t) * c + t**3 * d
                for piece in self.pieces
                for a, b, c, d in (piece[k : k + 4] for k in range(0, len(piece) - 1, 3))
            ]
        )


def _points(text: str) -> np.ndarray:
    return np.array([tuple(map(float, point.split(","))) for point in text.split()])


def read(source: str) -> tuple[dict[str, Box], list[Line]]:
    graph = pygraphviz.AGraph(string=source)
    boxes = {}
    for node in graph.nodes():
        x, y = map(float, node.attr["pos"].split(","))
        boxes[str(node)] = Box(
            str(node),
            html.unescape(re.sub(r"<[^>]*>", "", node.attr["label"] or "")),
            x,
            y,
            72 * float(node.attr["width"]),
            72 * float(node.attr["height"]),
            node.attr["shape"] == "circle",
            node.attr["fillcolor"] or None,
            node.attr["shape"] != "none",
        )
    lines = []
    for edge in graph.edges():
        drawn = edge.attr["pos"]
        end = re.match(r"e,(\S+) ", drawn)  # the tip of an arrow that Graphviz itself draws
        pieces = [_points(piece) for piece in drawn[end.end() if end else 0 :].split(";")]
        # Our own arrow heads are the last piece: one wing, the tip, the other wing.
        tip = _points(end.group(1))[0] if end else pieces[-1][3]
        lines.append(Line(str(edge[0]), str(edge[1]), pieces, edge.attr["color"] or None, tip))
    return boxes, lines


def named(boxes: dict[str, Box], text: str) -> Box:
    """The one box with this text, as in `h1`."""
    (found,) = [box for box in boxes.values() if box.text == text]
    return found
