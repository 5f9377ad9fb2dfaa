"""Products of a few rows with a matrix that stays the same: its panels packed once, then used at
every step.

A tile is so many rows of the left factor times one panel; its sums stay in
registers and begin with zero or with what is to be added (beta = 1), so no second pass adds it.
With few rows the sums of even and odd k are kept apart, for one chain of additions would wait for
each of its links. The numbers of rows and registers are those of the processor, `objects.machine`.
"""

from __future__ import annotations

from collections.abc import Callable

from tinygrad_rnn.compiler.backends.native.objects import Machine
from tinygrad_rnn.compiler.backends.native.packing import panels
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
