"""The diagram of the values: boxes, circles, parameters, and the links between them.

A box is a value with a name. A circle is the computation between boxes. A shaded box is a
parameter, and parameters that feed the same circles share a box. A circle has one result, and a
value that several circles use has a circle of its own. So the picture has no cycle if the tape has
none.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

from tinygrad_rnn.engine.graph import Array, Node
from viz import labels
from viz.halves import Halves, ordered
from viz.indices import activated_gate
from viz.labels import Label, Name
from viz.operations import operation
from viz.scopes import part_of, parts_of, retimed
from viz.snapshot import NodeRef, Use, Value, merged
from viz.states import with_states
from viz.timeline import Timeline
from viz.unmarked import with_steps
from viz.windows import behind, one_chain, serves, window_of

Span = tuple[int, int]

MANY_ROWS = 5


@dataclass
class Shape:
    """A box, a circle, a box of parameters, or the dots that stand for folded rows.

    rows: the first and the last row of the shape; None for a shape below the rows.
    role: the name that the shape shares with its counterparts in the other rows.
    beside: for an initial state, the role of the state that it begins. The shape stands under the
        first of these states, or above it where they run downwards.
    nodes: the nodes of the tape that the shape shows, in recorded order. A box shows its value, a
        circle everything that it computes with its result last, and a box of parameters all of
        them.
    title, note: the full name of the value, and its shape and further remarks.
    part: the scope of the shape, where there are several scopes.
    back_of: for nodes recorded by a reverse pass, the role of the shape through which they go back.
    caption: the name of a cell's gate, for the circle that computes its value.
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
    back_of: str = ""
    caption: str = ""

    @property
    def look(self) -> str:
        """The class of its colours."""
        return "backward" if self.back_of else self.kind

    @property
    def row(self) -> int | None:
        """The row of the shape, if it is in just one row."""
        return self.rows[0] if self.rows and self.rows[0] == self.rows[1] else None


