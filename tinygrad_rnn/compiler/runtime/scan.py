"""`scan`: run a cell over a sequence by its compiled program."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import numpy as np

from tinygrad_rnn.compiler import backends
from tinygrad_rnn.compiler.frontend.captures import CellKey
from tinygrad_rnn.compiler.frontend.recognition import captured_by
from tinygrad_rnn.compiler.frontend.refusals import TraceError
from tinygrad_rnn.compiler.frontend.request import prepared
from tinygrad_rnn.compiler.frontend.trace import is_tracing
from tinygrad_rnn.compiler.runtime.cache import program_for
from tinygrad_rnn.compiler.runtime.program import Program
from tinygrad_rnn.compiler.runtime.scan_run import ScanRun
from tinygrad_rnn.compiler.show import Stages, heading
from tinygrad_rnn.engine.substitution import contents_lock
from tinygrad_rnn.engine.tensor import Tensor
from tinygrad_rnn.engine.trees import flatten_like, unflatten
from tinygrad_rnn.recurrent.order import Order
from tinygrad_rnn.recurrent.state import map_state
from tinygrad_rnn.recurrent.truncation import Truncation
from tinygrad_rnn.recurrent.unroll import State, unroll


def scan(
    cell: Callable[[Any, State], State],
    xs: Any = None,
    state: Any = None,
    truncation: Truncation | None = None,
    reset: Any = None,
    *,
    reverse: bool = False,
    lengths: Any = None,
    steps: int | None = None,
    checkpoint: int | str | None = None,
    budget: float = 100_000_000,
    block: int | None = None,
    outputs: str = "all",
    fallback: bool = False,
    backend: str | None = None,
    verify: bool = False,
    threads: int = 1,
) -> tuple[State, State]:
    """`unroll`, compiled: the same states and gradients, from a program generated for this cell.

    cell, xs, state, truncation, reset, reverse, lengths, steps: as for `unroll`; a step may have
        any nesting of arrays.
    checkpoint: the number of states to keep at most. The backward pass recomputes the others, on
        the binomial schedule. "auto" picks the number that fits into `budget`. None keeps
        everything.
    budget: the memory for buffers and kept states, in bytes, for checkpoint="auto".
    block: the number of steps per block. A block is the unit of recomputation. None lets `scan`
        choose. With the same block length the gradients are bitwise equal with and without
        checkpoints.
    outputs: "all" returns the states of all steps; "last" returns the last state alone, and then no
        array grows with the sequence. A loss at every step can be accumulated in the state.
    fallback: whether to run `unroll` for a cell that cannot be compiled, instead of raising.
    verify: whether to trace the cell at every call and compare the trace with the program.
    backend: the back end that runs the program. None or "numpy" gives NumPy's results to the last
        bit. "native" runs machine code made by llvmlite: it is faster, and equal up to rounding.
    threads: the number of threads among which backend="native" divides the batch. The results do
        not depend on it. NumPy's products have threads of their own.
    Returns the states of all steps stacked, (T, batch, hidden), nested as the cell's state is, or
    None for outputs="last"; and the last state.
    Raises TraceError, a TypeError, for a cell that cannot be compiled, such as one whose Python
    code branches on the numbers of an array, draws random numbers or counts its calls; ValueError
    or TypeError, with the shapes, where cell, inputs and state do not fit; ImportError for a back
    end that is not installed.

    `scan` traces one step: it runs the cell once on Tensors and sweeps the tape once. Both traces
    are straight-line sequences of NumPy calls. The compiler sorts the calls by dependence into
    three phases: before, in and after the loop over the steps. `scan_source` shows the result. In
    the graph the whole scan is one node. Second derivatives run the steps again with `unroll`. A
    scan inside a cell that is being compiled runs unrolled.

    The program is cached for the next call. What the cell reads may change between calls. Every
    call therefore inspects the Tensors and arrays that the cell carries, its attributes, its
    closures, the variables of its module, the settings in classes and modules, and the code of its
    functions. To find anything else, the cell is traced twice at first, and again at the calls 2,
    4, 8, 16, ... of its program. Where the traces differ, the program is renewed, with a
    StaleProgramWarning.

    Two kinds of change can still be missed. One is a change, between two of these calls, of
    something that only the running code sees: a file, an environment variable, the memory of an
    object of an extension module. The other is a difference that the numbers of the first step do
    not show. verify=True misses only the second kind.

    >>> import numpy as np, tinygrad_rnn as tg
    >>> cell = tg.RNNCell(3, 4, rng=0)
    >>> states, last = tg.scan(cell, np.ones((5, 2, 3)))
    >>> states.shape, last.shape
    ((5, 2, 4), (2, 4))
    """
    chosen = backends.checked(backend, threads)
    if steps is not None or reverse or lengths is not None:
        order = Order(cell, xs, state, reset, steps, reverse, lengths)
        options: dict[str, Any] = {"checkpoint": checkpoint, "budget": budget, "block": block}
        options |= {"outputs": outputs, "fallback": fallback, "backend": backend}
        options |= {"threads": threads}

        def plain_run(cell: Any, xs: Any, reset: Any) -> tuple[Any, Any]:
            return scan(cell, xs, state, truncation, reset, **options)

        return order.results(plain_run, truncation, stacked=True)
    with contents_lock:
        if is_tracing():
            return unrolled(cell, xs, state, truncation, reset, outputs)
        sequence = prepared(cell, xs, state, truncation, reset)
        if sequence.steps == 0:
            if outputs == "last":
                return cast(Any, None), sequence.state  # as the caller asked
            empty = map_state(lambda h: Tensor(np.zeros((0, *h.shape), h.dtype)), sequence.state)
            return empty, sequence.state
        if not sequence.state_parts:  # nothing is computed that anybody could see
            return unrolled(cell, xs, state, truncation, reset, outputs)
        captured = captured_by(cell)
        try:
            program = program_for(sequence, captured, chosen, verify)
        except TraceError:
            if not fallback:
                raise
            return unrolled(cell, xs, state, truncation, reset, outputs)
        plan = program.plan(sequence, checkpoint, budget, block, outputs)
        run = ScanRun(sequence, captured, program, plan)
    return run.outputs(scan)


def scan_source(
    cell: Callable[[Any, Any], Any],
    xs: Any,
    state: Any = None,
    truncation: Truncation | None = None,
    reset: Any = None,
    *,
    backend: str | None = None,
    llvm_ir: bool = False,
    stages: bool = False,
) -> str:
    """The program that `scan` runs for these arguments, as Python source that needs NumPy alone.

    The source has one function. `program(T)` makes the buffers for T steps and returns `forward`
    and `backward`. The arguments are those of `scan`. With backend="native" some instructions are
    calls of machine code. Comments then say which instructions became which loops, and why the rest
    is left to NumPy.
    stages: whether to show the result of every earlier stage of the compiler as well, in the
        notation of the chapter.
    llvm_ir: whether to return the LLVM IR of the machine code in place of the source.

    >>> import numpy as np, tinygrad_rnn as tg
    >>> source = tg.scan_source(tg.RNNCell(3, 4, "identity"), np.ones((5, 2, 3)))
    >>> "dW_hh = rows(h_before).T @ rows(dh)" in source
    True
    """
    chosen = backends.checked("native" if llvm_ir else backend)
    with contents_lock:
        sequence = prepared(cell, xs, state, truncation, reset)
        found = Stages()
        program = Program(sequence, CellKey(cell), chosen, found if stages else None)
    if llvm_ir:
        return program.llvm_ir()
    if stages:
        return f"{found.text()}\n{heading(f'the back end: {chosen.name}')}{program.source}"
    return program.source


def unrolled(
    cell: Any, xs: Any, state: Any, truncation: Any, reset: Any, outputs: str
) -> tuple[Any, Any]:
    """What `unroll` gives, in the form that `scan` gives."""
    states, last = unroll(cell, xs, state, truncation, reset)
    if outputs == "last":
        return None, last
    if not states:
        return map_state(lambda h: Tensor(np.zeros((0, *h.shape), h.dtype)), last), last
    each = zip(*[flatten_like(last, step) for step in states], strict=True)
    return unflatten(last, map(np.stack, each)), last
