"""Sums over all steps of products of rows, Σ xᵀ δ, which are the gradients of weights.

The steps are taken in blocks. The rows of x and the columns of δ that a block needs are first
copied in the order in which the tiles read them. The sums of a tile stay in registers while the
block passes.
"""

from __future__ import annotations

from tinygrad_rnn.compiler.backends.native.objects import Machine
from tinygrad_rnn.compiler.backends.native.packing import beside, panels
from tinygrad_rnn.compiler.backends.native.products import FAR
from tinygrad_rnn.compiler.backends.native.text import INDEX, POINTER, Module, Value, constant
from tinygrad_rnn.compiler.backends.native.tiles import LINE, in_tiles, tile

BLOCK = 128
"""The most rows per block. A panel of this many rows fits into the L1 cache."""


def time_sum(module: Module, kind: str, machine: Machine, rows: int, columns: int) -> str:
    """A function (left, its stride, right, its stride, result, its stride, number of rows, number
    of columns of the left, memory) that multiplies leftᵀ with right.

    rows: the rows of the whole result, which may be divided. memory: for BLOCK entries of each
    column of the left.
    """
    name = f"time_sum_{kind}_{rows}_{columns}"
    if name in module.functions:
        return name
    lanes = machine.lanes(kind)
    types = [POINTER, INDEX, POINTER, INDEX, POINTER, INDEX, INDEX, INDEX, POINTER]
    f = module.function(name, types)
    left, left_stride, right, right_stride, out, out_stride, depth, wide, turned = f.parameters
    width = lanes * max(2, 2 * machine.rows // rows)
    groups = panels(columns, lanes, width // lanes)
    full = sum(sum(group) == width for group in groups)
    copied = rows > 2 * machine.rows  # the columns are read often enough to be copied first
    memory = f.op(POINTER, f"alloca [{BLOCK * width} x {kind}], align 64") if copied else right
    turns = columns > 4 * lanes
    blocks = f.binary("sdiv", f.binary("add", depth, BLOCK - 1), BLOCK)

    def block(n: Value, adds: bool) -> None:
        """Emit a block. The first begins the sums, the others add to them."""
        first, last = (
            f.binary("sdiv", f.binary("mul", depth, m), blocks) for m in (n, f.binary("add", n, 1))
        )
        count = f.binary("sub", last, first)
        a = f.at(left, f.binary("mul", first, left_stride), kind)
        b = f.at(right, f.binary("mul", first, right_stride), kind)

        def turn(row: Value, height: int) -> None:
            start, to = f.at(a, row, kind), f.at(turned, f.binary("mul", row, count), kind)
            beside(f, kind, height, [height], start, left_stride, to, count)

        if turns:
            in_tiles(f, machine, wide, turn)

        def panel(column: Value | int, group: list[int]) -> None:
            here, stride = f.at(b, column, kind), right_stride
            if copied:
                beside(f, kind, lanes, group, here, right_stride, memory, count)
                here, stride = memory, constant(INDEX, len(group) * lanes)

            def tiles(row: Value, height: int) -> None:
                inner = tile(module, kind, lanes, height, group, adds, padded=copied)
                at = f.at(f.at(out, f.binary("mul", row, out_stride), kind), column, kind)
                if adds and rows * columns * machine.bytes // lanes > FAR:
                    with f.loop(height, height + machine.rows) as r:  # the next tile
                        below = f.at(at, f.binary("mul", r, out_stride), kind)
                        f.prefetch(below)
                        f.prefetch(f.at(below, LINE, "i8"))
                x, across = f.at(a, row, kind), left_stride
                if turns:
                    x = f.at(turned, f.binary("mul", row, count), kind)
                    across = constant(INDEX, height)
                given = [x, constant(INDEX, 1), across, here, stride]
                given += [at, out_stride, at, out_stride, count]
                f.do(f"call void @{inner}({', '.join(map(str, given))})")

            in_tiles(f, machine, wide, tiles)

        if full:
            with f.loop(0, full * width, width) as column:
                panel(column, groups[0])
        if full < len(groups):
            panel(full * width, groups[-1])

    block(constant(INDEX, 0), False)
    with f.loop(1, blocks) as n:
        block(n, True)
    f.do("ret void")
    return name
