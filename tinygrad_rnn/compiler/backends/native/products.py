"""Products of a few rows with a constant matrix. Its panels are packed once and used at every step.

A panel stays in the L1 cache while all rows pass, tile by tile.
"""

from __future__ import annotations

from tinygrad_rnn.compiler.backends.native.objects import Machine
from tinygrad_rnn.compiler.backends.native.packing import over_panels, packed_size, panels
from tinygrad_rnn.compiler.backends.native.text import (
    INDEX,
    POINTER,
    Module,
    Value,
    constant,
)
from tinygrad_rnn.compiler.backends.native.tiles import LINE, in_tiles, tile

LARGEST = 1 << 19
"""The most entries of the matrix in a product for all steps at once that is done here. Such a
matrix stays in the cache while the rows pass. A product with a larger matrix is left to NumPy,
whose BLAS blocks both factors. A matrix that is used at every step of a loop is always packed."""


FAR = 1 << 19
"""The size in bytes from which on a packed matrix does not stay in the L2 cache. While the tiles of
a panel are computed, the following panels are fetched. Without this, 32 rows times a matrix of 512
by 2048 reach 145 GFLOP/s of 180, with it 165."""


def product(
    module: Module,
    kind: str,
    machine: Machine,
    depth: int,
    columns: int,
    adds: bool,
    single: bool = False,
) -> str:
    """A function (left, its stride, packed matrix, result, its stride, addend, its stride, rows)
    that multiplies a number of rows with a packed matrix. Strides are those of rows.

    single: whether there is only one row.
    """
    name = f"product_{kind}_{depth}_{columns}{'_add' * adds}{'_single' * single}"
    if name in module.functions:
        return name
    lanes = machine.lanes(kind)
    types = [POINTER, INDEX, POINTER, POINTER, INDEX, POINTER, INDEX, INDEX]
    f = module.function(name, types)
    left, left_stride, packed, out, out_stride, added, added_stride, rows = f.parameters
    far = not single and packed_size(depth, columns, lanes) * machine.bytes // lanes > FAR

    def panel(column: Value, group: list[int]) -> None:
        """Emit the product of all rows with one panel."""
        here = f.at(packed, f.binary("mul", column, depth), kind)

        def rows_of(row: Value, count: int) -> None:
            ahead = "more" if far else ""
            inner = tile(module, kind, lanes, count, group, adds, ahead=ahead)
            c = f.at(f.at(out, f.binary("mul", row, out_stride), kind), column, kind)
            b = added
            if adds:
                b = f.at(f.at(added, f.binary("mul", row, added_stride), kind), column, kind)
            a = f.at(left, f.binary("mul", row, left_stride), kind)
            width = constant(INDEX, lanes * len(group))
            given = [a, left_stride, constant(INDEX, 1), here, width, c, out_stride]
            given += [b, added_stride, constant(INDEX, depth)]
            if far:  # each tile fetches its part of the following panels
                following = f.at(here, lanes * len(group) * depth, kind)
                lines = f.binary("mul", f.binary("udiv", row, machine.rows), depth)
                given.append(f.at(following, f.binary("mul", lines, LINE), "i8"))
            f.call(inner, *given)

        in_tiles(f, machine, rows, rows_of, 1 if single else None)

    over_panels(f, panels(columns, lanes, machine.vectors), lanes, panel)
    f.do("ret void")
    return name
