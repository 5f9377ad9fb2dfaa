"""Packing: matrices are copied into panels once for all steps, in the order in which products read
them.

A panel has the width of a few vector registers, padded with zeros. Its rows lie one after another:
[panel][k][width].
"""

from __future__ import annotations

import itertools
from collections.abc import Callable

from tinygrad_rnn.compiler.backends.native.objects import Machine
from tinygrad_rnn.compiler.backends.native.text import (
    INDEX,
    POINTER,
    Function,
    Module,
    Value,
    Vector,
    constant,
)


def panels(columns: int, lanes: int, vectors: int) -> list[list[int]]:
    """For each panel, the number of columns in each of its vectors. There are as few panels as
    possible, of as equal widths as possible, for a panel of one vector takes as long as one of two.

    >>> panels(70, 16, 2)
    [[16, 16], [16, 16], [6]]
    >>> [len(panel) for panel in panels(256, 16, 3)]
    [3, 3, 3, 3, 2, 2]
    """
    widths = [min(lanes, columns - start) for start in range(0, columns, lanes)]
    count = -(-len(widths) // vectors)
    least, larger = divmod(len(widths), count)
    sizes = [least + 1] * larger + [least] * (count - larger)
    ends = itertools.accumulate(sizes)
    return [widths[end - size : end] for end, size in zip(ends, sizes, strict=True)]


def over_panels(
    f: Function,
    groups: list[list[int]],
    lanes: int,
    panel: Callable[[Value, list[int]], None],
) -> None:
    """Emit `panel(column, group)` for all panels. Equal ones form a loop."""
    column = 0
    for group, same in itertools.groupby(groups):
        width = lanes * len(group)
        end = column + len(list(same)) * width
        with f.loop(column, end, width) as at:
            panel(at, group)
        column = end


def packed_size(depth: int, columns: int, lanes: int) -> int:
    """The number of entries of a packed matrix."""
    return depth * lanes * -(-columns // lanes)


def pack(
    module: Module,
    kind: str,
    machine: Machine,
    shape: tuple[int, int],
    strides: tuple[int, int],
) -> str:
    """A function (matrix, destination) that packs a matrix of this shape and these strides, in
    entries."""
    (depth, columns), (down, across) = shape, strides
    name = f"pack_{kind}_{depth}_{columns}_{down}_{across}"
    if name in module.functions:
        return name
    lanes = machine.lanes(kind)
    f = module.function(name, [POINTER, POINTER])
    matrix, into = f.parameters

    def panel(column: Value, group: list[int]) -> None:
        to = f.at(into, f.binary("mul", column, depth), kind)
        if across == 1:
            start = f.at(matrix, column, kind)
            beside(f, kind, lanes, group, start, constant(INDEX, down), to, depth)
            return
        for n, count in enumerate(group):
            first = f.binary("add", constant(INDEX, n * lanes), column)
            start = f.at(matrix, f.binary("mul", first, across), kind)
            place = f.at(to, n * lanes, kind)
            width = lanes * len(group)
            whole = depth // lanes * lanes if down == 1 and count == lanes else 0
            if whole:
                turned(f, kind, lanes, start, across, place, width, whole)
            one_by_one(f, kind, lanes, count, start, strides, place, width, (whole, depth))

    over_panels(f, panels(columns, lanes, machine.vectors), lanes, panel)
    f.do("ret void")
    return name


def beside(
    f: Function,
    kind: str,
    lanes: int,
    group: list[int],
    matrix: Value,
    stride: Value,
    memory: Value,
    rows: Value | int,
) -> None:
    """Copy some columns of a number of rows so that they lie one after another."""
    with f.loop(0, rows) as k:
        for n, width in enumerate(group):
            start = f.binary("add", f.binary("mul", k, stride), n * lanes)
            some = f.load(f.at(matrix, start, kind), Vector(kind, width))
            if width < lanes:
                some = f.padded(some, lanes)
            place = f.binary("add", f.binary("mul", k, len(group) * lanes), n * lanes)
            f.store(some, f.at(memory, place, kind))


def turned(
    f: Function,
    kind: str,
    lanes: int,
    matrix: Value,
    across: int,
    to: Value,
    width: int,
    depth: int,
) -> None:
    """Copy as many columns as a vector has lanes. Each column is contiguous, so square blocks are
    transposed in registers."""
    form = Vector(kind, lanes)
    with f.loop(0, depth, lanes) as k:
        here = f.at(matrix, k, kind)
        columns = [f.load(f.at(here, j * across, kind), form) for j in range(lanes)]
        for n, row in enumerate(transposed(f, columns)):
            place = f.binary("mul", f.binary("add", k, n), width)
            f.store(row, f.at(to, place, kind))


def transposed(f: Function, rows: list[Value]) -> list[Value]:
    """A square block transposed, by exchanging halves, quarters and so on."""
    lanes = len(rows)
    size = 1
    while size < lanes:
        found = list(rows)
        low = [n if n // size % 2 == 0 else lanes + n - size for n in range(lanes)]
        high = [n + size if n // size % 2 == 0 else lanes + n for n in range(lanes)]
        for n in range(lanes):
            if n // size % 2 == 0:
                found[n] = f.shuffle(rows[n], rows[n + size], low)
                found[n + size] = f.shuffle(rows[n], rows[n + size], high)
        rows, size = found, 2 * size
    return rows


def one_by_one(
    f: Function,
    kind: str,
    lanes: int,
    count: int,
    matrix: Value,
    strides: tuple[int, int],
    to: Value,
    width: int,
    rows: tuple[int, int],
) -> None:
    """Copy some columns and rows entry by entry, and pad them with zeros."""
    down, across = strides
    with f.loop(*rows) as k:
        row = f.at(to, f.binary("mul", k, width), kind)
        start = f.at(matrix, f.binary("mul", k, down), kind)
        with f.loop(0, count) as j:
            entry = f.load(f.at(start, f.binary("mul", j, across), kind), Vector(kind))
            f.store(entry, f.at(row, j, kind))
        with f.loop(count, lanes) as j:
            f.store(constant(Vector(kind), 0.0), f.at(row, j, kind))
