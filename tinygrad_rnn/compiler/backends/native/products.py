"""Products of a few rows with a matrix that stays the same: its panels packed once, then used at
every step.

A panel has the width of two vector registers, padded with zeros, its rows one after another:
[panel][k][width]. A tile is so many rows of the left factor times one panel; its sums stay in
registers and begin with zero or with what is to be added (beta = 1), so no second pass adds it.
With few rows the sums of even and odd k are kept apart, for one chain of additions would wait for
each of its links. The numbers of rows and registers are those of the processor, `objects.machine`.
"""

from __future__ import annotations

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

LARGEST = 1 << 19
"""A product for all steps at once is done here if its matrix has at most so many entries, and then
stays near the processor while the rows go by; with a larger one it is NumPy's, whose BLAS goes
through both factors in blocks. A matrix that is used at every step of a loop is always packed."""


def panels(columns: int, lanes: int) -> list[list[int]]:
    """For each panel, how many columns stand in each of its vectors.

    >>> panels(70, 16)
    [[16, 16], [16, 16], [6]]
    """
    widths = [min(lanes, columns - start) for start in range(0, columns, lanes)]
    return [widths[n : n + 2] for n in range(0, len(widths), 2)]


def packed_size(depth: int, columns: int, lanes: int) -> int:
    """How many numbers a packed matrix has."""
    return depth * lanes * -(-columns // lanes)


def pack(module: Module, kind: str, machine: Machine, depth: int, columns: int) -> str:
    """A function (matrix, its two strides in entries, where to) that packs a matrix."""
    name = f"pack_{kind}_{depth}_{columns}"
    if name in module.functions:
        return name
    lanes = machine.lanes(kind)
    f = module.function(name, [POINTER, INDEX, INDEX, POINTER])
    matrix, down, across, into = f.parameters
    scalar = Vector(kind)
    groups = panels(columns, lanes)
    full = sum(sum(group) == 2 * lanes for group in groups)

    def panel(column: Value, to: Value, group: list[int]) -> None:
        width, count = lanes * len(group), sum(group)
        # In blocks, for one of the two is far apart where it is read.
        with f.loop(0, depth, 16) as k0:
            end = f.binary("add", k0, 16)
            end = f.select(f.compare("slt", end, depth), end, constant(INDEX, depth))
            with f.loop(0, count) as j, f.loop(k0, end) as k:
                at = f.binary("mul", k, down)
                at = f.binary("add", at, f.binary("mul", f.binary("add", column, j), across))
                entry = f.load(f.at(matrix, at, kind), scalar)
                f.store(entry, f.at(to, f.binary("add", f.binary("mul", k, width), j), kind))
        if count < width:
            with f.loop(0, depth) as k, f.loop(count, width) as j:
                place = f.binary("add", f.binary("mul", k, width), j)
                f.store(constant(scalar, 0.0), f.at(to, place, kind))

    if full:
        with f.loop(0, full) as n:
            start = f.binary("mul", n, 2 * lanes * depth)
            panel(f.binary("mul", n, 2 * lanes), f.at(into, start, kind), groups[0])
    if full < len(groups):
        last = constant(INDEX, 2 * lanes * full)
        panel(last, f.at(into, 2 * lanes * full * depth, kind), groups[-1])
    f.do("ret void")
    return name


def product(
    module: Module, kind: str, machine: Machine, depth: int, columns: int, adds: bool
) -> str:
    """A function (left, its stride, packed matrix, result, its stride, what is added, its stride,
    rows) that multiplies so many rows with a packed matrix. Strides are those of rows."""
    name = f"product_{kind}_{depth}_{columns}{'_add' * adds}"
    if name in module.functions:
        return name
    lanes = machine.lanes(kind)
    types = [POINTER, INDEX, POINTER, POINTER, INDEX, POINTER, INDEX, INDEX]
    f = module.function(name, types)
    left, left_stride, packed, out, out_stride, added, added_stride, rows = f.parameters
    groups = panels(columns, lanes)
    full = sum(sum(group) == 2 * lanes for group in groups)

    def tiles(row: Value, count: int) -> None:
        """So many rows from this row on, with every panel."""
        a = f.at(left, f.binary("mul", row, left_stride), kind)
        c = f.at(out, f.binary("mul", row, out_stride), kind)
        b = f.at(added, f.binary("mul", row, added_stride), kind) if adds else added

        def call(at: Value | int, group: list[int]) -> None:
            column = f.binary("mul", at, 2 * lanes) if isinstance(at, Value) else at * 2 * lanes
            start = f.binary("mul", column, depth) if isinstance(column, Value) else column * depth
            inner = tile(module, kind, lanes, depth, count, group, adds)
            given = [
                a,
                left_stride,
                f.at(packed, start, kind),
                f.at(c, column, kind),
                out_stride,
                f.at(b, column, kind) if adds else b,
                added_stride,
            ]
            f.do(f"call void @{inner}({', '.join(map(str, given))})")

        if full:
            with f.loop(0, full) as n:
                call(n, groups[0])
        if full < len(groups):
            call(full, groups[-1])

    # As many of the largest tiles as there are, then what is left in smaller ones.
    sizes = [machine.rows, *(n for n in (4, 2, 1) if n < machine.rows)]
    most = f.binary("sdiv", rows, sizes[0])
    whole = f.binary("mul", most, sizes[0])
    with f.loop(0, whole, sizes[0]) as row:
        tiles(row, sizes[0])
    done = whole
    for count in sizes[1:]:
        left_over = f.binary("sub", rows, done)
        more = f.binary("sdiv", left_over, count)
        end = f.binary("add", done, f.binary("mul", more, count))
        with f.loop(done, end, count) as row:
            tiles(row, count)
        done = end
    f.do("ret void")
    return name


def tile(
    module: Module, kind: str, lanes: int, depth: int, rows: int, group: list[int], adds: bool
) -> str:
    """A function (left, its stride, panel, result, its stride, what is added, its stride) for so
    many rows and one panel."""
    name = f"tile_{kind}_{depth}_{rows}_{'_'.join(map(str, group))}{'_add' * adds}"
    if name in module.functions:
        return name
    f = module.function(name, [POINTER, INDEX, POINTER, POINTER, INDEX, POINTER, INDEX])
    left, left_stride, panel, out, out_stride, added, added_stride = f.parameters
    vector = Vector(kind, lanes)
    width = lanes * len(group)
    apart = max(1, 8 // (rows * len(group)))  # sums of one entry, so that eight chains run
    apart = min(apart, depth)
    starts = [f.at(left, f.binary("mul", left_stride, r), kind) for r in range(rows)]
    first = []
    for r in range(rows):
        at = f.at(added, f.binary("mul", added_stride, r), kind) if adds else added
        for n, count in enumerate(group):
            if adds:
                some = f.load(f.at(at, n * lanes, kind), Vector(kind, count))
                first.append(widened(f, some, lanes))
            else:
                first.append(constant(vector, 0.0))
    zero = constant(vector, 0.0)
    begins = first + [zero] * (len(first) * (apart - 1))

    def step(k: Value, u: int, sums: list[Value]) -> list[Value]:
        """One k more."""
        at = f.binary("mul nsw", k, width)
        vectors = [
            f.load(f.at(panel, f.binary("add nsw", at, n * lanes), kind), vector)
            for n in range(len(group))
        ]
        found = list(sums)
        base = u * len(first)
        for r in range(rows):
            a = f.spread(f.load(f.at(starts[r], k, kind), Vector(kind)), lanes)
            for n, b in enumerate(vectors):
                place = base + r * len(group) + n
                found[place] = f.fma(a, b, sums[place])
        return found

    main = depth // apart * apart
    sums = sums_over(f, begins, main, apart, step)
    for k in range(main, depth):
        sums = step(constant(INDEX, k), k - main, sums)
    while len(sums) > len(first):
        half = len(sums) // len(first) // 2 * len(first) or len(first)
        rest = len(sums) - half
        low = [
            f.binary("fadd", sums[n], sums[n + rest]) if n + rest < len(sums) else sums[n]
            for n in range(rest)
        ]
        sums = low
    for r in range(rows):
        at = f.at(out, f.binary("mul", out_stride, r), kind)
        for n, count in enumerate(group):
            total = f.lanes(sums[r * len(group) + n], 0, count)
            f.store(total, f.at(at, n * lanes, kind))
    f.do("ret void")
    return name


def widened(f: Function, value: Value, lanes: int) -> Value:
    """The same in more lanes, those that are new undefined."""
    return value if value.type.lanes == lanes else f.lanes(value, 0, lanes)


def sums_over(
    f: Function,
    begins: list[Value],
    stop: int,
    apart: int,
    step: Callable[[Value, int, list[Value]], list[Value]],
) -> list[Value]:
    """Sums carried in registers through a loop over k."""
    head, body, end = (f.fresh(s) for s in ("head", "body", "end"))
    before = f.block
    f.jump(head)
    f.begin(head)
    index = Value(INDEX, f.fresh("%k"))
    sums = [Value(v.type, f.fresh("%s")) for v in begins]
    place = len(f.lines)
    f.lines += [""] * (len(sums) + 1)
    f.branch(f.compare("slt", index, stop), body, end)
    f.begin(body)
    found = list(sums)
    for u in range(apart):
        found = step(f.binary("add nsw", index, u) if u else index, u, found)
    following = f.binary("add nsw", index, apart)
    pairs = zip([index, *sums], [constant(INDEX, 0), *begins], [following, *found], strict=True)
    for n, (value, first, last) in enumerate(pairs):
        f.lines[place + n] = (
            f"  {value.name} = phi {value.type} [ {first.name}, %{before} ], "
            f"[ {last.name}, %{f.block} ]"
        )
    f.jump(head)
    f.begin(end)
    return sums
