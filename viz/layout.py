"""Where everything stands: rows of time steps, columns by depth, parameters in a row below.

The measures are those of the textbook's figure, in points; y grows upwards, as in Graphviz.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from itertools import pairwise

from viz import labels
from viz.diagram import Diagram, Shape
from viz.geometry import Point

PITCH = 36.0  # from row to row
BOX = 22.5
CIRCLE = 24.5
MARGIN = 19.0  # of the first column's and the lowest row's centre
GAP_BEFORE_PARAMETERS = 51.0  # between columns, where the parameters' curves pass
GAP_BEFORE_STATE = 47.0  # where links come back from the row below
GAP = 43.0
BEND = 23.1  # how far the first bent curve stands from its column
BEND_STEP = 8.5  # and each further one from the one before
MOST_BENDS = 6  # curves beyond share the outermost way
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
    """Every shape's place, and the free channels between columns and between rows."""

    places: list[Placed]
    vertical: list[float]
    horizontal: list[float]
    depths: list[int | None]


def arrange(diagram: Diagram) -> Layout:
    """The place of every shape of the diagram."""
    shapes = diagram.shapes
    depths = _depths(diagram)
    above = _outputs_above(diagram, depths)
    _place_given(diagram, depths, above)
    lanes = _lanes(diagram, depths, above)
    lane_count = 1 + max(lanes.values(), default=0)
    depths = _apart_by_parameters(diagram, depths)
    columns = _columns(diagram, depths, PITCH * lane_count)
    columns = _room_below(diagram, depths, columns)

    def height(i: int) -> float:
        first, last = shapes[i].rows or (0, 0)
        middle = (first + last) / 2 * lane_count + (lane_count - 1 - lanes.get(i, 0))
        return MARGIN + PITCH * (1 + middle + (1 if i in above else 0))

    in_rows = [i for i, depth in enumerate(depths) if depth is not None]
    empty = min((height(i) for i in in_rows), default=0.0) - MARGIN - PITCH
    places: list[Placed | None] = [None] * len(shapes)
    for i in in_rows:
        places[i] = _placed(shapes[i], columns[depths[i] or 0], height(i) - empty)
    for i, x in _lowest_row(diagram, depths, columns).items():
        places[i] = _placed(shapes[i], x, MARGIN)
    edges = [columns[0] - 30, *columns, columns[-1] + 30]
    return Layout(
        [place for place in places if place is not None],
        [(a + b) / 2 for a, b in pairwise(edges)],
        [MARGIN + PITCH * (k + 0.5) for k in range(diagram.rows * lane_count + 2)],
        depths,
    )


def half_width(shape: Shape) -> float:
    if shape.kind == "circle":
        return CIRCLE / 2
    padding = 6.0 if shape.kind == "parameters" else 2.5
    return max(BOX, round(labels.width(shape.label) + 2 * padding, 1)) / 2


def _placed(shape: Shape, x: float, y: float) -> Placed:
    tall = CIRCLE if shape.kind == "circle" else BOX
    return Placed(shape.kind, x, y, half_width(shape), tall / 2)


def _is_forward(diagram: Diagram, source: int, target: int) -> bool:
    """Whether a link leads to the right; one that comes from an earlier row leads upwards."""
    a, b = diagram.shapes[source], diagram.shapes[target]
    if a.rows is None or b.rows is None:
        return False
    return a.row is None or b.row is None or a.row == b.row


def _depths(diagram: Diagram) -> list[int | None]:
    """The column of every shape in a row: the longest way to it, the same for all of a role."""
    incoming: dict[int, list[int]] = defaultdict(list)
    for link in diagram.links:
        if _is_forward(diagram, link.source, link.target):
            incoming[link.target].append(link.source)
    least: dict[str, int] = {}
    natural: list[int | None] = []
    for _ in range(6):
        depths: list[int | None] = []
        for i, shape in enumerate(diagram.shapes):
            before = [d for source in incoming[i] if (d := depths[source]) is not None]
            own = 1 if shape.kind == "circle" else 0
            depth = max([own, least.get(shape.role, 0), *(d + 1 for d in before)])
            depths.append(None if shape.rows is None else depth)
        natural = natural or depths
        reached: dict[str, int] = {}
        for shape, found in zip(diagram.shapes, depths, strict=True):
            if found is not None:
                reached[shape.role] = max(reached.get(shape.role, 0), found)
        if reached == least:
            return _late(diagram, depths, incoming)
        least = reached
    # Roles that stand behind one another have no common columns.
    return _late(diagram, natural, incoming)


