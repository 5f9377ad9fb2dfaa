"""Works on one row: elementwise works as one loop over vectors, reductions, and cross-entropies."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from tinygrad_rnn.compiler.backends.native import functions
from tinygrad_rnn.compiler.backends.native.groups import Group
from tinygrad_rnn.compiler.backends.native.nests import Place, Work
from tinygrad_rnn.compiler.backends.native.objects import Machine
from tinygrad_rnn.compiler.backends.native.operations import operation
from tinygrad_rnn.compiler.backends.native.text import (
    INDEX,
    KINDS,
    Function,
    Value,
    Vector,
    constant,
)

ROWS_AHEAD = 1
"""So many rows ahead, the cache lines of an array of all steps are fetched before they are written.
Otherwise each store waits for its line: the writing of a step of an LSTM takes twice as long."""


class Rows:
    """Emits the works of one row. slot: makes a slot on the stack. failed: the flag for invalid
    labels.

    `here` has the address of each place for the row.
    """

    def __init__(
        self,
        f: Function,
        machine: Machine,
        slot: Callable[[Vector], Value],
        failed: Value,
    ) -> None:
        self.f, self.machine, self.slot, self.failed = f, machine, slot, failed

    def write(self, group: Group, here: dict[Place, Value]) -> None:
        """The works of a group."""
        work = group.works[0]
        if work.kind in ("sum", "mean", "max"):
            self.reduction(work, here)
        elif work.kind == "cross_entropies":
            self.cross_entropies(work, here)
        elif work.kind == "cross_entropy_gradient":
            self.cross_entropy_gradient(work, here)
        else:
            self.elementwise(group, here)

    def over_columns(
        self, columns: int, lanes: int, body: Callable[[Value | int, int], None]
    ) -> None:
        """Emit a loop over whole vectors of columns, and then one vector of the remaining
        columns."""
        whole = columns // lanes * lanes
        if whole == lanes:
            body(0, lanes)
        elif whole:
            with self.f.loop(0, whole, lanes) as column:
                body(column, lanes)
        if columns > whole:
            body(whole, columns - whole)

    def elementwise(self, group: Group, here: dict[Place, Value]) -> None:
        """Emit one row of elementwise works."""
        f = self.f
        places = [place for work in group.works for place, _ in work.places()]
        dense = all(p.strides[1] in (0, 1) for p in places)
        most = [self.machine.lanes(KINDS[p.dtype]) for p in places]
        lanes = min(most) if dense else 1
        made: set[Place] = set()
        fixed: dict[Place, Value] = {}
        for work in group.works:  # a number for all columns is read once
            for place in work.reads():
                if place.strides[1] == 0 and place not in made:
                    fixed.setdefault(place, self.loaded(place, here[place], 0, 1))
            made.update(work.outs)

        def body(column: Value | int, width: int) -> None:
            values: dict[Place, Value] = {}

            def value(a: Place | float, kind: str) -> Value:
                if not isinstance(a, Place):
                    return constant(Vector(kind, width), bool(a) if kind == "i1" else a)
                if a not in values:
                    if a in fixed:
                        values[a] = f.spread(fixed[a], width)
                    else:
                        values[a] = self.loaded(a, here[a], column, width)
                found = values[a]
                return f.cast("uitofp", found, kind) if found.type.kind != kind else found

            for work in group.works:
                (out,) = work.outs
                kinds = [kind_of(work)] * len(work.args)
                if work.kind == "where":
                    kinds[0] = "i1"
                values[out] = operation(f, work.kind, list(map(value, work.args, kinds)))
                if out in group.stored:
                    self.stored(values[out], out, here[out], column)

        self.over_columns(group.works[0].columns, lanes, body)

    def entry(self, place: Place, row: Value, column: Value | int) -> Value:
        """The address of a column of a row."""
        across = place.strides[1]
        if across != 1:
            column = (
                self.f.binary("mul", column, across)
                if isinstance(column, Value)
                else column * across
            )
        return self.f.at(row, column, KINDS[place.dtype])

    def loaded(self, place: Place, row: Value, column: Value | int, width: int) -> Value:
        f, kind = self.f, KINDS[place.dtype]
        at = self.entry(place, row, column) if place.strides[1] else row
        value = f.load(at, Vector(kind, width))
        return f.compare("ne", value, 0) if kind == "i8" else value

    def stored(self, value: Value, place: Place, row: Value, column: Value | int) -> None:
        f, kind = self.f, KINDS[place.dtype]
        if value.type.kind == "i1":
            value = f.cast("zext", value, "i8")
        at = self.entry(place, row, column)
        if place.step and value.type.lanes > 1:
            f.prefetch(f.at(at, place.strides[0] * ROWS_AHEAD, kind), write=True)
        f.store(value, at)

    def reduced(
        self,
        place: Place,
        row: Value,
        start: float,
        combine: Callable[[Value, Value], Value],
        of: Callable[[Value, Value | int], Value] | None = None,
    ) -> Value:
        """One number of a row: its entries, or values computed from them, combined."""
        f, kind = self.f, KINDS[place.dtype]
        lanes = self.machine.lanes(kind) if place.strides[1] == 1 else 1
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
        """−log softmax at the label. Each row has its own shift, its largest entry."""
        f = self.f
        logits, labels = work.reads()
        losses, exponentials, sums = work.outs
        kind = KINDS[logits.dtype]
        shift = self.reduced(
            logits, here[logits], -np.inf, lambda a, b: operation(f, "maximum", [a, b])
        )
        # An infinite or NaN largest entry is not used as the shift.
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
        """The label of a row. An invalid label sets the flag, and 0 takes its place."""
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


def kind_of(work: Work) -> str:
    """The type of the numbers that a work computes with; that of truth values if it has none."""
    kinds = [KINDS[place.dtype] for place, _ in work.places() if place.dtype.kind == "f"]
    return kinds[0] if kinds else "i1"
