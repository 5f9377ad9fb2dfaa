"""The layout: rows of time steps, columns by depth, and parameters in a row below.

The measures are those of the textbook's figure, in points; y grows upwards, as in Graphviz.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from itertools import accumulate, pairwise

from viz import labels
from viz.columns import assign, is_forward, middle
from viz.diagram import Diagram, Shape
from viz.geometry import Point

PITCH = 36.0  # from row to row
BOX = 22.5
CIRCLE = 24.5
MARGIN = 19.0  # of the first column's and the lowest row's centre
GAP_BEFORE_PARAMETERS = 51.0  # between columns, where the parameters' curves pass
GAP_BEFORE_STATE = 47.0  # the room for links that come back from the row below
GAP = 43.0
BEND = 23.1  # the distance of the first bent curve from its column
BEND_STEP = 8.5  # and each further one from the one before
MOST_BENDS = 6  # further curves share the outermost place
RAIL_STEP = 5.0  # from rail to rail
GAP_BEFORE_COMB = 56.0
BETWEEN_PARTS = 16.0  # in addition to the pitch, between parts above one another
BETWEEN_BOXES = 10.0  # of the lowest row


@dataclass(frozen=True)
class Placed:
    """A shape's centre and half of its width and height."""

    kind: str
    x: float
    y: float
    half_width: float
    half_height: float

    @property
    def centre(self) -> Point:
        return self.x, self.y

    @property
    def top(self) -> float:
        return self.y + self.half_height


@dataclass
class Layout:
    """The place of every shape, and the free channels between columns and between rows.

    pitch: from row to row.
    boundaries: the horizontal channels between rows, where no shape stands.
    rising: the links that share a rail, beside those from below the rows.
    """

    places: list[Placed]
    vertical: list[float]
    horizontal: list[float]
    boundaries: list[float]
    pitch: float = PITCH
    rising: set[tuple[int, int]] = field(default_factory=set)


def arrange(diagram: Diagram, sideways: bool = False) -> Layout:
    """The place of every shape of the diagram, with time running upwards.

    sideways: whether to exchange the widths and heights of the shapes, for a layout that is turned
        afterwards.
    """
    shapes = diagram.shapes
    assigned = assign(diagram)
    depths, lanes, above = assigned.columns, assigned.lanes, assigned.above
    lane_count = 1 + round(max(lanes.values(), default=0))
    higher = [labels.size(s.label)[1] for s in shapes if s.rows is not None]
    pitch = PITCH + max(higher, default=0.0)
    sizes = Sizes(sideways)
    if sideways:
        pitch += max((2 * sizes.half_height(s) for s in shapes if s.rows is not None), default=0)
        pitch -= BOX
    columns = _columns(diagram, depths, assigned.rising, pitch * lane_count, sizes)
    columns = _room_below(diagram, depths, columns, sizes)

    gaps = [sum(row >= begin for begin in assigned.boundaries) for row in range(diagram.rows + 1)]

    def level(row: int, lane: float = 0.0) -> float:
        lanes_below = row * lane_count + (lane_count - 1 - lane)
        return MARGIN + pitch * (1 + lanes_below) + BETWEEN_PARTS * gaps[row]

    def height(i: int) -> float:
        first, last = shapes[i].rows or (0, 0)
        lane = lanes.get(i, 0)
        return (level(first, lane) + level(last, lane)) / 2 + (pitch if i in above else 0)

    in_rows = [i for i, depth in enumerate(depths) if depth is not None]
    empty = min((height(i) for i in in_rows), default=0.0) - MARGIN - pitch
    places: list[Placed | None] = [None] * len(shapes)
    for i in in_rows:
        places[i] = sizes.placed(shapes[i], columns[depths[i] or 0], height(i) - empty)
    for i, x in _lowest_row(diagram, depths, columns, sizes).items():
        places[i] = sizes.placed(shapes[i], x, MARGIN, hanging=True)
    edges = [columns[0] - 30, *columns, columns[-1] + 30]
    levels = [level(row, lane) for row in range(diagram.rows) for lane in range(lane_count)]
    levels = [MARGIN, *sorted(levels), max(levels) + pitch, max(levels) + 2 * pitch]
    return Layout(
        [place for place in places if place is not None],
        [(a + b) / 2 for a, b in pairwise(edges)],
        [(a + b) / 2 for a, b in pairwise(levels)],
        [level(row, lane_count - 1) - pitch / 2 for row in range(diagram.rows)]
        + [max(levels) - 3 * pitch / 2],
        pitch,
        assigned.rising,
    )


@dataclass(frozen=True)
class Sizes:
    """The sizes of shapes, with widths and heights exchanged where time will run sideways."""

    sideways: bool = False

    def half_width(self, shape: Shape) -> float:
        return _half_height(shape) if self.sideways else _half_width(shape)

    def half_height(self, shape: Shape) -> float:
        return _half_width(shape) if self.sideways else _half_height(shape)

    def placed(self, shape: Shape, x: float, y: float, hanging: bool = False) -> Placed:
        """The shape placed at this height. In the lowest row, tall boxes are aligned at the top
        with ordinary boxes."""
        if hanging:
            y -= self.half_height(shape) - BOX / 2
        return Placed(shape.kind, x, y, self.half_width(shape), self.half_height(shape))


def _half_width(shape: Shape) -> float:
    if shape.kind == "circle":
        return CIRCLE / 2
    padding = 6.0 if shape.kind == "parameters" else 2.5
    return max(BOX, round(labels.size(shape.label)[0] + 2 * padding, 1)) / 2


