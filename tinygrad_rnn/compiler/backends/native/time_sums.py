"""Sums over all steps of products of rows, Σ xᵀ δ, which are the gradients of weights.

Sums with the same δ are one loop. The steps are taken in blocks. Some columns of δ that a block
needs are first copied so that they lie one row after another; then all sums read them. The sums of
a tile stay in registers while the block passes.
"""

from __future__ import annotations

from typing import NamedTuple

from tinygrad_rnn.compiler.backends.native.objects import Machine
from tinygrad_rnn.compiler.backends.native.packing import beside, over_panels, panels
from tinygrad_rnn.compiler.backends.native.text import (
    INDEX,
    POINTER,
    Module,
    Value,
    constant,
)
from tinygrad_rnn.compiler.backends.native.tiles import in_tiles, tile

BLOCK = 128
"""The most rows per block. A panel of this many rows fits into the L1 cache."""


class Sum(NamedTuple):
    """One of the sums. rows: the rows of its result. wide: the number of those to compute."""

    rows: int
    left: Value
    left_stride: Value
    out: Value
    out_stride: Value
    wide: Value


def time_sum(
    module: Module, kind: str, machine: Machine, rows: tuple[int, ...], columns: int
) -> str:
    """A function (right, its stride, number of rows, and for each sum: left, its stride, result,
    its stride, number of columns of the left) that multiplies each leftᵀ with right.

    rows: the rows of each result, which may be divided.
    """
    name = f"time_sum_{kind}_{'_'.join(map(str, rows))}_{columns}"
    if name in module.functions:
        return name
    lanes = machine.lanes(kind)
    types = [POINTER, INDEX, INDEX, *[POINTER, INDEX, POINTER, INDEX, INDEX] * len(rows)]
    f = module.function(name, types)
    right, right_stride, depth, *rest = f.parameters
    sums = [Sum(number, *rest[5 * n : 5 * n + 5]) for n, number in enumerate(rows)]
    width = lanes * max(machine.vectors, 2 * machine.rows // sum(rows))
    copied = sum(rows) > 2 * machine.rows  # the columns are read often enough to be copied first
    memory = f.op(POINTER, f"alloca [{BLOCK * width} x {kind}], align 64") if copied else right
    blocks = f.binary("sdiv", f.binary("add", depth, BLOCK - 1), BLOCK)

    def block(n: Value, adds: bool) -> None:
        """Emit a block. The first begins the sums, the others add to them."""
        first, last = (
            f.binary("sdiv", f.binary("mul", depth, m), blocks) for m in (n, f.binary("add", n, 1))
        )
        count = f.binary("sub", last, first)
        b = f.at(right, f.binary("mul", first, right_stride), kind)

        def panel(column: Value, group: list[int]) -> None:
            here, stride = f.at(b, column, kind), right_stride
            if copied:
                beside(f, kind, lanes, group, here, right_stride, memory, count)
                here, stride = memory, constant(INDEX, len(group) * lanes)
            for one in sums:
                start = f.at(one.left, f.binary("mul", first, one.left_stride), kind)
                column_of(one, start, column, group, here, stride)

        def column_of(
            one: Sum, start: Value, column: Value, group: list[int], here: Value, stride: Value
        ) -> None:
            """Emit some columns of a sum."""
            ahead = "left" if one.rows > 1 else ""

            def tiles(row: Value, height: int) -> None:
                inner = tile(module, kind, lanes, height, group, adds, padded=copied, ahead=ahead)
                place = f.binary("add", f.binary("mul", row, one.out_stride), column)
                at = f.at(one.out, place, kind)
                given = [f.at(start, row, kind), constant(INDEX, 1), one.left_stride, here, stride]
                given += [at, one.out_stride, at, one.out_stride, count]
                f.call(inner, *given)

            in_tiles(f, machine, one.wide, tiles, one.rows)

        over_panels(f, panels(columns, lanes, width // lanes), lanes, panel)

    block(constant(INDEX, 0), False)
    with f.loop(1, blocks) as n:
        block(n, True)
    f.do("ret void")
    return name
