"""Products of a few rows with a constant matrix. Its panels are packed once and used at every step.

A panel stays in the L1 cache while all rows pass, tile by tile.
"""

from __future__ import annotations

from tinygrad_rnn.compiler.backends.native.objects import Machine
from tinygrad_rnn.compiler.backends.native.packing import packed_size, panels
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


PANELS_OF_A_ROW = 4
"""The number of panels that a single row takes together: eight sums run in parallel."""

NEAREST = 1 << 15
"""The size of the L1 cache in bytes. Panels are taken together if they fit into it."""

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

    single: whether there is only one row, which takes several panels at once.
    """
    name = f"product_{kind}_{depth}_{columns}{'_add' * adds}{'_single' * single}"
    if name in module.functions:
        return name
    lanes = machine.lanes(kind)
    types = [POINTER, INDEX, POINTER, POINTER, INDEX, POINTER, INDEX, INDEX]
    f = module.function(name, types)
    left, left_stride, packed, out, out_stride, added, added_stride, rows = f.parameters
    groups = panels(columns, lanes)
    full = sum(sum(group) == 2 * lanes for group in groups)

    far = not single and packed_size(depth, columns, lanes) * machine.bytes // lanes > FAR

    def panel(at: Value | int, group: list[int], together: int = 1) -> None:
        """Emit the product of all rows with one panel, or with several."""
        column = f.binary("mul", at, 2 * lanes) if isinstance(at, Value) else at * 2 * lanes
        start = f.binary("mul", column, depth) if isinstance(column, Value) else column * depth
        here = f.at(packed, start, kind)

        def rows_of(row: Value, count: int) -> None:
            inner = tile(module, kind, lanes, count, group, adds, panels=together, ahead=far)
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
            f.do(f"call void @{inner}({', '.join(map(str, given))})")

        if single:
            rows_of(constant(INDEX, 0), 1)
        else:
            in_tiles(f, machine, rows, rows_of)

    done = 0
    near = PANELS_OF_A_ROW * 2 * machine.bytes * depth <= NEAREST
    for together in (PANELS_OF_A_ROW, 1) if single and near else (1,):
        most = done + (full - done) // together * together
        if most > done:
            with f.loop(done, most, together) as n:
                panel(n, groups[0], together)
        done = most
    if full < len(groups):
        panel(full, groups[-1])
    f.do("ret void")
    return name
