"""Loops: nests as machine code. At each step, some rows at a time run through all works.

A few rows run through all works before the next rows, so the result of one work is still in the
cache when the next work reads it. Elementwise works with the same rows and columns become one loop
over vectors. A value that only this loop reads is never written to memory.
"""

from __future__ import annotations

import enum
from typing import NamedTuple

from tinygrad_rnn.compiler.backends.native import packing, products, time_sums
from tinygrad_rnn.compiler.backends.native.arguments import taken
from tinygrad_rnn.compiler.backends.native.groups import Group, chunks, steps_as_rows
from tinygrad_rnn.compiler.backends.native.nests import Memory, Nest, Packed, Place, Span, Work
from tinygrad_rnn.compiler.backends.native.objects import Machine
from tinygrad_rnn.compiler.backends.native.results import reused
from tinygrad_rnn.compiler.backends.native.rows import Rows
from tinygrad_rnn.compiler.backends.native.text import (
    INDEX,
    KINDS,
    POINTER,
    Module,
    Value,
    Vector,
    constant,
)
from tinygrad_rnn.compiler.ir import Buffer

TILES = 8
"""The number of tiles whose rows run through the works of a step together. They load each panel of
a matrix into the cache once."""


AT_CALL, AT_STEP, RESULTS, STEPS, ROOTS = range(5)
"""The entries of a table: the lists of the arrays of a call and of a step (see `arguments.py`) and
of the results (see `results.py`), T, and the address of the first root."""


class Form(enum.Enum):
    """The forms of a function: `WHOLE`, name(table); `DIVIDED`, name(table, part, parts), which
    does a part of the rows; `STEP`, name(table, t), which does one step of a loop in Python."""

    WHOLE = enum.auto()
    DIVIDED = enum.auto()
    STEP = enum.auto()


class Part(NamedTuple):
    """A function of a run."""

    name: str
    form: Form


