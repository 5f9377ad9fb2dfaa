"""What holds for every figure, measured on what the writers are given: its boxes, lines, labels."""

from itertools import combinations

import numpy as np

import viz
from viz.curves import within
from viz.geometry import sample
from viz.labels import SIZE, middles, size, width
from viz.layout import Placed
from viz.scene import Box

APART = 1.5  # between two shapes, in points


def check(figure: viz.Figure) -> None:
    """No box over another, no text outside its box, no link through a box, and each link begins
    and ends at its shapes."""
    scene = figure.scene
    diagram = scene.diagram
    assert diagram is not None
    shapes = {box.shape: box for box in scene.boxes if box.shape is not None}
    assert len(shapes) == len(diagram.shapes)
    for a, b in combinations(shapes.values(), 2):
        apart = abs(a.x - b.x) - a.half_width - b.half_width
        assert max(apart, abs(a.y - b.y) - a.half_height - b.half_height) > APART, (a, b)
    for box in shapes.values():
        _check_label(box)
    places = {i: _placed(box) for i, box in shapes.items()}
    drawn = {path.link for path in scene.paths} - {None}
    assert drawn == set(range(len(diagram.links)))
    for path in scene.paths:
        if path.link is None:
            continue
        link = diagram.links[path.link]
        points = np.concatenate([sample(curve) for curve in path.curves])
        low, high = points.min(0), points.max(0)
        for i, place in places.items():
            half = np.array([place.half_width, place.half_height])
            near = (place.centre + half > low) & (place.centre - half < high)
            if place.kind != "dots" and near.all():
                assert not np.any(within(place, points, -0.1)), (shapes[i].title, link)
        _check_end(places[link.source], path.curves[0][0][0], link)
        _check_end(places[link.target], path.head[0][3], link)


def _check_label(box: Box) -> None:
    wide, _ = size(box.label)
    assert wide * box.font / SIZE <= 2 * box.half_width + 0.5, box
    if box.round and box.label:  # its corners are in the circle
        (line,) = box.label
        half = width(line, box.font) / 2
        assert np.hypot(half, 0.25 * box.font) < box.half_width, box
    for below in middles(box.label):
        assert abs(below) < box.half_height, box


def _check_end(place: Placed, point: tuple[float, float], link: object) -> None:
    at = np.array([point])
    assert within(place, at, 2.5).all() and not within(place, at, -0.1).any(), (place, link)


def _placed(box: Box) -> Placed:
    kind = "circle" if box.round else box.kind
    return Placed(kind, box.x, box.y, box.half_width, box.half_height)
