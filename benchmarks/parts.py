"""Where the time of a training step goes: `python -m benchmarks.parts`.

For a single sequence: what of a `scan` is its program of NumPy calls, and what stands around it.
For an LSTM: what the matrix products take by themselves, which no program in NumPy can do without.
"""

from __future__ import annotations

import argparse
import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # before NumPy is imported
os.environ.pop("OPENBLAS_CORETYPE", None)  # the kernels of this processor
os.environ.pop("OPENBLAS_L2_SIZE", None)

import statistics
import time
import timeit
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import trange

import tinygrad_rnn as tg
from benchmarks.peers import bptt, by_hand, own, training
from benchmarks.workloads import problem
from tinygrad_rnn.compiler.runtime.workspace import Workspace

STEPS, ROUNDS = 2000, 21


@contextmanager
def at_the_doors() -> Iterator[list[float]]:
    """The seconds that each call of a program takes, forward and backward, inside the block."""
    inside: list[float] = []

    def timed(function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any) -> Any:
            start = time.perf_counter()
            result = function(*args)
            inside.append(time.perf_counter() - start)
            return result

        return call

    forward, backward = Workspace.forward, Workspace.backward
    Workspace.forward, Workspace.backward = timed(forward), timed(backward)  # type: ignore[method-assign]
    try:
        yield inside
    finally:
        Workspace.forward, Workspace.backward = forward, backward  # type: ignore[method-assign]


def parts_of_scan(workload: str, steps: int) -> dict[str, float]:
    """The medians, in seconds, of the parts of one training step, one after the other."""
    given = problem(workload)
    cell, state, parameters, _ = own(given)
    *_, W_hq, b_q = parameters
    rows: list[list[float]] = []
    with at_the_doors() as inside:
        for _ in trange(steps, desc=f"scan, {workload}"):
            inside.clear()
            for parameter in parameters:
                parameter.grad = None
            clock = [time.perf_counter()]
            states, _ = tg.scan(cell, given.xs, state)
            clock.append(time.perf_counter())
            loss = tg.cross_entropy(states @ W_hq + b_q, given.labels)
            clock.append(time.perf_counter())
            loss.backward()
            clock.append(time.perf_counter())
            whole = np.diff(clock)
            there, back = inside
            rows.append([there, whole[0] - there, whole[1], back, whole[2] - back])
    names = (
        "the program forward",
        "around it: the cell checked, the node made",
        "output layer and loss",
        "the program backward",
        "the rest of backward",
    )
    return medians(names, rows)


def parts_of_bptt(workload: str, steps: int, backend: str = "numpy") -> dict[str, float]:
    """The same of a BPTT, whose programs have the loss in them."""
    step = bptt(problem(workload), backend=backend)
    rows: list[list[float]] = []
    with at_the_doors() as inside:
        for _ in trange(steps, desc=f"BPTT, {backend}, {workload}"):
            inside.clear()
            start = time.perf_counter()
            step()
            rows.append([*inside, time.perf_counter() - start - sum(inside)])
    names = (
        "the program forward",
        "the program backward",
        "around them: inputs, state and model checked, gradients added",
    )
    return medians(names, rows)


def python_around(workload: str, rounds: int, calls: int = 500) -> dict[str, float]:
    """The seconds of a training step in machine code, and of all Python around it, which is the
    rest of the step. No clock is read within the step."""
    machine_code = seconds_of_machine_code(workload, rounds, calls)
    train, _ = training(problem(workload), backend="native")
    whole = seconds_of_call(train, rounds, calls)
    return {"its machine code alone": machine_code, "all Python around it": whole - machine_code}


