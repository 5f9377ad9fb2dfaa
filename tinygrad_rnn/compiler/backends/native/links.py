"""Links: the calls from a program to its machine code. Addresses are looked up once. Several
threads can run parts of the batch."""

from __future__ import annotations

import ctypes
import functools
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np

from tinygrad_rnn.compiler import operations
from tinygrad_rnn.compiler.backends.native.memory import address, aligned
from tinygrad_rnn.compiler.backends.native.nests import Packed
from tinygrad_rnn.compiler.backends.native.objects import Library
from tinygrad_rnn.compiler.ir import Buffer, Ref, Storage

TYPES = (ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64, ctypes.c_int64)


def called(run: Callable[..., int], *given: Any) -> int:
    """Run machine code on the buffers that it knows and on the given arrays."""
    return run(*given)


def called_at(run: Callable[..., int], step: int, *given: Any) -> int:
    """The same for one step of a loop."""
    return run(step, *given)


@dataclass(frozen=True, eq=False)
class Link:
    """A link makes the function that calls a run, for one set of buffers.

    name: the name of the run. roots: the arrays of the machine code, in the order of its table.
        buffers: the arrays of the program, known now. given: the arrays of each call. changing: the
        arrays of each step, for a run that is called at each step of a loop. parts: the names of
        the functions, and whether each can be divided among threads; for a run of each step the
        last function does one step. labels: the label arrays to check, with the number of classes
        of each.
    """

    name: str
    roots: tuple[Buffer | Packed, ...]
    buffers: tuple[Buffer, ...]
    given: tuple[Buffer, ...]
    changing: tuple[Buffer, ...]
    each_step: bool
    parts: tuple[tuple[str, bool], ...]
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
        have |= {p: aligned(p.size, p.dtype) for p in self.roots if isinstance(p, Packed)}
        table = (ctypes.c_size_t * len(self.roots))()
        for n, root in enumerate(self.roots):
            if root in have:
                table[n] = address(have[root])
        functions = [(self.library.function(name, *TYPES), divided) for name, divided in self.parts]
        start = ctypes.c_void_p(ctypes.addressof(table))
        every = functions[:-1] if self.each_step else functions
        function = every[0][0] if len(every) == 1 else Divided(every, self.threads)
        places = [(self.roots.index(b), b.dtype) for b in self.given]
        kept: list[Any] = [None] * len(places)
        # Converted once: this is half of what a call costs.
        count, first, one = (ctypes.c_int64(n) for n in (steps, 0, 1))

        def run(*given: Any, keeps: Any = (have, self.library)) -> int:
            for n, array in enumerate(given):
                if array is kept[n]:  # its address is known, and cannot change while it is held
                    continue
                place, dtype = places[n]
                made = np.ascontiguousarray(array, dtype)
                table[place] = address(made)
                kept[n] = made
            failed: int = function(start, count, first, one)
            if failed:
                self.complain(kept)
            return failed

        if not self.each_step:
            return run
        return run, self.of_a_step(functions[-1][0], table, start, steps)

    def of_a_step(self, function: Any, table: Any, start: Any, steps: int) -> Callable[..., int]:
        if not self.changing:
            return lambda t: function(start, steps, t, 1)
        places = [
            (self.roots.index(b), np.zeros(b.shape, b.dtype), b.storage is Storage.LANE)
            for b in self.changing
        ]

        def run(t: int, *given: Any) -> int:
            kept = []
            for array, (place, nothing, is_own) in zip(given, places, strict=True):
                if type(array) is int:  # the 0 of a lane to which a loss does not belong
                    array = nothing
                elif not is_own:
                    array = np.ascontiguousarray(array, nothing.dtype)
                    kept.append(array)
                table[place] = address(array)
            return function(start, steps, t, 1)  # type: ignore[no-any-return]

        return run

    def complain(self, arrays: list[Any]) -> None:
        """Run NumPy's form of the instruction, which raises the error about the labels."""
        for ref, classes in self.labels:  # one of them raises
            labels = arrays[self.given.index(ref.buffer.root)]
            logits = np.zeros((*labels.shape, classes))
            operations.cross_entropies(logits, labels, np.ones(classes))
        # Unless another thread has changed the label meanwhile, this is not reached.
        raise ValueError("a label is none of the classes")  # pragma: no cover


class Divided:
    """Functions that run one after the other. Where possible, each is divided among threads.

    Each part runs through all steps independently. The results of a part do not depend on the
    number of parts, so the numbers are those of one thread.
    """

    def __init__(self, parts: list[tuple[Any, bool]], threads: int) -> None:
        self.parts, self.threads = parts, threads

    def __call__(self, address: Any, steps: Any, first: Any, one: Any) -> int:
        failed = 0
        for function, divided in self.parts:
            if not divided:
                failed |= function(address, steps, first, one)
                continue
            others = [
                pool(self.threads - 1).submit(function, address, steps, n, self.threads)
                for n in range(1, self.threads)
            ]
            failed |= function(address, steps, 0, self.threads)
            for other in others:
                failed |= other.result()
        return failed


@functools.cache
def pool(workers: int) -> ThreadPoolExecutor:
    """The pool of threads for the parts of a batch."""
    return ThreadPoolExecutor(workers, thread_name_prefix="tinygrad_rnn")