def _late(
    diagram: Diagram, depths: list[int | None], incoming: dict[int, list[int]]
) -> list[int | None]:
    """What is computed only from earlier rows need not stand at the left: it moves to its use."""
    depths = list(depths)
    uses: dict[int, list[int]] = defaultdict(list)
    for target, sources in incoming.items():
        for source in sources:
            uses[source].append(target)
    movable: set[int] = set()
    for i, shape in enumerate(diagram.shapes):
        if shape.kind == "circle" and all(source in movable for source in incoming[i]):
            movable.add(i)
    for i in sorted(movable, reverse=True):
        after = [d for target in uses[i] if (d := depths[target]) is not None]
        if after and (depth := depths[i]) is not None:
            depths[i] = max(depth, min(after) - 1)
    return depths


def _outputs_above(diagram: Diagram, depths: list[int | None]) -> set[int]:
    """Scalars in which everything ends stand above their circle, if nothing else stands there."""
    used = {link.source for link in diagram.links}
    above: set[int] = set()
    for link in diagram.links:
        box, circle = diagram.shapes[link.target], diagram.shapes[link.source]
        if box.kind != "box" or circle.kind != "circle" or link.target in used or not box.scalar:
            continue
        rows = circle.rows or (0, 0)
        if rows[0] < rows[1] or rows[1] == diagram.rows - 1:
            above.add(link.target)
            depths[link.target] = depths[link.source]
    return above


def _place_given(diagram: Diagram, depths: list[int | None], above: set[int]) -> None:
    """What is given stands left of its first circle, or right of it where the left is taken."""
    targets: dict[int, list[int]] = defaultdict(list)
    computed = set()
    for link in diagram.links:
        targets[link.source].append(link.target)
        computed.add(link.target)
    taken: dict[int, list[float]] = defaultdict(list)
    given: dict[str, list[int]] = defaultdict(list)
    for i, shape in enumerate(diagram.shapes):
        if depths[i] is None or i in above or shape.kind == "dots":
            continue
        if shape.kind == "box" and i not in computed:
            given[shape.role].append(i)
        else:
            taken[depths[i] or 0].append(_middle(shape))
    for alike in given.values():
        uses = [d for i in alike for t in targets[i] if (d := depths[t]) is not None]
        first = min(uses, default=1)
        heights = [_middle(diagram.shapes[i]) for i in alike]

        def free(column: int, heights: list[float] = heights) -> bool:
            return all(abs(a - b) >= 1 for a in taken[column] for b in heights)

        column = next((c for c in (first - 1, first + 1) if free(c)), first - 1)
        for i in alike:
            depths[i] = column
        taken[column] += heights
    column_of = {s.role: d for s, d in zip(diagram.shapes, depths, strict=True) if s.kind != "dots"}
    for i, shape in enumerate(diagram.shapes):
        if shape.kind == "dots":
            depths[i] = column_of.get(shape.role, depths[i])


def _middle(shape: Shape) -> float:
    first, last = shape.rows or (0, 0)
    return (first + last) / 2


def _lanes(diagram: Diagram, depths: list[int | None], above: set[int]) -> dict[int, int]:
    """Where several shapes of a row stand in one column, they take lanes under one another."""
    taken: dict[tuple[int, float], set[int]] = defaultdict(set)
    before: dict[int, list[int]] = defaultdict(list)
    for link in diagram.links:
        if _is_forward(diagram, link.source, link.target):
            before[link.target].append(link.source)
    lanes: dict[int, int] = {}
    order = [i for i, depth in enumerate(depths) if depth is not None and i not in above]
    for i in sorted(order, key=lambda i: (depths[i], not before[i], i)):
        cell = (depths[i] or 0, _middle(diagram.shapes[i]))
        wanted = min((lanes[b] for b in before[i] if b in lanes), default=0)
        lanes[i] = next(n for n in _outwards(wanted) if n not in taken[cell])
        taken[cell].add(lanes[i])
    return lanes


def _outwards(wanted: int) -> list[int]:
    """Lanes by their distance from the wanted one."""
    return sorted(range(wanted + 64), key=lambda n: (abs(n - wanted), n))


