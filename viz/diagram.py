"""From values to what is drawn: boxes, circles, parameters, and the links between them.

One rule: a box is a value with a name, a circle is whatever was computed between the boxes, a
shaded box is a parameter, and parameters that feed the same circles share a box. A circle has
one result, so that the picture has no cycle if the tape has none: what several circles use is a
circle of its own.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

from viz import labels
from viz.labels import Label, Name
from viz.operations import operation
from viz.scopes import part_of, parts_of, retimed
from viz.snapshot import Input, NodeRef, Use, Value, merged
from viz.states import with_states
from viz.timeline import Timeline
from viz.unmarked import with_steps
from viz.windows import behind, one_chain, serves, window_of

Span = tuple[int, int]

MANY_ROWS = 5


@dataclass
class Shape:
    """A box, a circle, a box of parameters, or the dots that stand for folded rows.

    rows: the first and the last row that it belongs to; None for what stands below the rows.
    role: what it has in common with its counterparts in the other rows.
    beside: for an initial state, the role of the state that it begins. It stands under the first
        of these, or above it where these run downwards.
    nodes: the nodes of the tape that it shows, in recorded order: of a box its value, of a circle
        all that it computes, its result last, of a box of parameters each of them.
    title, note: its name in full, and its shape and what else there is to say.
    part: the scope that it belongs to, where there are several.
    """

    kind: str
    label: Label
    rows: Span | None
    role: str
    scalar: bool = False
    beside: str | None = None
    nodes: tuple[NodeRef, ...] = ()
    title: str = ""
    note: str = ""
    part: str = ""

    @property
    def row(self) -> int | None:
        """The row it stands in, if it stands in just one."""
        return self.rows[0] if self.rows and self.rows[0] == self.rows[1] else None


@dataclass(frozen=True)
class Link:
    """From one shape to another, by their places; weight as in `Input`.

    says: what is written on it: reset.
    uses: the edges of the tape that it shows. What flows back along an edge is multiplied by the
        weight before it reaches the source.
    passing, cutting: where each loss has a reach of its own, the steps whose losses flow back
        through this link, and those that are cut at it.
    """

    source: int
    target: int
    weight: float | None = 1.0
    says: str = ""
    uses: tuple[Use, ...] = field(default=(), compare=False)
    passing: tuple[int, ...] = field(default=(), compare=False)
    cutting: tuple[int, ...] = field(default=(), compare=False)


@dataclass
class Diagram:
    shapes: list[Shape] = field(default_factory=list)
    links: list[Link] = field(default_factory=list)
    rows: int = 1
    drawn_rows: list[int] = field(default_factory=list)
    """In which row every step is drawn, where steps are folded."""
    folds: dict[int, int] = field(default_factory=dict)
    """The rows of dots, and how many rows each stands for."""

    def add(self, shape: Shape) -> int:
        self.shapes.append(shape)
        return len(self.shapes) - 1

    @property
    def is_dense(self) -> bool:
        """Whether curves around each circle would be too many: parameters have rails then, many
        rows lead into a comb, and lines that cross have casings."""
        return self.rows >= MANY_ROWS or len({s.part for s in self.shapes if s.part}) > 1


def group(values: Sequence[Value], detail: str, copies: bool = False) -> Diagram:
    """The diagram of the values; detail is "named" or "ops".

    copies: draw every window's copy of a step.
    """
    values = with_steps(values)
    served = serves(values) if copies else {}
    if not copies:
        values = one_chain(values)
    parts = parts_of(values)
    values = with_states(retimed(values))
    timeline = Timeline(values)
    values = _beginnings_named(values, timeline)
    names = _names(values)
    sinks = _sinks(values, everything=detail == "ops")
    diagram = Diagram(rows=timeline.count)
    place: dict[int, int] = {}  # where each value that others can use is drawn
    members: dict[int, list[int]] = defaultdict(list)
    for i, value in enumerate(values):
        if not value.given:
            members[sinks[i]].append(i)
    circles: dict[int, int] = {}
    alike: dict[tuple[object, ...], str] = {}  # how unnamed values are made, and their role

    def part(i: int) -> str:
        found = part_of(values[i])
        return found if found in parts and found else ""

    def role_of(i: int) -> str:
        return f"{part(i)}:" * bool(part(i)) + Name.parse(names[i]).role

    for i, value in enumerate(values):
        if value.given:
            begins = timeline.begins(i)
            beside = role_of(begins) if begins in names else None
            if not value.parameter or beside is not None:
                first = begins is not None and timeline.spans[begins]
                rows = None if first == (0, 0) else first or timeline.spans[i]
                shape = _given(value, names[i], rows, role_of(i), beside)
                place[i] = diagram.add(replace(shape, part=part(i)))
            continue
        if sinks[i] != i:
            continue
        rows = timeline.union(members[i])
        if i in names:
            role = role_of(i)
        else:
            made = (
                value.function,
                part(i),
                *(_role(diagram, place, u.source, rows) for u in value.inputs),
                *(u.source for u in value.inputs if values[u.source].parameter),
            )
            role = alike.setdefault(made, f"unnamed {len(alike)}")
        if not all(values[m].passes for m in members[i]):
            label = operation(value) if detail == "ops" else ()
            place[i] = circles[i] = diagram.add(
                Shape(
                    "circle",
                    label,
                    rows,
                    f"circle of {role}",
                    nodes=tuple(
                        node for m in members[i] for node in (*values[m].copies, values[m].node)
                    ),
                    title=_functions([values[m] for m in members[i]]),
                    note=_dimensions(value),
                    part=part(i),
                )
            )
        if i in names:
            box = diagram.add(
                Shape(
                    "box",
                    (labels.typeset(value, names[i]),),
                    rows,
                    role,
                    scalar=not value.shape,
                    nodes=(*value.copies, value.node),
                    title=names[i],
                    note=_dimensions(value),
                    part=part(i),
                )
            )
            if i in circles:
                diagram.links.append(Link(circles[i], box))
            place[i] = box

    for i in members:
        target = circles.get(i, place[i])
        inputs = [u for m in members[i] for u in values[m].inputs if sinks.get(u.source) != i]
        used = [u for u in merged(inputs) if u.source in place]
        diagram.links += _links(used, place, target)
    for i in members:
        if losses := behind(served.get(window_of(values[i]) or "", ()), values[i].step):
            for copy in {circles.get(i, place[i]), place[i]}:
                _say_losses(diagram, copy, losses)
    _add_parameters(diagram, values, names, sinks, circles, place)
    return diagram


def _say_losses(diagram: Diagram, place: int, losses: Sequence[int]) -> None:
    """Let a window's copy of a step say which losses it was made for."""
    shape = diagram.shapes[place]
    said = f"for loss{'es' * (len(losses) > 1)} {', '.join(str(t + 1) for t in losses)}"
    line = ((labels.Run(said, level=labels.SMALL),),) if shape.kind == "box" else ()
    note = f"{shape.note}, {said}"
    diagram.shapes[place] = replace(shape, label=(*shape.label, *line), note=note)


