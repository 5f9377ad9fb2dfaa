"""Sums over all steps of products of rows, Σ xᵀ δ, which are the gradients of weights.

The sums of a tile of the result stay in registers while a block of rows passes. The block fits into
the L1 cache. The columns of δ that belong to the tile are first copied side by side.
"""

from __future__ import annotations

from tinygrad_rnn.compiler.backends.native.objects import Machine
from tinygrad_rnn.compiler.backends.native.packing import beside, panels
from tinygrad_rnn.compiler.backends.native.text import (
    INDEX,
    POINTER,
    Module,
    Value,
    Vector,
    constant,
)
from tinygrad_rnn.compiler.backends.native.tiles import in_tiles, tile

LARGEST = 64
"""The most rows and columns of a result that is computed here; NumPy computes larger ones. Against
OpenBLAS, 32 by 32 takes 0.74 of its time over 35 rows and 0.92 over 33,000; 64 by 64 takes 0.92,
128 by 128 1.08, 256 by 256 1.16."""

BLOCK = 128
"""The number of rows per block, after which a tile of the result is written back."""


def time_sum(module: Module, kind: str, machine: Machine, rows: int, columns: int) -> str:
    """A function (left, its stride, right, its stride, result, its stride, number of rows, number
    of columns of the left) that multiplies leftᵀ with right. rows: the rows of the whole result,
    which may be divided."""
    name = f"time_sum_{kind}_{rows}_{columns}"
    if name in module.functions:
        return name
    lanes = machine.lanes(kind)
    types = [POINTER, INDEX, POINTER, INDEX, POINTER, INDEX, INDEX, INDEX]
    f = module.function(name, types)
    left, left_stride, right, right_stride, out, out_stride, depth, wide = f.parameters
    groups = panels(columns, lanes)
    full = sum(sum(group) == 2 * lanes for group in groups)
    copied = rows > 2 * machine.rows
    memory = f.op(POINTER, f"alloca [{BLOCK * 2 * lanes} x {kind}], align 64") if copied else right
    with f.loop(0, wide) as r, f.loop(0, columns) as c:
        at = f.binary("add", f.binary("mul", r, out_stride), c)
        f.store(constant(Vector(kind), 0.0), f.at(out, at, kind))
    with f.loop(0, depth, BLOCK) as first:
        rest = f.binary("sub", depth, first)
        count = f.select(f.compare("slt", rest, BLOCK), rest, constant(INDEX, BLOCK))
        a = f.at(left, f.binary("mul", first, left_stride), kind)
        b = f.at(right, f.binary("mul", first, right_stride), kind)

        def panel(column: Value | int, group: list[int]) -> None:
            here, stride = f.at(b, column, kind), right_stride
            if copied:
                beside(f, kind, lanes, group, here, right_stride, memory, count)
                here, stride = memory, constant(INDEX, len(group) * lanes)

            def tiles(row: Value, height: int) -> None:
                inner = tile(module, kind, lanes, height, group, padded=copied)
                at = f.at(f.at(out, f.binary("mul", row, out_stride), kind), column, kind)
                given = [f.at(a, row, kind), constant(INDEX, 1), left_stride, here, stride]
                given += [at, out_stride, at, out_stride, count]
                f.do(f"call void @{inner}({', '.join(map(str, given))})")

            in_tiles(f, machine, wide, tiles)

        if full:
            with f.loop(0, full * 2 * lanes, 2 * lanes) as column:
                panel(column, groups[0])
        if full < len(groups):
            panel(full * 2 * lanes, groups[-1])
    f.do("ret void")
    return name
