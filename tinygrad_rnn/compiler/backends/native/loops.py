"""Nests as machine code: at each step, some rows at a time through all works of the step.

Rows are taken some at a time, so what one work leaves is still near when the next one reads it.
Elementwise works with the same rows and columns become one loop over vectors: a value that only
they read is never written to memory.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from tinygrad_rnn.compiler.backends.native import functions, packing, products, time_sums
from tinygrad_rnn.compiler.backends.native.groups import Group, chunks, steps_as_rows
from tinygrad_rnn.compiler.backends.native.nests import Memory, Nest, Packed, Place, Span, Work
from tinygrad_rnn.compiler.backends.native.objects import Machine
from tinygrad_rnn.compiler.backends.native.text import (
    INDEX,
    KINDS,
    POINTER,
    Function,
    Module,
    Value,
    Vector,
    constant,
)
from tinygrad_rnn.compiler.ir import Buffer

TILES = 8
"""The rows of so many tiles go through the works of a step together: a panel of a matrix is brought
near the processor once for all of them."""


class Emitter:
    """A function for some nests: `name(table, T, part, parts)`, which does its part of the rows of
    all steps; or, for a part of a loop in Python, `name(table, T, t, 1)`, which does one step.

    table: addresses of the arrays, in the order of `roots`. packed: matrices, and their packed
    forms. Both may be shared by functions that are called one after the other.
    """

    def __init__(
        self,
        module: Module,
        name: str,
        machine: Machine,
        roots: dict[Buffer | Packed, Value],
        packed: dict[Place, Packed],
    ) -> None:
        self.module, self.machine = module, machine
        self.f = module.function(name, [POINTER, INDEX, INDEX, INDEX], "i64", True)
        self.table, self.steps, self.part, self.parts = self.f.parameters
        self.roots, self.packed = roots, packed
        self.slots: list[str] = []
        # Addresses and what stands on the stack come first, but are known only at the end.
        self.f.jump("start")
        self.f.begin("start")
        self.failed = self.slot(INDEX)
        self.f.store(constant(INDEX, 0), self.failed)

    def base(self, root: Buffer | Packed) -> Value:
        """The address of an array."""
        if root not in self.roots:
            self.roots[root] = Value(POINTER, f"%root{len(self.roots)}")
        return self.roots[root]

    def slot(self, form: Vector) -> Value:
        """A place on the stack, made once."""
        value = Value(POINTER, self.f.fresh("%slot"))
        self.slots.append(f"  {value.name} = alloca {form}, align 64")
        return value

    def finish(self) -> None:
        """What comes first."""
        f = self.f
        f.do(f"ret i64 {f.load(self.failed, INDEX).name}")
        body, f.lines = f.lines, list(self.slots)
        for n, value in enumerate(self.roots.values()):
            at = f.at(self.table, n, "ptr")
            f.do(f"{value.name} = load ptr, {at}, align 8")
        f.block = "entry"
        f.lines += body

    def pack(self, matrix: Place) -> Value:
        """The packed form of a matrix, made when the function begins."""
        kind = KINDS[matrix.dtype]
        lanes = self.machine.lanes(kind)
        if matrix not in self.packed:
            size = packing.packed_size(matrix.rows, matrix.columns, lanes)
            self.packed[matrix] = memory = Packed(matrix.dtype, size)
            shape = matrix.rows, matrix.columns
            name = packing.pack(self.module, kind, self.machine, shape, matrix.strides)
            start = self.f.at(self.base(matrix.root), matrix.offset.fixed, kind)
            self.f.do(f"call void @{name}({start}, {self.base(memory)})")
        return self.base(self.packed[matrix])

    def span(self, span: Span) -> Value:
        """slope·T + fixed."""
        f = self.f
        if not span.slope:
            return constant(INDEX, span.fixed)
        value = f.binary("mul nsw", self.steps, span.slope)
        return f.binary("add nsw", value, span.fixed) if span.fixed else value

    def nest(self, nest: Nest, memory: Memory, groups: list[Group], each_step: bool) -> None:
        """All steps of a nest; or, for a call at each step, the one that is given."""
        for group in groups:
            for work in group.works:
                if work.kind == "product":
                    assert isinstance(work.args[1], Place)
                    self.pack(work.args[1])
        if nest.works[0].kind == "time_sum":
            self.time_sum(nest.works[0], nest.count)
            return
        if nest.steps_are_rows and not each_step:
            groups = list(map(steps_as_rows, groups))
        offsets: dict[Place, Value] = {}
        for place in dict.fromkeys(p for group in groups for p in group.touched()):
            start, kind = self.span(place.offset), KINDS[place.dtype]
            offsets[place] = self.f.at(self.base(place.root), start, kind)
        if each_step:
            t, self.part, self.parts = self.part, constant(INDEX, 0), constant(INDEX, 1)
            self.step(t, offsets, memory, groups)
            return
        if nest.steps_are_rows:
            steps, f = self.span(nest.count), self.f
            with f.loop(0, steps, TILES * self.machine.rows) as t:
                count = self.at_most(f.binary("sub nsw", steps, t), TILES * self.machine.rows)
                self.groups_at(groups, self.at_step(t, offsets), constant(INDEX, 0), count)
            return
        with self.f.loop(0, self.span(nest.count)) as t:
            self.step(t, offsets, memory, groups)

    def step(
        self, t: Value, offsets: dict[Place, Value], memory: Memory, groups: list[Group]
    ) -> None:
        """One step."""
        pointers = self.at_step(t, offsets)
        for chunk in chunks(groups, memory, self.machine.rows):
            self.rows_of(chunk, pointers)

    def at_step(self, t: Value, offsets: dict[Place, Value]) -> dict[Place, Value]:
        """Where places are at a step."""
        return {
            place: self.f.at(at, self.f.binary("mul nsw", t, place.step), KINDS[place.dtype])
            if place.step
            else at
            for place, at in offsets.items()
        }

    def at_most(self, value: Value, limit: Value | int) -> Value:
        limit = limit if isinstance(limit, Value) else constant(INDEX, limit)
        return self.f.select(self.f.compare("slt", value, limit), value, limit)

    def rows_of(self, groups: list[Group], pointers: dict[Place, Value]) -> None:
        """Some groups that have the same rows, a few tiles' rows at a time."""
        f, rows, most = self.f, groups[0].rows, self.machine.rows
        if rows == 1:
            self.groups_at(groups, pointers, constant(INDEX, 0), 1)
            return
        first, stop = self.rows_of_part(rows)
        with f.loop(first, stop, TILES * most) as row:
            end = self.at_most(f.binary("add nsw", row, TILES * most), stop)
            self.groups_at(groups, pointers, row, f.binary("sub nsw", end, row))

    def rows_of_part(self, rows: int) -> tuple[Value, Value]:
        """The rows of this part: parts are whole tiles, as equal as they can be."""
        f, most = self.f, self.machine.rows
        tiles = -(-rows // most)

        def share(part: Value) -> Value:
            tile = f.binary("sdiv", f.binary("mul", part, tiles), self.parts)
            row = f.binary("mul", tile, most)
            return self.at_most(row, rows)

        return share(self.part), share(f.binary("add", self.part, 1))

    def groups_at(
        self, groups: list[Group], pointers: dict[Place, Value], row: Value, count: Value | int
    ) -> None:
        """So many rows from this row on, through all works."""
        for group in groups:
            kind = group.works[0].kind
            if kind == "product":
                self.product(group.works[0], pointers, row, count)
                continue
            with self.f.loop(0, count) as r:
                at = self.f.binary("add nsw", row, r)
                here = {place: self.row_at(place, pointers[place], at) for place in group.touched()}
                if kind in ("sum", "mean", "max"):
                    self.reduction(group.works[0], here)
                elif kind == "cross_entropies":
                    self.cross_entropies(group.works[0], here)
                elif kind == "cross_entropy_gradient":
                    self.cross_entropy_gradient(group.works[0], here)
                else:
                    self.elementwise(group, here)

    def row_at(self, place: Place, pointer: Value, row: Value) -> Value:
        down = place.strides[0]
        if not down:
            return pointer
        return self.f.at(pointer, self.f.binary("mul nsw", row, down), KINDS[place.dtype])

    def product(
        self, work: Work, pointers: dict[Place, Value], row: Value, count: Value | int
    ) -> None:
        left, matrix, *added = work.args
        (out,) = work.outs
        assert isinstance(left, Place) and isinstance(matrix, Place)
        kind = KINDS[out.dtype]
        name = products.product(
            *(self.module, kind, self.machine, matrix.rows, matrix.columns),
            adds=bool(added),
            single=count == 1,
        )
        more = added[0] if added else out
        assert isinstance(more, Place)
        given = [
            self.row_at(left, pointers[left], row),
            constant(INDEX, left.strides[0]),
            self.pack(matrix),
            self.row_at(out, pointers[out], row),
            constant(INDEX, out.strides[0]),
            self.row_at(more, pointers[more], row),
            constant(INDEX, more.strides[0]),
            count if isinstance(count, Value) else constant(INDEX, count),
        ]
        self.f.do(f"call void @{name}({', '.join(map(str, given))})")

    def time_sum(self, work: Work, count: Span) -> None:
        """A sum over all steps: the part of its rows that is this one's."""
        f, (left, right), (out,) = self.f, work.reads(), work.outs
        kind = KINDS[out.dtype]
        name = time_sums.time_sum(self.module, kind, self.machine, out.rows, out.columns)
        first, stop = self.rows_of_part(out.rows)
        starts = {p: f.at(self.base(p.root), self.span(p.offset), kind) for p in (left, right, out)}
        given = [
            f.at(starts[left], first, kind),
            constant(INDEX, left.strides[0]),
            starts[right],
            constant(INDEX, right.strides[0]),
            self.row_at(out, starts[out], first),
            constant(INDEX, out.strides[0]),
            f.binary("mul nsw", self.span(count), left.rows),
            f.binary("sub nsw", stop, first),
        ]
        f.do(f"call void @{name}({', '.join(map(str, given))})")

    def over_columns(
        self, columns: int, lanes: int, body: Callable[[Value | int, int], None]
    ) -> None:
        """Whole vectors of columns, and then one of what is left."""
        whole = columns // lanes * lanes
        if whole == lanes:
            body(0, lanes)
        elif whole:
            with self.f.loop(0, whole, lanes) as column:
                body(column, lanes)
        if columns > whole:
            body(whole, columns - whole)

    def elementwise(self, group: Group, here: dict[Place, Value]) -> None:
        """One row of works that are done entry by entry."""
        f = self.f
        places = [place for work in group.works for place, _ in work.places()]
        kinds = {KINDS[p.dtype] for p in places if p.dtype.kind == "f"} or {"float"}
        dense = all(p.strides[1] == 1 or (p.strides[1] == 0 and p.columns) for p in places)
        lanes = self.machine.lanes(kinds.pop()) if dense else 1
        made: set[Place] = set()
        fixed: dict[Place, Value] = {}
        for work in group.works:  # one number for all columns is read once
            for place in work.reads():
                if place.strides[1] == 0 and place not in made and place.columns >= 1:
                    fixed.setdefault(place, self.loaded(place, here[place], 0, 1))
            made.update(work.outs)

        def body(column: Value | int, width: int) -> None:
            values: dict[Place, Value] = {}

            def value(a: Place | float, kind: str) -> Value:
                if not isinstance(a, Place):
                    return constant(Vector(kind, width), a)
                if a not in values:
                    if a in fixed:
                        values[a] = f.spread(fixed[a], width)
                    else:
                        values[a] = self.loaded(a, here[a], column, width)
                found = values[a]
                if found.type.kind == "i1" and kind in ("float", "double"):
                    return f.cast("uitofp", found, kind)
                return found

            for work in group.works:
                (out,) = work.outs
                kind = KINDS[work_type(work)]
                truths = {"where": 1}.get(work.kind, len(work.args) if kind == "i8" else 0)
                result = operation(
                    f,
                    work.kind,
                    [value(a, "i8" if n < truths else kind) for n, a in enumerate(work.args)],
                )
                if out.dtype.kind == "f" and result.type.kind == "i1":
                    result = f.cast("uitofp", result, kind)
                values[out] = result
                fixed.pop(out, None)
                if out in group.stored:
                    self.stored(result, out, here[out], column)

        kept = dict(fixed)

        def fresh(column: Value | int, width: int) -> None:
            fixed.clear()
            fixed.update(kept)
            body(column, width)

        self.over_columns(group.works[0].columns, lanes, fresh)

    def loaded(self, place: Place, row: Value, column: Value | int, width: int) -> Value:
        f, kind = self.f, KINDS[place.dtype]
        across = place.strides[1]
        if across not in (0, 1):
            column = (
                f.binary("mul", column, across) if isinstance(column, Value) else column * across
            )
        at = row if across == 0 else f.at(row, column, kind)
        value = f.load(at, Vector(kind, width))
        return f.compare("ne", value, 0) if kind == "i8" else value

    def stored(self, value: Value, place: Place, row: Value, column: Value | int) -> None:
        f, kind = self.f, KINDS[place.dtype]
        if value.type.kind == "i1":
            value = f.cast("zext", value, "i8")
        across = place.strides[1]
        if across not in (0, 1):
            column = (
                f.binary("mul", column, across) if isinstance(column, Value) else column * across
            )
        f.store(value, f.at(row, column, kind))

    def reduced(
        self,
        place: Place,
        row: Value,
        start: float,
        combine: Callable[[Value, Value], Value],
        of: Callable[[Value, Value | int], Value] | None = None,
    ) -> Value:
        """One number of a row: the entries, or what is made of them, combined."""
        f, kind = self.f, KINDS[place.dtype]
        lanes = self.machine.lanes(kind)
        slot = self.slot(Vector(kind, lanes))
        f.store(constant(Vector(kind, lanes), start), slot)
        rest: list[Value] = []

        def body(column: Value | int, width: int) -> None:
            value = self.loaded(place, row, column, width)
            if of is not None:
                value = of(value, column)
            if width == lanes:
                f.store(combine(f.load(slot, value.type), value), slot)
            else:
                rest.extend(f.lanes(value, n, 1) for n in range(width))

        self.over_columns(place.columns, lanes, body)
        total = f.load(slot, Vector(kind, lanes))
        while total.type.lanes > 1:
            half = total.type.lanes // 2
            total = combine(f.lanes(total, 0, half), f.lanes(total, half, half))
        while len(rest) > 1:
            pairs = [combine(a, b) for a, b in zip(rest[::2], rest[1::2], strict=False)]
            rest = pairs + rest[len(pairs) * 2 :]
        return combine(total, rest[0]) if rest else total

    def reduction(self, work: Work, here: dict[Place, Value]) -> None:
        """The sum, the mean or the largest of a row."""
        (of,), (out,) = work.reads(), work.outs
        f = self.f
        if work.kind == "max":
            total = self.reduced(
                of, here[of], -np.inf, lambda a, b: operation(f, "maximum", [a, b])
            )
        else:
            total = self.reduced(of, here[of], 0.0, lambda a, b: f.binary("fadd", a, b))
        if work.kind == "mean":
            total = f.binary("fdiv", total, of.columns)
        f.store(total, here[out])

    def cross_entropies(self, work: Work, here: dict[Place, Value]) -> None:
        """−log softmax at the label, each row with a shift of its own: its largest entry."""
        f = self.f
        logits, labels = work.reads()
        losses, exponentials, sums = work.outs
        kind = KINDS[logits.dtype]
        shift = self.reduced(
            logits, here[logits], -np.inf, lambda a, b: operation(f, "maximum", [a, b])
        )
        # An infinite or undefined largest entry is no shift.
        size = f.intrinsic("fabs", shift)
        zero = constant(Vector(kind), 0.0)
        shift = f.select(f.compare("olt", size, np.inf), shift, zero)

        def shifted(value: Value, column: Value | int) -> Value:
            e = functions.exp(f, f.binary("fsub", value, f.spread(shift, value.type.lanes)))
            self.stored(e, exponentials, here[exponentials], column)
            return e

        total = self.reduced(
            logits, here[logits], 0.0, lambda a, b: f.binary("fadd", a, b), shifted
        )
        f.store(total, here[sums])
        label = self.label(labels, here[labels], logits.columns)
        chosen = f.load(f.at(here[logits], label, kind), Vector(kind))
        loss = f.binary("fsub", functions.log(f, total), f.binary("fsub", chosen, shift))
        f.store(loss, here[losses])

    def label(self, labels: Place, row: Value, classes: int) -> Value:
        """The label of a row; one that is none is noted, and 0 in its place."""
        f = self.f
        label = f.load(row, INDEX)
        wrong = f.compare("uge", label, classes)
        noted = f.binary("or", f.load(self.failed, INDEX), f.cast("zext", wrong, "i64"))
        f.store(noted, self.failed)
        return f.select(wrong, constant(INDEX, 0), label)

    def cross_entropy_gradient(self, work: Work, here: dict[Place, Value]) -> None:
        """(softmax − 1 at the label) · weight."""
        f = self.f
        exponentials, sums, labels, weights = work.reads()
        (out,) = work.outs
        kind = KINDS[out.dtype]
        weight = f.load(here[weights], Vector(kind))
        scale = f.binary("fdiv", weight, f.load(here[sums], Vector(kind)))

        def body(column: Value | int, width: int) -> None:
            e = self.loaded(exponentials, here[exponentials], column, width)
            self.stored(f.binary("fmul", e, f.spread(scale, width)), out, here[out], column)

        self.over_columns(out.columns, self.machine.lanes(kind), body)
        at = f.at(here[out], self.label(labels, here[labels], out.columns), kind)
        f.store(f.binary("fsub", f.load(at, Vector(kind)), weight), at)


def work_type(work: Work) -> np.dtype[np.generic]:
    """The floating-point type that a work is done in; that of truth values if there is none."""
    for place, _ in work.places():
        if place.dtype.kind == "f":
            return place.dtype
    return np.dtype(np.bool)


def operation(f: Function, kind: str, args: list[Value]) -> Value:
    """One elementwise call, on any number of lanes."""
    return OPERATIONS[kind](f, *args)


def _binary(name: str) -> Callable[..., Value]:
    return lambda f, a, b: f.binary(name, a, b)


def _compare(name: str) -> Callable[..., Value]:
    return lambda f, a, b: f.compare(name, a, b)


def _extreme(name: str) -> Callable[..., Value]:
    """The larger or the smaller one; NaN if one of them is."""

    def rule(f: Function, a: Value, b: Value) -> Value:
        first = f.binary("or", f.compare(name, a, b), f.compare("uno", a, a))
        return f.select(first, a, b)

    return rule


def _negated(f: Function, a: Value) -> Value:
    return f.binary("xor", a, 1) if a.type.lanes == 1 else f.op(a.type, f"xor {a}, splat (i1 true)")


OPERATIONS: dict[str, Callable[..., Value]] = {
    "add": _binary("fadd"),
    "subtract": _binary("fsub"),
    "multiply": _binary("fmul"),
    "divide": _binary("fdiv"),
    "negative": lambda f, a: f.op(a.type, f"fneg {a}"),
    "absolute": lambda f, a: f.intrinsic("fabs", a),
    "square": lambda f, a: f.binary("fmul", a, a),
    "reciprocal": lambda f, a: f.binary("fdiv", constant(a.type, 1.0), a),
    "sqrt": lambda f, a: f.intrinsic("sqrt", a),
    "tanh": functions.tanh,
    "exp": functions.exp,
    "log": functions.log,
    "maximum": _extreme("ogt"),
    "minimum": _extreme("olt"),
    "greater": _compare("ogt"),
    "greater_equal": _compare("oge"),
    "less": _compare("olt"),
    "less_equal": _compare("ole"),
    "equal": _compare("oeq"),
    "not_equal": _compare("une"),
    "logical_and": _binary("and"),
    "logical_or": _binary("or"),
    "logical_not": _negated,
    "copy": lambda f, a: a,
    "where": lambda f, condition, a, b: f.select(condition, a, b),
}