def _apart_by_parameters(diagram: Diagram, depths: list[int | None]) -> list[int | None]:
    """Circles fed by different parameters get columns of their own, so that the ways from below,
    which run beside the columns, stay apart."""
    fed: dict[int, list[int]] = defaultdict(list)
    for link in diagram.links:
        if (below := diagram.shapes[link.source]).rows is None and below.beside is None:
            fed[link.target].append(link.source)
    groups: dict[int, list[tuple[int, ...]]] = defaultdict(list)
    refined: list[tuple[int, int] | None] = []
    for i, depth in enumerate(depths):
        if depth is None:
            refined.append(None)
            continue
        if i in fed and (group := tuple(fed[i])) not in groups[depth]:
            groups[depth].append(group)
        refined.append((depth, groups[depth].index(tuple(fed[i])) if i in fed else 0))
    used = {place: n for n, place in enumerate(sorted({r for r in refined if r}))}
    return [None if place is None else used[place] for place in refined]


def _columns(diagram: Diagram, depths: list[int | None], pitch: float) -> list[float]:
    """The columns' centres; pitch is the distance from row to row."""
    count = 1 + max((d for d in depths if d is not None), default=0)
    wide = [BOX / 2] * count
    for shape, depth in zip(diagram.shapes, depths, strict=True):
        if depth is not None and shape.kind != "circle":
            wide[depth] = max(wide[depth], half_width(shape))
    gaps = [GAP] * count
    fed: dict[int, dict[int, int]] = defaultdict(lambda: defaultdict(int))
    for link in diagram.links:
        source, target = diagram.shapes[link.source], diagram.shapes[link.target]
        column, origin = depths[link.target], depths[link.source]
        if column is None:
            continue
        if source.rows is None and source.beside is None:
            fed[column][link.source] += 1
        elif origin is not None and not _is_forward(diagram, link.source, link.target):
            gaps[origin] = max(gaps[origin], GAP_BEFORE_STATE)
        elif origin in (column - 1, column + 1) and target.rows and target.row is None:
            # A fan: its steepest line must pass the corners of the boxes beside its own.
            reach = abs(_middle(source) - _middle(target)) * pitch
            right = max(origin, column)
            gaps[right] = max(gaps[right], 0.586 * reach + 2)
    for column, uses in fed.items():
        bends = sum(min(circles - 1, MOST_BENDS) for circles in uses.values())
        extra = BEND_STEP * max(0, bends - 2)
        gaps[column] = max(gaps[column], GAP_BEFORE_PARAMETERS + extra)
    x = MARGIN + wide[0] - BOX / 2
    centres = [x]
    for column in range(1, count):
        x += gaps[column] + wide[column - 1] + wide[column] - BOX
        centres.append(x)
    return centres


def _below(diagram: Diagram, depths: list[int | None]) -> dict[int, int]:
    """What stands in the lowest row, and under which column: parameters, initial states and what
    all rows share stand under what they feed."""
    column_of = {s.role: d for s, d in zip(diagram.shapes, depths, strict=True) if d is not None}
    fed: dict[int, list[int]] = defaultdict(list)
    for link in diagram.links:
        if (depth := depths[link.target]) is not None:
            fed[link.source].append(depth)
    below: dict[int, int] = {}
    for i, shape in enumerate(diagram.shapes):
        if shape.rows is None:
            under = column_of.get(shape.beside) if shape.beside else None
            below[i] = under if under is not None else min(fed[i], default=0)
    return dict(sorted(below.items(), key=lambda item: (item[1], item[0])))


def _apart(diagram: Diagram, a: int, b: int) -> float:
    """How far from one another two neighbours' centres must be."""
    return half_width(diagram.shapes[a]) + half_width(diagram.shapes[b]) + BETWEEN_BOXES


def _room_below(diagram: Diagram, depths: list[int | None], columns: list[float]) -> list[float]:
    """The columns moved apart where the boxes below them need it."""
    columns = list(columns)
    below = list(_below(diagram, depths).items())
    for (a, left), (b, right) in pairwise(below):
        lacking = columns[left] + _apart(diagram, a, b) - columns[right]
        if left < right and lacking > 0:
            columns[right:] = [x + min(lacking, 40.0) for x in columns[right:]]
    return columns


def _lowest_row(
    diagram: Diagram, depths: list[int | None], columns: list[float]
) -> dict[int, float]:
    """The x of everything in the lowest row."""
    x = {i: columns[column] for i, column in _below(diagram, depths).items()}
    order = list(x)
    for _ in range(400):  # push apart what overlaps; initial states yield the least
        still = True
        for a, b in pairwise(order):
            overlap = x[a] + _apart(diagram, a, b) - x[b]
            if overlap > 1e-6:
                firm = [0.02 if diagram.shapes[i].beside else 1.0 for i in (a, b)]
                x[a] -= overlap * firm[0] / sum(firm)
                x[b] += overlap * firm[1] / sum(firm)
                still = False
        if still:
            break
    return x
