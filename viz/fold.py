"""Long sequences: the first and the last rows, and dots for those in between."""

from __future__ import annotations

from dataclasses import replace

from viz import labels
from viz.diagram import Diagram, Link, Shape, Span
from viz.snapshot import Use

DOTS = "⋮"


def fold(diagram: Diagram, most: int | None) -> Diagram:
    """The diagram with at most this many rows, one of them dots; None keeps all.

    Links between folded rows go with them; a link to or from what is folded goes to the dots of
    its column.
    """
    if most is None or diagram.rows <= most:
        return diagram
    head = most // 2
    tail = most - 1 - head
    behind = diagram.rows - tail  # the first row after the dots

    def moved(row: int) -> int:
        return row if row < head else head if row < behind else row - behind + head + 1

    folded = Diagram(rows=most, drawn_rows=[moved(row) for row in range(diagram.rows)])
    place: dict[int, int] = {}
    dots: dict[str, int] = {}
    boxes = {shape.role for shape in diagram.shapes if shape.kind == "box"}
    for i, shape in enumerate(diagram.shapes):
        rows: Span | None = shape.rows and (moved(shape.rows[0]), moved(shape.rows[1]))
        if rows is None or not head <= (shape.rows or (0, 0))[1] < behind:
            place[i] = folded.add(replace(shape, rows=rows))
            continue
        role = shape.role.removeprefix("circle of ")
        role = role if role in boxes else shape.role
        if role not in dots:
            over = (head if shape.row is not None else moved((shape.rows or (0, 0))[0]), head)
            dots[role] = folded.add(Shape("dots", labels.text(DOTS), over, role))
        place[i] = dots[role]
    links: dict[Link, tuple[Use, ...]] = {}
    for link in diagram.links:
        new = replace(link, source=place[link.source], target=place[link.target])
        hidden = [folded.shapes[end].kind == "dots" for end in (new.source, new.target)]
        parameters = folded.shapes[new.source].kind == "parameters"
        if not all(hidden) and not (parameters and hidden[1]):
            links[new] = links.get(new, ()) + new.uses
    folded.links = [replace(link, uses=uses) for link, uses in links.items()]
    return folded