@dataclass(frozen=True)
class Link:
    """A link from one shape to another, by their places. weight is as in `Input`.

    says: the text on the link: reset.
    uses: the edges of the tape that the link shows. The gradient along an edge is multiplied by the
        weight before it reaches the source.
    passing, cutting: where each loss has a reach of its own, the steps whose losses pass this link
        backwards, and the steps whose losses are cut at it.
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
    """The row in which every step is drawn, where steps are folded."""
    folds: dict[int, int] = field(default_factory=dict)
    """The rows of dots, with the number of rows that each stands for."""

    def add(self, shape: Shape) -> int:
        self.shapes.append(shape)
        return len(self.shapes) - 1

    @cached_property
    def is_dense(self) -> bool:
        """Whether there are too many links for curves around each circle. Then parameters have
        rails, links from many rows lead into a comb, and lines that cross have casings."""
        parts = {shape.part for shape in self.shapes if shape.part}
        computed = {link.target for link in self.links}
        fans: dict[int, Counter[str]] = defaultdict(Counter)  # into circles of several rows
        for link in self.links:
            source, target = self.shapes[link.source], self.shapes[link.target]
            if link.source in computed and source.row is not None and target.row is None:
                fans[link.target][source.role] += 1
        return (
            self.rows >= MANY_ROWS
            or len(parts) > 1
            or any(shape.back_of for shape in self.shapes)
            or any(sum(n > 1 for n in fan.values()) > 1 for fan in fans.values())
        )


def group(
    values: Sequence[Value],
    detail: str,
    copies: bool = False,
    arrays: Mapping[Node, Array] | None = None,
) -> Diagram:
    """The diagram of the values; detail is "named" or "ops".

    copies: whether to draw every window's copy of a step. arrays: the known arrays, from which
        constants follow that the tape does not keep.
    """
    values = with_steps(values)
    served = serves(values) if copies else {}
    if not copies:
        values = one_chain(values)
    return _Grouping(values, detail, served, arrays or {}).diagram


class _Grouping:
    """The construction of a diagram from values.

    place: the shape of each value that others can use. circles: the circles of computed values.
        members: the values that each circle computes, under its result. alike: the roles of values
        without names, by how they are made.
    """

    def __init__(
        self,
        values: Sequence[Value],
        detail: str,
        served: Mapping[str, tuple[int, ...]],
        arrays: Mapping[Node, Array],
    ) -> None:
        self.detail, self.parts, self.arrays = detail, parts_of(values), arrays
        values = with_states(retimed(values))
        self.timeline = Timeline(values)
        self.values = values = _beginnings_named(values, self.timeline)
        self.names = _names(values)
        self.halves = Halves(values)
        self.sinks, order = _sinks(values, self.halves, everything=detail == "ops")
        self.diagram = Diagram(rows=self.timeline.count)
        self.place: dict[int, int] = {}
        self.circles: dict[int, int] = {}
        self.members: dict[int, list[int]] = defaultdict(list)
        self.alike: dict[
            tuple[object, ...], str
        ] = {}  # how unnamed values are made, and their role
        for i in sorted(self.sinks):
            self.members[self.sinks[i]].append(i)
        for i in order:
            if values[i].given:
                self._add_given(i)
            else:
                self._add_computed(i)
        for i in self.members:
            self.diagram.links += self._links_into(i)
            losses = behind(served.get(window_of(values[i]) or "", ()), values[i].step)
            if losses:
                for shape in {self.circles.get(i, self.place[i]), self.place[i]}:
                    _say_losses(self.diagram, shape, losses)
        self._add_parameters()

    def _part(self, i: int) -> str:
        found = part_of(self.values[i])
        return found if found in self.parts and found else ""

    def _role(self, i: int) -> str:
        """The role of a value with a name."""
        part = self._part(i)
        return f"{part}:" * bool(part) + Name.parse(self.names[i]).role

    def _add_given(self, i: int) -> None:
        """Add a given value. Parameters that are no initial states come later."""
        value, name = self.values[i], self.names[i]
        begins = self.timeline.begins(i)
        beside = self._role(begins) if begins in self.names else None
        if self.detail == "ops" and self.timeline.count == 1 and not value.parameter:
            beside = None  # an operation of the only step reads it, as it reads the input
        if value.parameter and beside is None:
            return
        first = begins is not None and self.timeline.spans[begins]
        self.place[i] = self.diagram.add(
            Shape(
                "parameters" if value.parameter else "box",
                (labels.typeset(_plain(value), name),),
                None if first == (0, 0) else first or self.timeline.spans[i],
                self._role(i),
                scalar=not value.shape,
                beside=beside,
                nodes=(value.node,),
                title=value.name or "a value without a name",
                note=_dimensions(value),
                part=self._part(i),
            )
        )

    def _add_computed(self, i: int) -> None:
        """Add the circle that computes a value, with everything that is computed for it, and its
        box."""
        value, members = self.values[i], self.members[i]
        rows = self.timeline.union(members)
        back_of, passed = self._back_of(i)
        role = self._role_of_computed(i, rows, back_of)
        if not all(self.values[m].passes for m in members):
            label = labels.text("∂") if back_of else ()
            functions = _functions([self.values[m] for m in members])
            node = value.node()
            gate = activated_gate(node) if node is not None and self.detail == "ops" else None
            circle = Shape(
                "circle",
                operation(value, self.arrays) if self.detail == "ops" else label,
                rows,
                f"circle of {role}",
                nodes=tuple(node for m in members for node in _nodes(self.values[m])),
                title=f"back through {passed}: {functions}" if back_of else functions,
                note=_dimensions(value),
                part=self._part(i),
                back_of=back_of,
                caption=gate or "",
            )
            self.circles[i] = self.diagram.add(circle)
            self.place |= dict.fromkeys(members, self.circles[i])
        if i in self.names:
            box = Shape(
                "box",
                (labels.typeset(value, self.names[i]),),
                rows,
                role,
                scalar=not value.shape,
                nodes=_nodes(value),
                title=self.names[i],
                note=_dimensions(value),
                part=self._part(i),
            )
            self.place[i] = self.diagram.add(box)
            if i in self.circles:
                self.diagram.links.append(Link(self.circles[i], self.place[i]))

    def _back_of(self, i: int) -> tuple[str, str]:
        """For a value recorded by a reverse pass, the role and the title of the shape through which
        it goes back."""
        if not self.halves.order[i]:
            return "", ""
        through = self.halves.behind[i]
        if through is None:
            return "what is not drawn", "what is not drawn"
        place = self.place.get(self.sinks.get(through, through))
        if place is None:
            return self._role(through), self.names[through]
        shape = self.diagram.shapes[place]
        return shape.role, shape.title

    def _role_of_computed(self, i: int, rows: Span, back_of: str) -> str:
        if i in self.names:
            return self._role(i)
        if back_of and self.detail == "named":
            return f"back through {back_of}"
        value = self.values[i]
        made = (
            value.function,
            self._part(i),
            *filter(None, (self._role_beside(use.source, rows) for use in value.inputs)),
            *(use.source for use in value.inputs if self.values[use.source].parameter),
        )
        return self.alike.setdefault(made, f"unnamed {len(self.alike)}")

    def _role_beside(self, source: int, rows: Span) -> str | None:
        """The role of an input from the same row; None for parameters and for inputs from earlier
        rows."""
        shape = self.diagram.shapes[self.place[source]] if source in self.place else None
        return shape.role if shape and shape.rows == rows else None

    def _links_into(self, i: int) -> Iterator[Link]:
        """The links into a circle. A value may be cut off for one loss and not for another. It has
        one link, which says so."""
        target, place = self.circles.get(i, self.place[i]), self.place
        inside = [u for m in self.members[i] for u in self.values[m].inputs]
        inputs = merged(
            u._replace(source=place[u.source])
            for u in inside
            if self.sinks.get(u.source) != i and u.source in place
        )
        cut = {u.source: u for u in inputs if u.weight == 0}
        whole = {u.source for u in inputs if u.weight != 0 and u.losses}
        for u in inputs:
            if u.weight == 0 and u.source in whole:
                continue
            other = cut.get(u.source) if u.losses and u.weight != 0 else None
            if other is None:
                passing, cutting = ((), u.losses) if u.weight == 0 else (u.losses, ())
                yield Link(u.source, target, u.weight, u.says, u.uses, passing, cutting)
            else:
                uses = u.uses + other.uses
                yield Link(u.source, target, u.weight, u.says, uses, u.losses, other.losses)

    def _add_parameters(self) -> None:
        """Add the parameters. Those that feed the same circles share a box."""
        feeds: dict[int, dict[int, tuple[Use, ...]]] = {
            i: {} for i, v in enumerate(self.values) if v.parameter and i not in self.place
        }
        for i, value in enumerate(self.values):
            for use in value.inputs:
                if use.source in feeds:
                    sink = self.sinks[i]
                    target = self.circles.get(sink, self.place[sink])
                    known = feeds[use.source].get(target, ())
                    feeds[use.source][target] = known + use.uses
        together: dict[frozenset[int], list[int]] = defaultdict(list)
        for i, targets in feeds.items():
            together[frozenset(targets)].append(i)
        for fed, parameters in together.items():
            values = [self.values[i] for i in parameters]
            names = [self.names[i] for i in parameters]
            box = self.diagram.add(
                Shape(
                    "parameters",
                    labels.listing(list(map(_plain, values)), names),
                    None,
                    ", ".join(names),
                    nodes=tuple(value.node for value in values),
                    title=", ".join(value.name or "a parameter without a name" for value in values),
                    note=", ".join(map(_dimensions, values)),
                )
            )
            for target in sorted(fed):
                uses = tuple(use for i in parameters for use in feeds[i][target])
                self.diagram.links.append(Link(box, target, uses=uses))


def _nodes(value: Value) -> tuple[NodeRef, ...]:
    return *value.copies, value.node


def _say_losses(diagram: Diagram, place: int, losses: Sequence[int]) -> None:
    """Add a note to a window's copy of a step with the losses that it was made for."""
    shape = diagram.shapes[place]
    said = f"for loss{'es' * (len(losses) > 1)} {', '.join(str(t + 1) for t in losses)}"
    line = ((labels.Run(said, level=labels.SMALL),),) if shape.kind == "box" else ()
    note = f"{shape.note}, {said}"
    diagram.shapes[place] = replace(shape, label=(*shape.label, *line), note=note)


