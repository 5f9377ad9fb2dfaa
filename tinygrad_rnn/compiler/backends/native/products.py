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


PANELS_OF_A_ROW = 4
"""So many panels are gone through together for a single row: eight sums run beside one another."""

NEAREST = 1 << 15
"""Bytes of the nearest cache: panels that are no longer than this together are gone through so."""


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


def pack(
    module: Module, kind: str, machine: Machine, depth: int, columns: int, in_rows: bool = False
) -> str:
    """A function (matrix, its two strides in entries, where to) that packs a matrix. in_rows:
    whether the entries of a row stand beside one another."""
    name = f"pack_{kind}_{depth}_{columns}{'_in_rows' * in_rows}"
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
        if in_rows:
            beside(f, kind, lanes, group, f.at(matrix, column, kind), down, to, depth)
            return
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
    """Copy some columns of so many rows to where they stand one after the other."""
    with f.loop(0, rows) as k:
        for n, width in enumerate(group):
            start = f.binary("add", f.binary("mul", k, stride), n * lanes)
            some = f.load(f.at(matrix, start, kind), Vector(kind, width))
            if width < lanes:
                some = f.padded(some, lanes)
            place = f.binary("add", f.binary("mul", k, len(group) * lanes), n * lanes)
            f.store(some, f.at(memory, place, kind))


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
        """One panel with all rows: it stays in the nearest cache while they go by."""
        column = f.binary("mul", at, 2 * lanes) if isinstance(at, Value) else at * 2 * lanes
        start = f.binary("mul", column, depth) if isinstance(column, Value) else column * depth
        here = f.at(packed, start, kind)

        def rows_of(row: Value, count: int) -> None:
            inner = tile(module, kind, lanes, depth, count, group, adds, together)
            c = f.at(f.at(out, f.binary("mul", row, out_stride), kind), column, kind)
            b = added
            if adds:
                b = f.at(f.at(added, f.binary("mul", row, added_stride), kind), column, kind)
            a = f.at(left, f.binary("mul", row, left_stride), kind)
            given = [a, left_stride, here, c, out_stride, b, added_stride]
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


def in_tiles(
    f: Function, machine: Machine, rows: Value, tiles: Callable[[Value, int], None]
) -> None:
    """As many of the largest tiles as there are, then what is left in smaller ones."""
    done = constant(INDEX, 0)
    for count in (machine.rows, *(n for n in (4, 2, 1) if n < machine.rows)):
        more = f.binary("sdiv", f.binary("sub", rows, done), count)
        end = f.binary("add", done, f.binary("mul", more, count))
        with f.loop(done, end, count) as row:
            tiles(row, count)
        done = end


def tile(
    module: Module,
    kind: str,
    lanes: int,
    depth: int,
    rows: int,
    group: list[int],
    adds: bool,
    panels: int = 1,
) -> str:
    """A function (left, its stride, panel, result, its stride, what is added, its stride) for so
    many rows and one panel, or several."""
    shape = f"{depth}_{rows}_{'_'.join(map(str, group))}_{panels}"
    name = f"tile_{kind}_{shape}{'_add' * adds}"
    if name in module.functions:
        return name
    types = [POINTER, INDEX, POINTER, POINTER, INDEX, POINTER, INDEX]
    f = module.function(name, types, apart=True)
    left, left_stride, panel, out, out_stride, added, added_stride = f.parameters
    vector = Vector(kind, lanes)
    width = lanes * len(group)
    group = group * panels
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
        places = [divmod(n * lanes, width) for n in range(len(group))]  # panel, and column in it
        vectors = [
            f.load(f.at(panel, f.binary("add nsw", at, n * width * depth + j), kind), vector)
            for n, j in places
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
    sums = sums_over(f, begins, 0, main, apart, step)
    for k in range(main, depth):
        sums = step(constant(INDEX, k), k - main, sums)
    keep(f, added_up(f, sums, len(first)), out, out_stride, group)
    f.do("ret void")
    return name


def added_up(f: Function, sums: list[Value], count: int) -> list[Value]:
    """Sums of one entry that were kept apart, as one."""
    while len(sums) > count:
        half = len(sums) // count // 2 * count or count
        rest = len(sums) - half
        sums = [
            f.binary("fadd", sums[n], sums[n + rest]) if n + rest < len(sums) else sums[n]
            for n in range(rest)
        ]
    return sums


def keep(f: Function, sums: list[Value], out: Value, stride: Value, group: list[int]) -> None:
    """Write the sums of a tile to memory."""
    kind, lanes = sums[0].type
    for r in range(len(sums) // len(group)):
        at = f.at(out, f.binary("mul", stride, r), kind)
        for n, count in enumerate(group):
            total = f.lanes(sums[r * len(group) + n], 0, count)
            f.store(total, f.at(at, n * lanes, kind))


def widened(f: Function, value: Value, lanes: int) -> Value:
    """The same in more lanes, those that are new undefined."""
    return value if value.type.lanes == lanes else f.lanes(value, 0, lanes)


def sums_over(
    f: Function,
    begins: list[Value],
    start: Value | int,
    stop: Value | int,
    at_once: int,
    step: Callable[[Value, int, list[Value]], list[Value]],
) -> list[Value]:
    """Sums carried in registers through a loop over k, so many k in each turn."""
    start = start if isinstance(start, Value) else constant(INDEX, start)
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
    for u in range(at_once):
        found = step(f.binary("add nsw", index, u) if u else index, u, found)
    following = f.binary("add nsw", index, at_once)
    pairs = zip([index, *sums], [start, *begins], [following, *found], strict=True)
    for n, (value, first, last) in enumerate(pairs):
        f.lines[place + n] = (
            f"  {value.name} = phi {value.type} [ {first.name}, %{before} ], "
            f"[ {last.name}, %{f.block} ]"
        )
    f.jump(head)
    f.begin(end)
    return sums
