"""Columns and lanes: the horizontal order of the shapes, by what they are computed from."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass
from typing import Any

from viz.chains import recurrent
from viz.diagram import Diagram, Shape
from viz.order import in_order


@dataclass
class Places:
    """The places of the shapes.

    columns: the column of every shape, None for the lowest row.
    lanes: the lane of each shape that shares row and column with others, counted down from the
        first lane of the row.
    above: the shapes that stand above their circle or their first state.
    boundaries: the rows at which a part begins above another part.
    rising: the links, as (source, target), of values that several later rows use alike.
    """

    columns: list[int | None]
    lanes: dict[int, float]
    above: set[int]
    boundaries: set[int]
    rising: set[tuple[int, int]]


def assign(diagram: Diagram) -> Places:
    """The column and the lane of every shape."""
    depths = _depths(diagram)
    above = _outputs_above(diagram, depths) | _beginnings_above(diagram, depths)
    _place_given(diagram, depths, above)
    lanes = _lanes(diagram, depths, above)
    columns = _apart_by_parameters(diagram, depths)
    return Places(columns, lanes, above, _boundaries(diagram), _rising(diagram, columns))


def is_forward(diagram: Diagram, source: int, target: int) -> bool:
    """Whether a link leads to the right. A link between different rows leads up or down."""
    a, b = diagram.shapes[source].rows, diagram.shapes[target].rows
    return a is not None and b is not None and a[0] <= b[1] and b[0] <= a[1]


def _depths(diagram: Diagram) -> list[int | None]:
    """The column of every shape in a row: the length of the longest path to it, the same for all
    shapes of a role."""
    sources, targets = _forward(diagram)
    least: dict[str, int] = {}
    natural: list[int | None] = []
    begins = _beginnings(diagram)
    order = in_order(sources)
    order += sorted(set(range(len(diagram.shapes))) - set(order))  # what folding put on a cycle
    for _ in range(6):
        depths: list[int | None] = [None] * len(diagram.shapes)
        for i in order:
            shape = diagram.shapes[i]
            before = [d for source in sources[i] if (d := depths[source]) is not None]
            own = 1 + begins[i] if shape.kind == "circle" else 0
            depth = max([own, least.get(shape.role, 0), *(d + 1 for d in before)])
            depths[i] = None if shape.rows is None else depth
        natural = natural or depths
        reached: dict[str, int] = {}
        for shape, found in zip(diagram.shapes, depths, strict=True):
            if found is not None:
                reached[shape.role] = max(reached.get(shape.role, 0), found)
        if reached == least:
            return _late(diagram, depths, sources, targets)
        least = reached
    # Roles that lie behind one another share no columns.
    return _late(diagram, natural, sources, targets)


def _forward(diagram: Diagram) -> tuple[list[list[int]], list[list[int]]]:
    """The links that lead to the right: the sources of each shape, and its targets."""
    sources: list[list[int]] = [[] for _ in diagram.shapes]
    targets: list[list[int]] = [[] for _ in diagram.shapes]
    for link in diagram.links:
        if is_forward(diagram, link.source, link.target):
            sources[link.target].append(link.source)
            targets[link.source].append(link.target)
    return sources, targets


def _beginnings(diagram: Diagram) -> list[int]:
    """The first column for the circles of each chain. Parts and chains of states in the same rows
    lie side by side."""
    chains = recurrent(diagram)
    chain = [shape.part or chains.get(shape.role, "") for shape in diagram.shapes]
    rows: dict[object, set[int]] = defaultdict(set)
    for shape, name in zip(diagram.shapes, chain, strict=True):
        if name != "" and shape.row is not None and shape.kind == "circle":
            rows[name].add(shape.row)
    names = list(rows)
    before = {
        name: 2 * sum(bool(rows[name] & rows[other]) for other in names[:n])
        for n, name in enumerate(names)
    }
    return [before.get(name, 0) for name in chain]


def _late(
    diagram: Diagram,
    depths: list[int | None],
    sources: list[list[int]],
    targets: list[list[int]],
) -> list[int | None]:
    """Move shapes that are computed only from earlier rows to the right, next to their use."""
    depths = list(depths)
    movable: set[int] = set()
    for i, shape in enumerate(diagram.shapes):
        if shape.kind == "circle" and all(source in movable for source in sources[i]):
            movable.add(i)
    for i in sorted(movable, reverse=True):
        after = [d for target in targets[i] if (d := depths[target]) is not None]
        if after and (depth := depths[i]) is not None:
            depths[i] = max(depth, min(after) - 1)
    return depths


def _outputs_above(diagram: Diagram, depths: list[int | None]) -> set[int]:
    """The scalar outputs. They stand above their circle, if nothing else stands there."""
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


def _beginnings_above(diagram: Diagram, depths: list[int | None]) -> set[int]:
    """The initial states of chains that run downwards. They stand above the first state of their
    chain."""
    column_of = {s.role: d for s, d in zip(diagram.shapes, depths, strict=True)}
    above = set()
    for i, shape in enumerate(diagram.shapes):
        if shape.beside and shape.row == diagram.rows - 1 and shape.beside in column_of:
            depths[i] = column_of[shape.beside]
            above.add(i)
    return above


def _place_given(diagram: Diagram, depths: list[int | None], above: set[int]) -> None:
    """Place the given values: left of their first circle, or right of it where the left is
    taken."""
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
            taken[depths[i] or 0].append(middle(shape))
    for alike in given.values():
        uses = [d for i in alike for t in targets[i] if (d := depths[t]) is not None]
        first = min(uses, default=1)
        heights = [middle(diagram.shapes[i]) for i in alike]

        def free(column: int, heights: list[float] = heights) -> bool:
            return all(abs(a - b) >= 1 for a in taken[column] for b in heights)

        beyond = first + 1 if diagram.shapes[alike[0]].part else first - 1  # within its own part
        column = next((c for c in (first - 1, first + 1) if free(c)), beyond)
        for i in alike:
            depths[i] = column
        taken[column] += heights
    _place_dots(diagram, depths)


def _place_dots(diagram: Diagram, columns: list[Any]) -> None:
    """Place the dots of folded rows in the column of what they stand for."""
    column_of = {
        s.role: c for s, c in zip(diagram.shapes, columns, strict=True) if s.kind != "dots"
    }
    for i, shape in enumerate(diagram.shapes):
        if shape.kind == "dots" and shape.row is not None:
            columns[i] = column_of.get(shape.role, columns[i])


def middle(shape: Shape) -> float:
    first, last = shape.rows or (0, 0)
    return (first + last) / 2


def _lanes(diagram: Diagram, depths: list[int | None], above: set[int]) -> dict[int, float]:
    """The lanes. Several shapes of a row in one column take lanes under one another."""
    taken: dict[tuple[int, float], set[int]] = defaultdict(set)
    before, after = _forward(diagram)
    reach = _reach(diagram, depths, after)
    lanes: dict[int, int] = {}
    order = [i for i, depth in enumerate(depths) if depth is not None and i not in above]
    cells = {i: (depths[i] or 0, middle(diagram.shapes[i])) for i in order}
    counts = Counter(cells.values())
    fans = {i: reach[i] * (counts[cells[i]] > 2) for i in order}
    for i in sorted(order, key=lambda i: (depths[i], not before[i], fans[i], i)):
        cell = cells[i]
        wanted = min((lanes[b] for b in before[i] if b in lanes), default=0)
        lanes[i] = next(n for n in _outwards(wanted) if n not in taken[cell])
        taken[cell].add(lanes[i])
    return _centred(diagram, depths, lanes, taken)


def _reach(diagram: Diagram, depths: list[int | None], uses: list[list[int]]) -> list[int]:
    """The column of the first use of each shape's result, without the shape's own box. The shape
    whose use is farthest to the right takes the outermost lane."""
    reach = []
    for i in range(len(diagram.shapes)):
        after = uses[i]
        if len(after) == 1 and diagram.shapes[after[0]].kind == "box":
            after = uses[after[0]]
        reach.append(min((depths[target] or 0 for target in after), default=0))
    return reach


def _centred(
    diagram: Diagram,
    depths: list[int | None],
    lanes: dict[int, int],
    taken: dict[tuple[int, float], set[int]],
) -> dict[int, float]:
    """Lanes centred in their row. With three lanes or more, the shapes of every column move to the
    middle of their row, so that links from or to several lanes form a fan. With two lanes, the
    first lane stays a straight line."""
    last = max(lanes.values(), default=0)
    if last < 2:
        return dict(lanes)
    return {
        i: lane + (last - min(own) - max(own)) / 2
        for i, lane in lanes.items()
        for own in [taken[depths[i] or 0, middle(diagram.shapes[i])]]
    }


def _outwards(wanted: int) -> list[int]:
    """Lanes in the order of their distance from the wanted lane."""
    return sorted(range(wanted + 64), key=lambda n: (abs(n - wanted), n))


def _apart_by_parameters(diagram: Diagram, depths: list[int | None]) -> list[int | None]:
    """Give circles fed by different parameters columns of their own. The links from below run
    beside the columns, so they stay apart. Circles above one another can share a column where these
    links are rails."""
    fed: dict[int, list[int]] = defaultdict(list)
    for link in diagram.links:
        if (below := diagram.shapes[link.source]).rows is None and below.beside is None:
            fed[link.target].append(link.source)
    spans: dict[int, dict[tuple[int, ...], list[int]]] = defaultdict(dict)
    for i, sources in fed.items():
        depth = depths[i]
        assert depth is not None  # no link leads below the rows
        spans[depth].setdefault(tuple(sources), []).extend(diagram.shapes[i].rows or ())
    number = {depth: _numbered(groups, diagram.is_dense) for depth, groups in spans.items()}
    refined: list[tuple[int, int] | None] = [
        None if depth is None else (depth, number[depth][tuple(fed[i])] if i in fed else 0)
        for i, depth in enumerate(depths)
    ]
    _place_dots(diagram, refined)
    used = {place: n for n, place in enumerate(sorted({r for r in refined if r}))}
    return [None if place is None else used[place] for place in refined]


def _rising(diagram: Diagram, columns: list[int | None]) -> set[tuple[int, int]]:
    """The links of a value into circles of several later rows in one column. They share a
    rail, like the links of a parameter."""
    if not diagram.is_dense:
        return set()
    found: dict[tuple[int, int | None], list[int]] = defaultdict(list)
    for link in diagram.links:
        source, target = diagram.shapes[link.source], diagram.shapes[link.target]
        if not source.rows or not target.rows or target.kind != "circle":
            continue
        if source.rows[1] < target.rows[0]:
            found[link.source, columns[link.target]].append(link.target)
    alike = (
        (source, {t: row for t in targets if (row := diagram.shapes[t].row) is not None})
        for (source, _), targets in found.items()
    )
    return {(source, t) for source, rows in alike if len({*rows.values()}) > 1 for t in rows}


def _boundaries(diagram: Diagram) -> set[int]:
    stories = _stories(diagram)
    begins: dict[int, int] = {}
    for shape in diagram.shapes:
        if shape.part in stories and shape.row is not None and stories[shape.part]:
            story = stories[shape.part]
            begins[story] = min(begins.get(story, shape.row), shape.row)
    return set(begins.values())


def _numbered(
    groups: dict[tuple[int, ...], list[int]], may_share: bool
) -> dict[tuple[int, ...], int]:
    """A column for each group of circles, by the rows of the group."""
    columns: list[list[list[int]]] = []
    number = {}
    for group, rows in groups.items():
        own = 0 if may_share else len(columns)
        while own < len(columns) and not all(
            max(rows) < min(other) or max(other) < min(rows) for other in columns[own]
        ):
            own += 1
        columns += [[]] * (own == len(columns))
        columns[own] = [*columns[own], rows]
        number[group] = own
    return number


def _stories(diagram: Diagram) -> dict[str, int]:
    """The number of parts below each part. Parts that share rows are on one level."""
    rows: dict[str, list[int]] = defaultdict(list)
    for shape in diagram.shapes:
        if shape.part and shape.row is not None:
            rows[shape.part].append(shape.row)
    return {
        part: sum(max(other) < min(own) for other in rows.values()) for part, own in rows.items()
    }
