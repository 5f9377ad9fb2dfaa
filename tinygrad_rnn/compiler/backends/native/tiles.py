"""Tiles: a few rows of a product times one panel, with the sums in registers.

The sums begin with zero or with the addend, so no second pass adds it. With few rows the sums of
even and odd k are separate, because one chain of additions would be limited by its latency. The
numbers of rows and registers are those of the processor, `objects.machine`.
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

CHAINS = 8
"""The fewest sums that run in parallel: two units, each with a latency of four cycles."""


LINE = 64
"""The size of a cache line in bytes."""

AHEAD = 20
"""So many k ahead, the entries of the left factor are fetched into the L1 cache where each k has a
cache line of its own."""


def tile(
    module: Module,
    kind: str,
    lanes: int,
    rows: int,
    group: list[int],
    adds: bool = True,
    padded: bool = True,
    ahead: str = "",
) -> str:
    """A function (left, its strides, right, its stride, result, its stride, addend, its stride,
    depth) for a number of rows and one panel.

    The entry (r, k) of the left factor is at r and k times its strides. The rows of the right
    factor, of the result and of the addend are at multiples of their strides.

    group: the number of columns in each vector of a panel. adds: whether there is an addend.
        padded: whether the right factor has entries behind the last column. ahead: what each
        k fetches into the cache. "left": the entries of the left factor for a later k. "more": a
        cache line of data that is needed later; their address is one more parameter.
    """
    shape = f"{rows}_{'_'.join(map(str, group))}"
    name = f"tile_{kind}_{shape}{'_add' * adds}{'_padded' * padded}{ahead and '_'}{ahead}"
    if name in module.functions:
        return name
    types = [POINTER, INDEX, INDEX, POINTER, INDEX, POINTER, INDEX, POINTER, INDEX, INDEX]
    types += [POINTER] * (ahead == "more")
    f = module.function(name, types, apart=rows > 1)
    left, down, across, right, stride, out, out_stride, added, added_stride, depth, *later = (
        f.parameters
    )
    vector = Vector(kind, lanes)
    starts = [f.at(left, f.binary("mul", down, r), kind) for r in range(rows)]
    zero = constant(vector, 0.0)
    next_a = f.binary("mul nsw", across, AHEAD)
    begins = []
    for r in range(rows):
        at = f.at(added, f.binary("mul", added_stride, r), kind) if adds else added
        for n, count in enumerate(group):
            begins.append(loaded(f, f.at(at, n * lanes, kind), vector, count) if adds else zero)

    def step(k: Value, u: int, sums: list[Value]) -> list[Value]:
        """Emit the step for one more k."""
        a = f.binary("mul nsw", k, across)
        row = f.at(right, f.binary("mul nsw", k, stride), kind)
        vectors = [
            loaded(f, f.at(row, n * lanes, kind), vector, lanes if padded else count)
            for n, count in enumerate(group)
        ]
        found = list(sums)
        if ahead == "left":
            f.prefetch(f.at(left, f.binary("add nsw", a, next_a), kind), near=True)
        elif ahead:
            f.prefetch(f.at(later[0], f.binary("mul nsw", k, LINE), "i8"))
        for r in range(rows):
            factor = f.spread(f.load(f.at(starts[r], a, kind), Vector(kind)), lanes)
            for n, other in enumerate(vectors):
                place = u * len(begins) + r * len(group) + n
                found[place] = f.fma(factor, other, sums[place])
        return found

    apart = -(-CHAINS // len(begins))
    zeros = [zero] * (len(begins) * (apart - 1))
    main = f.binary("mul", f.binary("sdiv", depth, apart), apart) if apart > 1 else depth
    sums = added_up(f, sums_over(f, begins + zeros, 0, main, apart, step), len(begins))
    if apart > 1:
        sums = sums_over(f, sums, main, depth, 1, step)
    keep(f, sums, out, out_stride, group)
    f.do("ret void")
    return name


def loaded(f: Function, at: Value, vector: Vector, count: int) -> Value:
    """A vector of which only some lanes are loaded. The others are undefined."""
    some = f.load(at, Vector(vector.kind, count))
    return some if count == vector.lanes else f.lanes(some, 0, vector.lanes)


def in_tiles(
    f: Function,
    machine: Machine,
    rows: Value,
    tiles: Callable[[Value, int], None],
    most: int | None = None,
) -> None:
    """Emit as many of the largest tiles as possible, and the remaining rows in smaller tiles.

    most: the most rows that there can be.
    """
    done = constant(INDEX, 0)
    for count in (machine.rows, *(n for n in (4, 2, 1) if n < machine.rows)):
        if most is not None and count > most:
            continue
        more = f.binary("sdiv", f.binary("sub", rows, done), count)
        end = f.binary("add", done, f.binary("mul", more, count))
        with f.loop(done, end, count) as row:
            tiles(row, count)
        done = end


def added_up(f: Function, sums: list[Value], count: int) -> list[Value]:
    """The total of the separate sums of each entry."""
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


def sums_over(
    f: Function,
    begins: list[Value],
    start: Value | int,
    stop: Value | int,
    at_once: int,
    step: Callable[[Value, int, list[Value]], list[Value]],
) -> list[Value]:
    """Sums carried in registers through a loop over k, with several k in each iteration."""
    with f.carrying(start, stop, at_once, begins) as (k, sums, found):
        for u in range(at_once):
            found[:] = step(f.binary("add nsw", k, u) if u else k, u, found)
    return sums
