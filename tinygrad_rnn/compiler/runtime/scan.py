"""`scan`: run the compiled program of a cell, and record the run in the graph as one node."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from functools import partial
from typing import Any, cast

import numpy as np

from tinygrad_rnn.compiler import backends
from tinygrad_rnn.compiler.frontend.captures import CellKey
from tinygrad_rnn.compiler.frontend.refusals import TraceError
from tinygrad_rnn.compiler.frontend.request import Sequence, prepared
from tinygrad_rnn.compiler.frontend.trace import is_tracing
from tinygrad_rnn.compiler.runtime.cache import program_for
from tinygrad_rnn.compiler.runtime.lanes import schedule
from tinygrad_rnn.compiler.runtime.plan import Plan
from tinygrad_rnn.compiler.runtime.program import Program
from tinygrad_rnn.compiler.runtime.workspace import Workspace
from tinygrad_rnn.compiler.show import Stages, heading
from tinygrad_rnn.derivatives.several import PART, Several, part
from tinygrad_rnn.engine.gradients import gradients
from tinygrad_rnn.engine.graph import Array, Edge, Leaf, Node
from tinygrad_rnn.engine.recording import Mark, current_mark
from tinygrad_rnn.engine.rules import Pullback
from tinygrad_rnn.engine.substitution import contents_lock, substituted
from tinygrad_rnn.engine.tensor import Tensor, recorded, tracked, untracked
from tinygrad_rnn.engine.trees import flatten_like, unflatten
from tinygrad_rnn.recurrent.order import Order
from tinygrad_rnn.recurrent.state import map_state
from tinygrad_rnn.recurrent.truncation import Truncation, Windows
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

        def passed(cell: Any, xs: Any, reset: Any) -> tuple[Any, Any]:
            return scan(cell, xs, state, truncation, reset, **options)

        return order.passed(passed, truncation, stacked=True)
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
        captured = CellKey(cell)
        try:
            program = program_for(sequence, captured, chosen, verify)
        except TraceError:
            if not fallback:
                raise
            return unrolled(cell, xs, state, truncation, reset, outputs)
        plan = program.plan(sequence, checkpoint, budget, block, outputs)
        run = ScanRun(sequence, captured, program, plan)
    return run.outputs()


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


def rerun(sequence: Sequence) -> None:
    """Run the steps of a scan one by one, so that each step can be observed."""
    xs = sequence.steps_of(iter(sequence.input_parts))
    unroll(sequence.cell, xs, sequence.state, sequence.truncation, sequence.reset)


class ScanRun:
    """One forward pass over one sequence, with what its backward pass needs.

    A run owns its workspace as long as it lives. The thread that makes a run holds `contents_lock`,
    because the constructor reads the cell's Tensors.
    """

    __slots__ = (
        "__weakref__",
        "arrays",
        "known",
        "mark",
        "nodes",
        "plan",
        "program",
        "sequence",
        "space",
        "tensors",
        "wanted",
    )

    def __init__(self, sequence: Sequence, captured: CellKey, program: Program, plan: Plan) -> None:
        self.space: Workspace | None = None
        self.sequence, self.program, self.plan = sequence, program, plan
        tensors = [*sequence.state_parts, *sequence.input_parts, *captured.arrays]
        self.tensors = tensors
        self.arrays = [t._data if type(t) is Tensor else t for t in tensors]
        self.wanted = program.wanted
        self.known: tuple[Callable[[], Any], dict[int, Any]] | None = None
        self.mark = mark = current_mark() if self.wanted else None
        self.nodes = (
            []
            if mark is None
            else [
                tensors[i].node if name is None else leaf(tensors[i], name)
                for i, _, name in program.arguments
            ]
        )
        self.space = program.claimed(plan)

    def outputs(self) -> tuple[Any, Any]:
        """Run the steps. Return the stacked states and the last state, as Tensors in the graph."""
        assert self.space is not None
        stacked = self.space.forward(self.arrays, len(self.sequence.input_parts))
        mark = self.mark
        tensors = list(map(Tensor, stacked)) if mark is None else self._recorded(stacked, mark)
        if not self.plan.all_states:
            return None, self._nested(tensors)
        return self._nested(tensors), self._nested([states[-1] for states in tensors])

    def _recorded(self, stacked: tuple[Array, ...], mark: Mark) -> list[Tensor]:
        """The stacked states as Tensors. One node has the edges of the scan. If the state has
        several parts, each is a node with an edge to that one."""
        edges: tuple[Edge, ...] = tuple(
            [
                (node, ("inputs", i), GRADIENT, (i, self))
                if needs
                else (node, ("inputs", i), None, ())
                for node, (i, needs, _) in zip(self.nodes, self.program.arguments, strict=True)
            ]
        )
        if len(stacked) == 1:
            function: Any = scan
            edges_of = [edges]
        else:
            whole = recorded(Several({}), scan, edges, mark).node
            function = part
            edges_of = [((whole, "scan", PART, (n,)),) for n in range(len(stacked))]
        tensors = [
            recorded(states, function, edges, mark) if needs else Tensor(states)
            for states, edges, needs in zip(stacked, edges_of, self.program.needs, strict=True)
        ]
        for tensor, name in zip(tensors, self.program.names, strict=True):
            tensor.named(name)
        return tensors

    def _nested(self, tensors: list[Any]) -> Any:
        if self.sequence.flat:
            return tensors[0]
        return unflatten(self.sequence.form, iter(tensors))

    def gradient(self, g: Any, i: int) -> Any:
        """∂L/∂(input i). The first request computes the gradients of all inputs together. The
        others are kept until they are requested or g is freed: the sweep holds g while it visits
        this node."""
        known = self.known
        if known is None or known[0]() is not g or i not in known[1]:
            adjoints = adjoints_of(g)
            if current_mark() is None:
                adjoints = {n: a._data if type(a) is Tensor else a for n, a in adjoints.items()}
            is_recorded = any(isinstance(a, Tensor) for a in adjoints.values())
            found = self.recorded(adjoints) if is_recorded else self._computed(adjoints)
            wanted = {i: found[i] for i in self.wanted}
            # A scalar cannot be weakly referenced, and it keeps nothing alive.
            number = isinstance(g, np.generic)
            ref = (lambda: g) if number else weakref.ref(g, partial(forget, weakref.ref(self)))
            self.known = known = ref, wanted
        return known[1].pop(i)

    def _computed(self, adjoints: dict[int, Array]) -> tuple[Array, ...]:
        assert self.space is not None
        ends: list[Any] = [0] * len(self.space.arrays)
        if not self.plan.all_states:
            ends = [adjoints.get(n, 0) for n in range(len(ends))]
            adjoints = {}
        seeds = [
            adjoints[n] if n in adjoints else self.program.no_gradient(n, self.plan.steps)
            for n in range(len(ends))
        ]
        truncation = self.sequence.truncation
        windows = (
            schedule(truncation, self.sequence.steps) if isinstance(truncation, Windows) else ()
        )
        inputs = len(self.sequence.input_parts)
        entering = any(i < len(seeds) for i in self.wanted)
        return self.space.backward(seeds, ends, self.arrays, inputs, windows, entering)

    def recorded(self, adjoints: dict[int, Any], create_graph: bool = True) -> list[Any]:
        """The gradients by `unroll`, with one node per operation. They are Tensors for derivatives
        of a higher order, or arrays for a look at each step."""
        # One input may have been computed from another. The gradient of one input must not flow on
        # through another input here, so the steps run on copies. The copies hold the arrays that
        # the scan ran on, because parameters may have been given other arrays since.
        sequence, tensors = self.sequence, self.tensors
        nodes = {
            i: node for node, (i, _, _) in zip(self.nodes, self.program.arguments, strict=True)
        }
        copies = {i: +tracked(self.arrays[i], nodes[i]) for i in self.wanted}
        for i, copy in copies.items():
            copy.name = tensors[i].name
        given = [
            copies[i] if i in copies else untracked(array) if type(tensor) is Tensor else tensor
            for i, (tensor, array) in enumerate(zip(tensors, self.arrays, strict=True))
        ]
        count = len(sequence.state_parts)
        following, xs = iter(given[:count]), sequence.steps_of(iter(given[count:]))
        first = count + len(sequence.input_parts)
        carried = [i for i in range(first, len(tensors)) if type(tensors[i]) is Tensor]
        with substituted([tensors[i] for i in carried], [given[i] for i in carried]):
            states, last = unroll(
                sequence.cell,
                xs,
                map_state(lambda _: next(following), sequence.form),
                sequence.repeatable,
                sequence.reset,
            )
        if not self.plan.all_states:
            states = [last]
        flat, seeds = [], []
        in_order = [flatten_like(sequence.form, state) for state in states]
        for n, steps in enumerate(zip(*in_order, strict=True)):
            if n in adjoints:
                flat.append(np.reshape(np.stack(steps), -1))
                seeds.append(np.reshape(adjoints[n], -1))
        output, seed = np.concatenate(flat), np.concatenate(seeds)
        found = gradients(output, list(copies.values()), seed, create_graph)  # type: ignore[arg-type]
        result: list[Any] = [None] * len(tensors)
        for i, gradient in zip(self.wanted, found, strict=True):
            result[i] = gradient
        return result

    def __del__(self) -> None:
        space = getattr(self, "space", None)  # none, if making it was interrupted
        if space is not None:
            space.busy = False


def forget(owner: weakref.ref[ScanRun], adjoint: weakref.ref[Any]) -> None:
    """Let a run drop the gradients that it computed from an adjoint, once the adjoint is freed. As
    Tensors these gradients refer to the node, which refers to the run: the run would keep itself
    alive."""
    run = owner()
    if run is not None and run.known is not None and run.known[0] is adjoint:
        run.known = None


def adjoints_of(g: Any) -> dict[int, Any]:
    """The gradients of the parts of a scan's state that have one, by their places."""
    return g.parts if isinstance(g, Several) else {0: g}


GRADIENT = Pullback(lambda g, i, run: run.gradient(g, i), "inputs", ["inputs", "run"])


def run_of(node: Node) -> ScanRun | None:
    """The run that made a value, if the value is the states of a scan or one part of them."""
    if node.function is part:
        node = node.edges[0][0]
    return next((kept[1] for _, _, pullback, kept in node.edges if pullback is GRADIENT), None)


def leaf(array: Array, name: str) -> Leaf:
    """A node for an input that is a plain array."""
    return Leaf(array.shape, array.dtype, False, name)