def _sinks(
    values: Sequence[Value], halves: Halves, everything: bool
) -> tuple[dict[int, int], list[int]]:
    """For each computed value, the value that it is computed for; the value itself if it has a
    name. Also the values that are drawn, in topological order.

    The backward pass through a circle is one circle, with all its results, if this makes no cycle
    in the picture.
    """
    wanted_by: dict[int, set[int]] = defaultdict(set)
    sinks: dict[int, int] = {}

    def fall(i: int, order: int) -> int:
        value, users = values[i], wanted_by.pop(i, set())
        if everything or value.name or value.output or value.passes or len(users) != 1:
            return i
        (sink,) = users
        if order:
            apart = halves.passed(i, sinks) != halves.passed(sink, sinks)
        else:
            apart = i in halves.differentiated and sink not in halves.differentiated
        return i if apart else sink

    for order in halves.orders():
        for i in reversed(range(len(values))):
            if not values[i].given and halves.order[i] == order:
                sinks[i] = fall(i, order)
                for use in values[i].inputs:
                    wanted_by[use.source].add(sinks[i])
        wanted_by.clear()
    drawn = [i for i in range(len(values)) if sinks.get(i, i) == i]
    if len(halves.orders()) == 1 or everything:
        return sinks, drawn
    last: dict[object, int] = {}
    together = dict(sinks)
    for i in reversed(range(len(values))):
        if halves.order[i] and not (values[i].name or values[i].output):
            together[i] = last.setdefault((halves.order[i], halves.passed(i, sinks)), i)
    order_of = ordered(values, together)
    return (sinks, drawn) if order_of is None else (together, order_of)


def _names(values: Sequence[Value]) -> dict[int, str]:
    """The names of the boxes. An output without a name is called L if it is a scalar, else y. A
    given value without a name is shown by its shape."""
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
    """The values, with names for the initial states that have none: s_0 begins s_1."""

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
    """The functions that a circle computes, in order."""
    made = [value.function or "" for value in values]
    return ", ".join(made[:most]) + ", …" * (len(made) > most)


def _plain(value: Value) -> Value:
    """The label of a value without a name. It shows the shape and is not bold."""
    return value if value.name else replace(value, integer=True)