def seconds_of_machine_code(workload: str, rounds: int, calls: int) -> float:
    """The seconds that the functions of a training step take if each is called again and again, on
    the arrays of the step."""
    from tinygrad_rnn.compiler.backends.native.objects import Library

    taken: list[float] = []
    function = Library.function

    def repeated(library: Any, name: str, *types: Any) -> Callable[..., Any]:
        compiled = function(library, name, *types)

        def call(*args: Any) -> Any:
            taken.append(seconds_of_call(partial(compiled, *args), rounds, calls))
            return compiled(*args)

        return call

    tg.clear_programs()  # the functions are looked up when a program is made
    Library.function = repeated  # type: ignore[method-assign]
    try:
        bptt(problem(workload), backend="native")()
    finally:
        Library.function = function  # type: ignore[method-assign]
        tg.clear_programs()
    return sum(taken)


def seconds_of_call(call: Callable[[], Any], rounds: int, calls: int) -> float:
    """The median over some rounds of the mean over some calls."""
    call()
    return statistics.median(timeit.repeat(call, repeat=rounds, number=calls)) / calls


def medians(names: Sequence[str], rows: list[list[float]]) -> dict[str, float]:
    return dict(zip(names, map(statistics.median, zip(*rows, strict=True)), strict=True))


def products_of_lstm(workload: str) -> float:
    """The seconds that the five products of an LSTM's training step take, and nothing else."""
    given = problem(workload)
    T, B, D = given.xs.shape
    H, width = given.W_hh.shape
    x = given.xs.reshape(T * B, D)
    h, gates = np.ones((T, B, H), x.dtype), np.ones((T, B, width), x.dtype)
    h_rows, gate_rows = h.reshape(T * B, H), gates.reshape(T * B, width)
    W_T = np.ascontiguousarray(given.W_hh.T)
    forward, back = np.empty((B, width), x.dtype), np.empty((B, H), x.dtype)

    def step() -> None:
        x @ given.W_xh
        for t in range(T):
            np.matmul(h[t], given.W_hh, forward)
        for t in range(T):
            np.matmul(gates[t], W_T, back)
        h_rows.T @ gate_rows
        x.T @ gate_rows

    return median_of(step)


def median_of(step: Callable[[], Any], rounds: int = 21) -> float:
    taken = []
    for _ in range(rounds):
        start = time.perf_counter()
        step()
        taken.append(time.perf_counter() - start)
    return statistics.median(taken)


WORKLOADS = ("tiny", "long")


def table_of_steps() -> str:
    """The parts of a step in µs, one column for each workload, as a table in Markdown."""
    columns: list[dict[str, float]] = []
    for workload in WORKLOADS:
        steps = STEPS if workload == "tiny" else STEPS // 20
        column = {}
        taken_apart: dict[str, Callable[[str, int], dict[str, float]]]
        taken_apart = {"scan": parts_of_scan, "BPTT": parts_of_bptt}
        if find_spec("llvmlite"):
            taken_apart["BPTT, native"] = partial(parts_of_bptt, backend="native")
        for what, take_apart in taken_apart.items():
            parts = take_apart(workload, steps)
            parts["all of it"] = sum(parts.values())
            if what == "BPTT, native":
                parts |= python_around(workload, ROUNDS)
            column |= {f"{what}: {name}": seconds for name, seconds in parts.items()}
        column["by hand: all of it"] = median_of(by_hand(problem(workload)), 201)
        columns.append(column)
    rows = [(name, *(f"{column[name] * 1e6:.0f}" for column in columns)) for name in columns[0]]
    return markdown(("µs", *WORKLOADS), rows)


def table_of_products() -> str:
    """The products of an LSTM's step beside the whole step, in ms, as a table in Markdown."""
    rows = []
    for workload in ("lstm char", "lstm medium"):
        taken = products_of_lstm(workload), median_of(bptt(problem(workload)))
        rows.append((workload, *(f"{seconds * 1e3:.1f}" for seconds in taken)))
    return markdown(("ms", "its five products", "BPTT: all of it"), rows)


def markdown(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---", *["--:"] * (len(head) - 1)], *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.parts", description=__doc__)
    parser.add_argument("--write", type=Path, metavar="DIR", help="also write parts.md there")
    options = parser.parse_args()
    text = f"{table_of_steps()}\n{table_of_products()}"
    print(text)
    if options.write:
        (options.write / "parts.md").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
