"""Folding of long pictures: the first and the last rows are drawn, and dots for those in between.

A long picture without rows is folded along its depth. A chain of a thousand layers has a beginning,
an end, and dots.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import groupby

from viz import labels
from viz.diagram import Diagram, Link, Shape, Span
from viz.order import in_order

DOTS = "⋮"
DEEP, ENDS = 60, 12  # a picture without rows that is deeper than DEEP keeps ENDS at either end

Fold = int | Callable[[int], bool] | None


def fold(diagram: Diagram, rule: Fold) -> Diagram:
    """The diagram with some of its rows folded into dots.

    rule: the most rows that are drawn, one of them dots; or a function that chooses the drawn
        steps, counted from 1; None keeps all rows.

    Links between folded rows are dropped. A link to or from a folded shape leads to the dots of its
    column.
    """
    if rule is None:
        return diagram
    if diagram.rows == 1:
        return diagram if callable(rule) else _shallower(diagram)
    shown = _shown(diagram.rows, rule)
    if all(shown):
        return diagram
    return _folded(diagram, shown)


def _shown(rows: int, rule: int | Callable[[int], bool]) -> list[bool]:
    if callable(rule):
        return [bool(rule(row + 1)) for row in range(rows)]
    if rows <= rule:
        return [True] * rows
    head = rule // 2
    behind = rows - (rule - 1 - head)  # the first row after the dots
    return [row < head or row >= behind for row in range(rows)]


def _folded(diagram: Diagram, shown: list[bool]) -> Diagram:
    moved: list[int] = []
    folds: dict[int, int] = {}  # the number of rows that each row of dots stands for
    count = 0
    for is_shown, run in groupby(shown):
        size = len(list(run))
        moved += [count + n for n in range(size)] if is_shown else [count] * size
        if not is_shown:
            folds[count] = size
        count += size if is_shown else 1
    folded = Diagram(rows=count, drawn_rows=moved, folds=folds)
    place: dict[int, int] = {}
    dots: dict[tuple[str, int], int] = {}
    boxes = {shape.role for shape in diagram.shapes if shape.kind == "box"}
    for i, shape in enumerate(diagram.shapes):
        rows: Span | None = shape.rows and (moved[shape.rows[0]], moved[shape.rows[1]])
        last = rows[1] if rows else 0
        if rows is None or last not in folds:
            place[i] = folded.add(replace(shape, rows=rows))
            continue
        role = shape.role.removeprefix("circle of ")
        role = role if role in boxes else shape.role
        if (role, last) not in dots:
            over = (last if shape.row is not None else rows[0], last)
            title = f"{DOTS} × {folds[last]}"
            dots[role, last] = folded.add(Shape("dots", labels.text(DOTS), over, role, title=title))
        place[i] = dots[role, last]
    folded.links = _moved(diagram, folded, place)
    return folded


def _moved(diagram: Diagram, folded: Diagram, place: dict[int, int]) -> list[Link]:
    links: dict[tuple[object, ...], list[Link]] = {}  # those that become one, by its ends
    for link in diagram.links:
        if link.source not in place or link.target not in place:
            continue
        ends = place[link.source], place[link.target]
        source, target = (folded.shapes[end] for end in ends)
        hidden = source.kind == "dots" and target.kind == "dots" and source.rows == target.rows
        if not hidden and not (source.kind == "parameters" and target.kind == "dots"):
            links.setdefault((*ends, link.weight, link.says), []).append(link)
    return [
        replace(
            same[0],
            source=place[same[0].source],
            target=place[same[0].target],
            uses=tuple(use for link in same for use in link.uses),
        )
        for same in links.values()
    ]


def _shallower(diagram: Diagram) -> Diagram:
    """The diagram with the middle of its depth folded into one place."""
    depth = [0] * len(diagram.shapes)
    computed = {link.target for link in diagram.links}
    into: list[list[int]] = [[] for _ in diagram.shapes]
    for link in diagram.links:
        into[link.target].append(link.source)
    for i in in_order(into):
        depth[i] = max((depth[source] + 1 for source in into[i]), default=0)
    deepest = max(depth, default=0)
    if deepest <= DEEP:
        return diagram
    middle = {i for i, d in enumerate(depth) if i in computed and ENDS <= d <= deepest - ENDS}
    used: dict[int, list[int]] = {}
    for link in diagram.links:
        used.setdefault(link.source, []).append(link.target)
    middle |= {
        i
        for i in range(len(diagram.shapes))
        if i not in computed and used.get(i) and all(target in middle for target in used[i])
    }
    folded = Diagram(rows=1)
    circles = sum(diagram.shapes[i].kind == "circle" for i in middle)
    place: dict[int, int] = {}
    dots: int | None = None
    for i, shape in enumerate(diagram.shapes):
        if i not in middle:
            place[i] = folded.add(shape)
        elif i in computed:
            if dots is None:
                label = ((labels.Run(f"⋯ × {circles}"),),)
                dots = folded.add(Shape("dots", label, (0, 0), "folded", title=f"⋯ × {circles}"))
            place[i] = dots
    folded.links = _moved(diagram, folded, place)
    return folded