class Emitter:
    """Emits a function for some nests.

    roots: the arrays, in the order of the table. packed: the matrices, and their packed forms.
        Functions that are called one after the other may share both.
    """

    def __init__(
        self,
        module: Module,
        name: str,
        machine: Machine,
        roots: dict[Buffer | Packed, Value],
        packed: dict[Place, Packed],
        form: Form = Form.WHOLE,
    ) -> None:
        self.module, self.machine, self.form = module, machine, form
        numbers = {Form.WHOLE: 0, Form.STEP: 1, Form.DIVIDED: 2}[form]
        self.f = module.function(name, [POINTER] + [INDEX] * numbers, "i64", True)
        self.table, *self.numbers = self.f.parameters
        whole = constant(INDEX, 0), constant(INDEX, 1)
        self.part, self.parts = self.numbers if form is Form.DIVIDED else whole
        self.steps = Value(INDEX, "%steps")
        self.roots, self.packed = roots, packed
        self.slots: list[str] = []
        # Addresses and stack slots come first in the function, but are known only at the end.
        self.f.jump("start")
        self.f.begin("start")
        self.failed = self.slot(INDEX)
        self.f.store(constant(INDEX, 0), self.failed)
        self.rows = Rows(self.f, machine, self.slot, self.failed)

    def base(self, root: Buffer | Packed) -> Value:
        """The address of an array."""
        if root not in self.roots:
            self.roots[root] = Value(POINTER, f"%root{len(self.roots)}")
        return self.roots[root]

    def slot(self, form: Vector) -> Value:
        """A slot on the stack, made once."""
        value = Value(POINTER, self.f.fresh("%slot"))
        self.slots.append(f"  {value.name} = alloca {form}, align 64")
        return value

    def finish(self, *lists: int) -> None:
        """Write the beginning of the function: addresses and stack slots.

        lists: the lists of arrays whose addresses the function looks up first, `AT_CALL`, `AT_STEP`
            or `RESULTS`. If one is refused, the function does nothing else."""
        f = self.f
        f.do(f"ret i64 {f.load(self.failed, INDEX).name}")
        body, f.lines = f.lines, list(self.slots)
        for n in lists:
            look = reused(self.module) if n == RESULTS else taken(self.module)
            expected = f.load(f.at(self.table, n, "ptr"), POINTER)
            refused = f.op(INDEX, f"call i64 @{look}({self.table}, {expected})")
            f.branch(f.compare("eq", refused, 0), f"accepted{n}", f"refused{n}")
            f.begin(f"refused{n}")
            f.do(f"ret {refused}")
            f.begin(f"accepted{n}")
        for n, value in ((STEPS, self.steps), *enumerate(self.roots.values(), ROOTS)):
            f.do(f"{value.name} = load {value.type}, {f.at(self.table, n, 'i64')}, align 8")
        f.lines += body

    def pack(self, matrix: Place) -> Value:
        """The packed form of a matrix, made at the beginning of the function."""
        kind = KINDS[matrix.dtype]
        lanes = self.machine.lanes(kind)
        if matrix not in self.packed:
            size = packing.packed_size(matrix.rows, matrix.columns, lanes)
            self.packed[matrix] = memory = Packed(matrix.dtype, size)
            shape = matrix.rows, matrix.columns
            name = packing.pack(self.module, kind, self.machine, shape, matrix.strides)
            start = self.f.at(self.base(matrix.root), matrix.offset.fixed, kind)
            self.f.call(name, start, self.base(memory))
        return self.base(self.packed[matrix])

    def span(self, span: Span) -> Value:
        """slope·T + fixed."""
        f = self.f
        if not span.slope:
            return constant(INDEX, span.fixed)
        value = f.binary("mul nsw", self.steps, span.slope)
        return f.binary("add nsw", value, span.fixed) if span.fixed else value

    def nest(self, nest: Nest, memory: Memory, groups: list[Group]) -> None:
        """Emit all steps of a nest; or, for a call at each step, the given step."""
        each_step = self.form is Form.STEP
        for matrix in [work.matrix for group in groups for work in group.works]:
            if matrix is not None:
                self.pack(matrix)
        if nest.is_sum:
            self.time_sums(nest.works, nest.count)
            return
        if nest.steps_are_rows and not each_step:
            groups = list(map(steps_as_rows, groups))
        offsets: dict[Place, Value] = {}
        for place in dict.fromkeys(p for group in groups for p in group.touched()):
            start, kind = self.span(place.offset), KINDS[place.dtype]
            offsets[place] = self.f.at(self.base(place.root), start, kind)
        if each_step:
            self.step(self.numbers[0], offsets, memory, groups)
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
        """Emit one step."""
        pointers = self.at_step(t, offsets)
        for chunk in chunks(groups, memory, self.machine.rows):
            self.rows_of(chunk, pointers)

    def at_step(self, t: Value, offsets: dict[Place, Value]) -> dict[Place, Value]:
        """The addresses of places at a step."""
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
        """Emit some groups with the same rows, a few tiles' rows at a time."""
        f, rows, most = self.f, groups[0].rows, self.machine.rows
        if rows == 1:
            self.groups_at(groups, pointers, constant(INDEX, 0), 1)
            return
        first, stop = self.rows_of_part(rows)
        with f.loop(first, stop, TILES * most) as row:
            end = self.at_most(f.binary("add nsw", row, TILES * most), stop)
            self.groups_at(groups, pointers, row, f.binary("sub nsw", end, row))

    def rows_of_part(self, rows: int) -> tuple[Value, Value]:
        """The rows of this part. Parts are whole tiles, as equal as possible."""
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
        """Emit all works for a number of rows from this row on."""
        for group in groups:
            kind = group.works[0].kind
            if kind == "product":
                self.product(group.works[0], pointers, row, count)
                continue
            with self.f.loop(0, count) as r:
                at = self.f.binary("add nsw", row, r)
                here = {place: self.row_at(place, pointers[place], at) for place in group.touched()}
                self.rows.write(group, here)

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
        self.f.call(name, *given)

    def time_sums(self, works: tuple[Work, ...], count: Span) -> None:
        """Emit sums over all steps with the same right factor, for this part's share of their
        rows."""
        f, right = self.f, works[0].reads()[1]
        kind, rows = KINDS[right.dtype], tuple(work.rows for work in works)
        name = time_sums.time_sum(self.module, kind, self.machine, rows, right.columns)

        def start(place: Place) -> Value:
            return f.at(self.base(place.root), self.span(place.offset), kind)

        depth = f.binary("mul nsw", self.span(count), right.rows)
        given = [start(right), constant(INDEX, right.strides[0]), depth]
        for work in works:
            (left, _), (out,) = work.reads(), work.outs
            first, stop = self.rows_of_part(out.rows)
            given += [
                f.at(start(left), first, kind),
                constant(INDEX, left.strides[0]),
                self.row_at(out, start(out), first),
                constant(INDEX, out.strides[0]),
                f.binary("sub nsw", stop, first),
            ]
        f.call(name, *given)
