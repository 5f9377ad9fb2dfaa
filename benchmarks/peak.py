"""The least time that the products of a training step can take on this processor: as many
multiplications and additions, fused, in registers alone, as fast as it can do them.

No program that makes the same products is faster, however it is written; what a program takes
beyond this is memory, elementwise work and calls.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import Any

from benchmarks.workloads import Problem

CHAINS = 10
"""So many sums run beside one another: the two units of a processor take four steps for each."""

TURNS = 100
"""Multiplications of each chain in a call."""


def multiplications(problem: Problem) -> int:
    """How many numbers are multiplied in all products of a training step: x W_xh, h W_hh, h W_hq;
    back through W_hh and W_hq; and those for the gradients of all three."""
    T, B, D = problem.xs.shape
    H, Q = problem.W_hq.shape
    width = problem.W_hh.shape[1]
    return T * B * (2 * D * width + 3 * H * width + 3 * H * Q)


def products_at_peak(problem: Problem) -> Callable[[], tuple[float, list[Any]]]:
    """A step that multiplies and adds as many numbers as the products do, and gives nothing."""
    run, numbers = machine_code()
    rounds = max(1, round(multiplications(problem) / numbers))

    def step() -> tuple[float, list[Any]]:
        run(rounds)
        return 0.0, []

    return step


def machine_code() -> tuple[Callable[[int], Any], int]:
    """A function that does so many rounds, and how many numbers it multiplies in each."""
    from tinygrad_rnn.compiler.backends.native import objects
    from tinygrad_rnn.compiler.backends.native.text import (
        INDEX,
        POINTER,
        Module,
        Value,
        Vector,
        constant as number,
    )
    from tinygrad_rnn.compiler.backends.native.tiles import sums_over

    lanes = objects.machine().lanes("float")
    vector = Vector("float", lanes)
    module = Module()
    f = module.function("run", [INDEX, POINTER], "i64", public=True)
    rounds, out = f.parameters
    start = f.load(out, vector)

    def turn(k: Value, u: int, sums: list[Value]) -> list[Value]:
        return [f.fma(s, number(vector, 0.999), number(vector, 1e-3)) for s in sums]

    count = f.binary("mul", rounds, TURNS)
    for total in sums_over(f, [start] * CHAINS, 0, count, 1, turn):
        f.store(f.binary("fadd", total, f.load(out, vector)), out)
    f.do("ret i64 0")
    library = objects.library(str(module))
    run = library.function("run", ctypes.c_int64, ctypes.c_void_p)
    memory = (ctypes.c_float * (4 * lanes))()
    return lambda n, library=library: run(n, memory), CHAINS * TURNS * lanes