def _half_height(shape: Shape) -> float:
    return ((CIRCLE if shape.kind == "circle" else BOX) + labels.size(shape.label)[1]) / 2


def _columns(
    diagram: Diagram,
    depths: list[int | None],
    rising: set[tuple[int, int]],
    pitch: float,
    sizes: Sizes,
) -> list[float]:
    """The centres of the columns. pitch: the distance from row to row."""
    count = 1 + max((d for d in depths if d is not None), default=0)
    wide = [BOX / 2] * count
    for shape, depth in zip(diagram.shapes, depths, strict=True):
        if depth is not None and shape.kind != "circle":
            wide[depth] = max(wide[depth], sizes.half_width(shape))
    gaps = [GAP] * count
    fed: dict[int, dict[int, int]] = defaultdict(lambda: defaultdict(int))
    for link in diagram.links:
        source, target = diagram.shapes[link.source], diagram.shapes[link.target]
        column, origin = depths[link.target], depths[link.source]
        assert column is not None  # no link leads below the rows
        if (source.rows is None and source.beside is None) or (link.source, link.target) in rising:
            fed[column][link.source] += 1
        elif origin is not None and not is_forward(diagram, link.source, link.target):
            gaps[origin] = max(gaps[origin], GAP_BEFORE_STATE)
        elif origin in (column - 1, column + 1) and target.rows and target.row is None:
            # A fan: its steepest line must pass the corners of the boxes beside its own.
            reach = abs(middle(source) - middle(target)) * pitch
            right = max(origin, column)
            combed = diagram.is_dense and reach > 1.1 * PITCH
            gaps[right] = max(gaps[right], GAP_BEFORE_COMB if combed else 0.586 * reach + 2)
    for column, uses in fed.items():
        bends = sum(min(circles - 1, MOST_BENDS) for circles in uses.values())
        extra = BEND_STEP * max(0, bends - 2)
        if diagram.is_dense:
            extra = RAIL_STEP * (len(uses) - 1)
        gaps[column] = max(gaps[column], GAP_BEFORE_PARAMETERS + extra)
    x = MARGIN + wide[0] - BOX / 2
    centres = [x]
    for column in range(1, count):
        x += gaps[column] + wide[column - 1] + wide[column] - BOX
        centres.append(x)
    return centres


def _below(diagram: Diagram, depths: list[int | None]) -> dict[int, int]:
    """The shapes of the lowest row, with their columns. Parameters, initial states and values that
    all rows share stand under the shapes that they feed. In one column, what feeds higher rows
    stands farther left, like its rail."""
    column_of = {s.role: d for s, d in zip(diagram.shapes, depths, strict=True) if d is not None}
    fed: dict[int, list[int]] = defaultdict(list)
    first: dict[int, int] = {}  # the first row that each shape feeds
    for link in diagram.links:
        rows = diagram.shapes[link.target].rows
        depth = depths[link.target]
        assert depth is not None and rows is not None  # no link leads below the rows
        fed[link.source].append(depth)
        first[link.source] = min(rows[0], first.get(link.source, rows[0]))
    below: dict[int, int] = {}
    for i, shape in enumerate(diagram.shapes):
        if shape.rows is None:
            under = column_of.get(shape.beside) if shape.beside else None
            below[i] = under if under is not None else min(fed[i], default=0)
    return dict(sorted(below.items(), key=lambda item: (item[1], -first.get(item[0], 0), item[0])))


def _apart(diagram: Diagram, a: int, b: int, sizes: Sizes) -> float:
    """The least distance between the centres of two neighbours."""
    a_wide, b_wide = (sizes.half_width(diagram.shapes[i]) for i in (a, b))
    return a_wide + b_wide + BETWEEN_BOXES


def _room_below(
    diagram: Diagram, depths: list[int | None], columns: list[float], sizes: Sizes
) -> list[float]:
    """The columns moved apart where the boxes below them need it."""
    columns = list(columns)
    below = list(_below(diagram, depths).items())
    for (a, left), (b, right) in pairwise(below):
        lacking = columns[left] + _apart(diagram, a, b, sizes) - columns[right]
        if left < right and lacking > 0:
            columns[right:] = [x + min(lacking, 40.0) for x in columns[right:]]
    return columns


def _lowest_row(
    diagram: Diagram, depths: list[int | None], columns: list[float], sizes: Sizes
) -> dict[int, float]:
    """The x of everything in the lowest row: without overlap, and as close to the columns as least
    squares can bring it. Initial states move the least."""
    below = _below(diagram, depths)
    apart = (_apart(diagram, a, b, sizes) for a, b in pairwise(below))
    offsets = list(accumulate(apart, initial=0.0))
    # Without these offsets, the boxes need only be in order. Neighbours out of order form a group.
    groups: list[tuple[float, float, int]] = []  # the weight, the mean and the size of each
    for (i, column), offset in zip(below.items(), offsets, strict=False):
        weight, mean, size = 50.0 if diagram.shapes[i].beside else 1.0, columns[column] - offset, 1
        while groups and groups[-1][1] > mean:
            more, other, count = groups.pop()
            mean = (weight * mean + more * other) / (weight + more)
            weight, size = weight + more, size + count
        groups.append((weight, mean, size))
    means = (mean for _, mean, size in groups for _ in range(size))
    return {i: mean + offset for i, mean, offset in zip(below, means, offsets, strict=False)}
