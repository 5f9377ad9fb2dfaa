"""Links: the calls from a program to its machine code. Addresses are looked up once. Several
threads can run parts of the batch."""

from __future__ import annotations

import ctypes
import functools
import itertools
import os
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from typing import Any

import numpy as np

from tinygrad_rnn.compiler import operations
from tinygrad_rnn.compiler.backends.native.arguments import OBJECTS, Arguments
from tinygrad_rnn.compiler.backends.native.loops import (
    AT_CALL,
    AT_STEP,
    RESULTS,
    ROOTS,
    STEPS,
    Form,
    Part,
)
from tinygrad_rnn.compiler.backends.native.nests import Packed
from tinygrad_rnn.compiler.backends.native.objects import Library
from tinygrad_rnn.compiler.backends.native.results import HELD, Results
from tinygrad_rnn.compiler.ir import Buffer, Ref
from tinygrad_rnn.compiler.operations import aligned

TYPES = {
    Form.WHOLE: (ctypes.c_void_p,),
    Form.STEP: (ctypes.c_void_p, ctypes.c_int64),
    Form.DIVIDED: (ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64),
}
"""The arguments of the functions in machine code."""


def called(run: Callable[..., Any], *given: Any) -> Any:
    """Run machine code on the buffers that it knows and on the given arrays. Return its results."""
    return run(*given)


def called_at(run: Callable[..., None], step: int, *given: Any) -> None:
    """The same for one step of a loop."""
    run(step, *given)


@dataclass(frozen=True, eq=False)
class Link:
    """A link makes the function that calls a run, for one set of buffers.

    name: the name of the run. roots: the arrays of the machine code, in the order of its table.
        buffers: the arrays of the program, known now. given: the arrays of each call. changing: the
        arrays of each step, for a run that is called at each step of a loop. optional: the arrays
        for which a call may pass the number 0. returned: the arrays that a call returns. parts: the
        functions, in their order. labels: the label arrays to check, with the number of classes of
        each.
    """

    name: str
    roots: tuple[Buffer | Packed, ...]
    buffers: tuple[Buffer, ...]
    given: tuple[Buffer, ...]
    changing: tuple[Buffer, ...]
    optional: frozenset[Buffer]
    returned: tuple[Buffer, ...]
    parts: tuple[Part, ...]
    labels: tuple[tuple[Ref, int], ...]
    library: Library
    threads: int

    @property
    def __name__(self) -> str:
        return f"link_{self.name}"

    def __call__(self, steps: int, *arrays: Any) -> Any:
        """A function of the given arrays. For a run of each step, also a function of the step and
        the changing arrays."""
        have: dict[Any, Any] = dict(zip(self.buffers, arrays, strict=True))
        have |= {p: aligned((p.size,), p.dtype) for p in self.roots if isinstance(p, Packed)}
        table = (ctypes.c_size_t * (ROOTS + len(self.roots)))()
        table[STEPS] = steps
        for n, root in enumerate(self.roots, ROOTS):
            if root in have:
                table[n] = have[root].ctypes.data
        at_call, at_step = self.arguments(self.given), self.arguments(self.changing)
        results = Results(self.returned, self.places(self.returned))
        table[AT_CALL], table[AT_STEP] = at_call.address, at_step.address
        table[RESULTS] = results.address
        start = ctypes.c_void_p(ctypes.addressof(table))  # converted once: half of a call's price
        functions = [(self.library.function(p.name, *TYPES[p.form]), p.form) for p in self.parts]
        of_step: Any = functions.pop()[0] if functions[-1][1] is Form.STEP else None
        whole = functions[0][0] if len(functions) == 1 else Divided(functions, self.threads)

        def run(*given: Any, keeps: Any = (have, table, self.library)) -> tuple[Any, ...]:
            at_call.list[OBJECTS] = id(given)
            failed: int = whole(start)
            if not failed:
                return results.arrays
            if failed > 0:
                self.complain(have | dict(zip(self.given, given, strict=True)), steps, range(steps))
            if failed == HELD:
                results.renew()
            else:
                given = at_call.accepted(given, failed)
                if of_step is not None:  # the steps read the copy
                    have.update(zip(self.given, given, strict=True))
            return run(*given)

        def begin(*given: Any) -> tuple[Any, ...]:
            if self.labels:
                have.update(zip(self.given, given, strict=True))
            return run(*given)

        def step(t: int, *given: Any) -> None:
            at_step.list[OBJECTS] = id(given)
            failed: int = of_step(start, t)
            if failed > 0:
                self.complain(have | dict(zip(self.changing, given, strict=True)), steps, [t])
            if failed < 0:
                step(t, *at_step.accepted(given, failed))

        return run if of_step is None else (begin, step)

    def places(self, buffers: tuple[Buffer, ...]) -> list[int]:
        """The places of arrays in the table."""
        return [ROOTS + self.roots.index(b) for b in buffers]

    def arguments(self, buffers: tuple[Buffer, ...]) -> Arguments:
        """The list of the arrays of a call."""
        zeros = [np.zeros(b.shape, b.dtype) if b in self.optional else None for b in buffers]
        return Arguments(self.places(buffers), [b.dtype for b in buffers], zeros)

    def complain(self, arrays: Mapping[Any, Any], steps: int, at: Iterable[int]) -> None:
        """Run NumPy's form of the instructions on labels. One of them raises the error.

        arrays: the arrays by their buffers. at: the steps that have been run.
        """
        for (ref, classes), t in itertools.product(self.labels, at):
            labels = ref.of(arrays[ref.buffer.root], steps, t)
            logits = np.zeros((*labels.shape, classes))
            operations.cross_entropies(logits, labels, np.ones(classes))
        # Unless another thread has changed the label meanwhile, this is not reached.
        raise ValueError("a label is none of the classes")  # pragma: no cover


class Divided:
    """Functions that run one after the other. Where possible, each is divided among threads.

    Each part runs through all steps independently. The results of a part do not depend on the
    number of parts, so the numbers are those of one thread.
    """

    def __init__(self, functions: list[tuple[Any, Form]], threads: int) -> None:
        self.functions, self.threads = functions, threads

    def __call__(self, table: Any) -> int:
        failed = 0
        for function, form in self.functions:
            if form is Form.WHOLE:
                failed |= function(table)
                if failed < 0:  # an argument was not accepted
                    break
                continue
            others = [
                pool(self.threads - 1).submit(function, table, n, self.threads)
                for n in range(1, self.threads)
            ]
            try:
                failed |= function(table, 0, self.threads)
            finally:
                finish(others)
            for other in others:
                failed |= other.result()
        return failed


def finish(parts: list[Future[int]]) -> None:
    """Wait for all parts, also after Ctrl-C: the arrays must live as long as a part uses them."""
    try:
        wait(parts)
    finally:
        if not all(part.done() for part in parts):
            finish(parts)


@functools.cache
def pool(workers: int) -> ThreadPoolExecutor:
    """The pool of threads for the parts of a batch."""
    return ThreadPoolExecutor(workers, thread_name_prefix="tinygrad_rnn")


if hasattr(os, "register_at_fork"):  # a forked process has none of the threads
    os.register_at_fork(after_in_child=pool.cache_clear)