def _links(inputs: Sequence[Input], place: dict[int, int], target: int) -> Iterator[Link]:
    """The links into a shape. A value that one loss sees through a cut, and another one does not,
    has one link that says so."""
    cut = {u.source: u for u in inputs if u.weight == 0}
    whole = {u.source for u in inputs if u.weight != 0 and u.losses}
    for u in inputs:
        if u.weight == 0 and u.source in whole:
            continue
        other = cut.get(u.source) if u.losses and u.weight != 0 else None
        if other is None:
            passing, cutting = ((), u.losses) if u.weight == 0 else (u.losses, ())
            yield Link(place[u.source], target, u.weight, u.says, u.uses, passing, cutting)
        else:
            uses = u.uses + other.uses
            yield Link(place[u.source], target, u.weight, u.says, uses, u.losses, other.losses)


def _role(diagram: Diagram, place: dict[int, int], source: int, rows: Span) -> str | None:
    """The role of an input from the same row; None for parameters and what comes from before."""
    shape = diagram.shapes[place[source]] if source in place else None
    return shape.role if shape and shape.rows == rows else None


def _sinks(values: Sequence[Value], everything: bool) -> dict[int, int]:
    """For each computed value, the one value that it is computed for; itself, if it has a name."""
    wanted_by: dict[int, set[int]] = defaultdict(set)
    sinks: dict[int, int] = {}
    for i in reversed(range(len(values))):
        value = values[i]
        if value.given:
            continue
        users = wanted_by.pop(i, set())
        alone = everything or value.name or value.output or value.passes or len(users) != 1
        sinks[i] = i if alone else next(iter(users))
        for use in value.inputs:
            wanted_by[use.source].add(sinks[i])
    return sinks


