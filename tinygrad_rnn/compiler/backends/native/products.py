"""Products of a few rows with a matrix that stays the same: its panels packed once, then used at
every step.

A panel stays in the nearest cache while all rows go by, tile by tile.
"""

from __future__ import annotations

from tinygrad_rnn.compiler.backends.native.objects import Machine
from tinygrad_rnn.compiler.backends.native.packing import panels
from tinygrad_rnn.compiler.backends.native.text import (
    INDEX,
    POINTER,
    Module,
    Value,
    constant,
)
from tinygrad_rnn.compiler.backends.native.tiles import in_tiles, tile

LARGEST = 1 << 19
"""A product for all steps at once is done here if its matrix has at most so many entries, and then
stays near the processor while the rows go by; with a larger one it is NumPy's, whose BLAS goes
through both factors in blocks. A matrix that is used at every step of a loop is always packed."""


PANELS_OF_A_ROW = 4
"""So many panels are gone through together for a single row: eight sums run beside one another."""

NEAREST = 1 << 15
"""Bytes of the nearest cache: panels that are no longer than this together are gone through so."""


def product(
    module: Module,
    kind: str,
    machine: Machine,
    depth: int,
    columns: int,
    adds: bool,
    single: bool = False,
) -> str:
    """A function (left, its stride, packed matrix, result, its stride, what is added, its stride,
    rows) that multiplies so many rows with a packed matrix. Strides are those of rows.

    single: whether there is but one row, which takes several panels at once.
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

    def panel(at: Value | int, group: list[int], together: int = 1) -> None:
        """One panel, or several, with all rows."""
        column = f.binary("mul", at, 2 * lanes) if isinstance(at, Value) else at * 2 * lanes
        start = f.binary("mul", column, depth) if isinstance(column, Value) else column * depth
        here = f.at(packed, start, kind)

        def rows_of(row: Value, count: int) -> None:
            inner = tile(module, kind, lanes, count, group, adds, panels=together)
            c = f.at(f.at(out, f.binary("mul", row, out_stride), kind), column, kind)
            b = added
            if adds:
                b = f.at(f.at(added, f.binary("mul", row, added_stride), kind), column, kind)
            a = f.at(left, f.binary("mul", row, left_stride), kind)
            width = constant(INDEX, lanes * len(group))
            given = [a, left_stride, constant(INDEX, 1), here, width, c, out_stride]
            given += [b, added_stride, constant(INDEX, depth)]
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
