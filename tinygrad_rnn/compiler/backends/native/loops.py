"""Nests as machine code: at each step, some rows at a time through all works of the step.

Rows are taken as many at once as a tile of a product has, so what one work leaves is still in the
nearest cache when the next one reads it. Elementwise works with the same rows and columns become
one loop over vectors: a value that only they read is never written to memory.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from tinygrad_rnn.compiler.backends.native import functions, products
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


class Group(NamedTuple):
    """Works that are one loop. stored: the results that somebody reads from memory."""

    works: tuple[Work, ...]
    stored: frozenset[Place]

    @property
    def rows(self) -> int:
        return self.works[0].rows

    def touched(self) -> list[Place]:
        """The places in memory that are read or written, but for matrices: those are packed."""
        found: dict[Place, None] = {}
        made: set[Place] = set()
        for work in self.works:
            matrix = work.args[1] if work.kind == "product" else None
            found |= {p: None for p in work.reads() if p not in made and p is not matrix}
            found |= {p: None for p in work.outs if p in self.stored}
            made |= set(work.outs) if work.elementwise else set()
        return list(found)


def grouped(works: list[Work], memory: Memory, read_elsewhere: Callable[..., bool]) -> list[Group]:
    """The works of a step, elementwise ones together as far as they may be."""
    groups: list[list[Work]] = []
    for work in works:
        if groups and work.elementwise and fits(work, groups[-1], memory):
            groups[-1].append(work)
        else:
            groups.append([work])
    return [Group(tuple(g), stored_by(g, works, memory, read_elsewhere)) for g in groups]


def fits(work: Work, group: list[Work], memory: Memory) -> bool:
    """Whether a work may be done entry by entry with those of a group."""
    return (
        group[0].elementwise
        and (group[0].rows, group[0].columns) == (work.rows, work.columns)
        and all(
            p == q or not memory.overlap(p, q, 1)
            for other in group
            for (p, written), (q, also) in itertools.product(other.places(), work.places())
            if written or also
        )
    )


def stored_by(
    group: list[Work], step: list[Work], memory: Memory, read_elsewhere: Callable[..., bool]
) -> frozenset[Place]:
    """Which results of a group are read from memory: by others, or by itself at the next step."""
    stored = set()
    for n, work in enumerate(group):
        for out in work.outs:
            inside = group[n + 1 :]
            outside = [w for w in step if w not in inside]
            if (
                not work.elementwise
                or read_elsewhere(out)
                or any(memory.overlap(p, out) for w in outside for p in w.reads())
                or any(memory.overlap(p, out) and p != out for w in inside for p in w.reads())
            ):
                stored.add(out)
    return frozenset(stored)


class Emitter:
    """A function for some nests: `name(table, T, part, parts)`, which does its part of the rows.

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
            size = products.packed_size(matrix.rows, matrix.columns, lanes)
            self.packed[matrix] = memory = Packed(matrix.dtype, size)
            name = products.pack(self.module, kind, self.machine, matrix.rows, matrix.columns)
            start = self.f.at(self.base(matrix.root), matrix.offset.fixed, kind)
            down, across = matrix.strides
            self.f.do(f"call void @{name}({start}, i64 {down}, i64 {across}, {self.base(memory)})")
        return self.base(self.packed[matrix])

    def span(self, span: Span) -> Value:
        """slope·T + fixed."""
        f = self.f
        if not span.slope:
            return constant(INDEX, span.fixed)
        value = f.binary("mul nsw", self.steps, span.slope)
        return f.binary("add nsw", value, span.fixed) if span.fixed else value

    def nest(self, nest: Nest, memory: Memory, groups: list[Group]) -> None:
        """All steps of a nest."""
        for group in groups:
            for work in group.works:
                if work.kind == "product":
                    assert isinstance(work.args[1], Place)
                    self.pack(work.args[1])
        offsets: dict[Place, Value] = {}
        for place in dict.fromkeys(p for group in groups for p in group.touched()):
            start, kind = self.span(place.offset), KINDS[place.dtype]
            offsets[place] = self.f.at(self.base(place.root), start, kind)
        with self.f.loop(0, self.span(nest.count)) as t:
            pointers = {
                place: self.f.at(at, self.f.binary("mul nsw", t, place.step), KINDS[place.dtype])
                if place.step
                else at
                for place, at in offsets.items()
            }
            for chunk in chunks(groups, memory, self.machine.rows):
                self.rows_of(chunk, pointers)

    def rows_of(self, groups: list[Group], pointers: dict[Place, Value]) -> None:
        """Some groups that have the same rows, a tile's rows at a time."""
        f, rows, most = self.f, groups[0].rows, self.machine.rows
        if rows == 1:
            self.groups_at(groups, pointers, constant(INDEX, 0), constant(INDEX, 1))
            return
        tiles = -(-rows // most)
        first = self.share(self.part, tiles, most)
        stop = self.share(f.binary("add", self.part, 1), tiles, most)
        stop = f.select(f.compare("slt", stop, rows), stop, constant(INDEX, rows))
        with f.loop(first, stop, most) as row:
            end = f.binary("add nsw", row, most)
            end = f.select(f.compare("slt", end, stop), end, stop)
            self.groups_at(groups, pointers, row, f.binary("sub nsw", end, row))

    def share(self, part: Value, tiles: int, most: int) -> Value:
        """The row at which a part begins: parts are whole tiles, as equal as they can be."""
        f = self.f
        return f.binary("mul", f.binary("sdiv", f.binary("mul", part, tiles), self.parts), most)

    def groups_at(
        self, groups: list[Group], pointers: dict[Place, Value], row: Value, count: Value
    ) -> None:
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

    def product(self, work: Work, pointers: dict[Place, Value], row: Value, count: Value) -> None:
        left, matrix, *added = work.args
        (out,) = work.outs
        assert isinstance(left, Place) and isinstance(matrix, Place)
        kind = KINDS[out.dtype]
        name = products.product(
            self.module, kind, self.machine, matrix.rows, matrix.columns, bool(added)
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
            count,
        ]
        self.f.do(f"call void @{name}({', '.join(map(str, given))})")

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


def chunks(groups: list[Group], memory: Memory, most: int) -> list[list[Group]]:
    """Groups that can be gone through together, some rows at a time."""
    found: list[list[Group]] = []
    for group in groups:
        if (
            found
            and found[-1][0].rows == group.rows
            and all(
                together(v, w, memory, most)
                for other in found[-1]
                for v in other.works
                for w in group.works
            )
        ):
            found[-1].append(group)
        else:
            found.append([group])
    return found


def together(a: Work, b: Work, memory: Memory, most: int) -> bool:
    """Whether a work on some rows may follow another that has not done the other rows yet."""
    boundaries = range(most, a.rows, most)
    # Places are evenly spaced: what holds at the ends and in the middle holds everywhere.
    some = {*boundaries[:1], *boundaries[len(boundaries) // 2 :][:1], *boundaries[-1:]}
    return all(memory.apart(a, b, row) for row in some)


def divisible(works: list[Work], memory: Memory, most: int) -> bool:
    """Whether the rows of all works can be divided, each part going through all steps alone."""
    rows = works[0].rows
    return (
        rows > most
        and all(work.rows == rows for work in works)
        and all(together(a, b, memory, most) for a, b in itertools.product(works, works))
    )


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