def _names(values: Sequence[Value]) -> dict[int, str]:
    """The names of the boxes. Outputs without one are called L, where scalar, or y; values that
    were given without one are shown by their shape."""
    names = {i: value.name for i, value in enumerate(values) if value.name}
    for stem, scalar in (("L", True), ("y", False)):
        unnamed = [
            i
            for i, v in enumerate(values)
            if v.output and not v.given and not v.name and scalar == (not v.shape)
        ]
        taken = set(names.values())
        stem = next(s for s in (stem, f"{stem}'", f"{stem}''") if s not in taken)
        for number, i in enumerate(unnamed, 1):
            names[i] = f"{stem}_{number}" if len(unnamed) > 1 else stem
    for i, value in enumerate(values):
        if value.given and i not in names:
            names[i] = f"({'×'.join(map(str, value.shape))})" if value.shape else "scalar"
    return names


def _beginnings_named(values: Sequence[Value], timeline: Timeline) -> list[Value]:
    """The values, with names for initial states that have none: s_0 begins s_1."""

    def named(i: int, value: Value) -> Value:
        if value.name or not value.given:
            return value
        begins = timeline.begins(i)
        follows = None if begins is None else values[begins].name
        return replace(value, name=Name.parse(follows).at(0)) if follows else value

    return [named(i, value) for i, value in enumerate(values)]


def _dimensions(value: Value) -> str:
    return "×".join(map(str, value.shape)) or "scalar"


def _functions(values: Sequence[Value], most: int = 6) -> str:
    """What a circle computes, in order."""
    made = [value.function or "" for value in values]
    return ", ".join(made[:most]) + ", …" * (len(made) > most)


def _plain(value: Value) -> Value:
    """A value without a name is not set in bold: what is shown is its shape."""
    return value if value.name else replace(value, integer=True)


def _given(value: Value, name: str, rows: Span | None, role: str, beside: str | None) -> Shape:
    label = (labels.typeset(_plain(value), name),)
    return Shape(
        "parameters" if value.parameter else "box",
        label,
        rows,
        role,
        scalar=not value.shape,
        beside=beside,
        nodes=(value.node,),
        title=value.name or "a value without a name",
        note=_dimensions(value),
    )


def _add_parameters(
    diagram: Diagram,
    values: Sequence[Value],
    names: dict[int, str],
    sinks: dict[int, int],
    circles: dict[int, int],
    place: dict[int, int],
) -> None:
    feeds: dict[int, dict[int, tuple[Use, ...]]] = {
        i: {} for i, value in enumerate(values) if value.parameter and i not in place
    }
    for i, value in enumerate(values):
        for use in value.inputs:
            if use.source in feeds:
                target = circles.get(sinks[i], place[sinks[i]])
                known = feeds[use.source].get(target, ())
                feeds[use.source][target] = known + use.uses
    together: dict[frozenset[int], list[int]] = defaultdict(list)
    for i, targets in feeds.items():
        together[frozenset(targets)].append(i)
    for fed, parameters in together.items():
        label = labels.listing(
            [_plain(values[i]) for i in parameters], [names[i] for i in parameters]
        )
        role = ", ".join(names[i] for i in parameters)
        box = diagram.add(
            Shape(
                "parameters",
                label,
                None,
                role,
                nodes=tuple(values[i].node for i in parameters),
                title=", ".join(values[i].name or "a parameter without a name" for i in parameters),
                note=", ".join(_dimensions(values[i]) for i in parameters),
            )
        )
        for target in sorted(fed):
            uses = tuple(use for i in parameters for use in feeds[i][target])
            diagram.links.append(Link(box, target, uses=uses))
