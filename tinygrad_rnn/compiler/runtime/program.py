"""A compiled cell: its source, and the workspaces of buffers in which it runs."""

from __future__ import annotations

import linecache
import weakref
from typing import Any

import numpy as np

from tinygrad_rnn.compiler import backends
from tinygrad_rnn.compiler.backends import NUMPY, Backend
from tinygrad_rnn.compiler.frontend.captures import CellKey
from tinygrad_rnn.compiler.frontend.freeze import frozen
from tinygrad_rnn.compiler.frontend.purity import trace
from tinygrad_rnn.compiler.frontend.request import Sequence
from tinygrad_rnn.compiler.frontend.trace import Trace, needs_gradient
from tinygrad_rnn.compiler.frontend.witness import Witness
from tinygrad_rnn.compiler.ir import StepGraph
from tinygrad_rnn.compiler.pipeline import Hook, compiled
from tinygrad_rnn.compiler.runtime.plan import NATIVE_ROWS, ROWS, Plan, planned
from tinygrad_rnn.compiler.runtime.workspace import Workspace
from tinygrad_rnn.engine.tensor import Tensor
from tinygrad_rnn.engine.trees import flatten as parts
from tinygrad_rnn.recurrent.truncation import Windows

LENGTHS = 8
"""The number of sequence lengths for which buffers are kept. The oldest are freed first."""


class Program:
    """The source for one step's structure, with the workspaces made so far.

    arguments: for every argument (states, inputs, parameters) in the graph: its place, whether it
        gets a gradient, and its name if it is a plain array. wanted: the places of the arguments
        that get a gradient.
    names: the names of the parts of the state. added: the parts whose gradient comes from the
        outputs, so that the caller need not give one. states: the shapes and dtypes of the parts.
        needs: whether each part depends on a value that needs a gradient. outputs_last: whether no
        step reads the last part.
    lowered: the program before buffers share memory, from which machine code is made.
    witness: the trace's record of its calls. key, runs, warned, owner: see `cache.py`.
    """

    witness: Witness
    key: Any = None
    runs: int = 1
    warned: bool = False
    owner: weakref.ref[Any] | None = None

    def __init__(
        self,
        sequence: Sequence,
        captured: CellKey,
        backend: Backend = NUMPY,
        hook: Hook | None = None,
    ) -> None:
        self.names = sequence.state_names
        step = trace(sequence.for_trace(captured))
        self.witness = step.witness
        graph = graph_of(sequence, step)
        stages: dict[str, Any] = {}

        def look(stage: str, result: Any) -> None:
            stages[stage] = result
            if hook is not None:
                hook(stage, result)

        allocated = compiled(graph, sequence.title(), look, join=backend.name == "numpy")
        self.lowered, self.threads = stages["coalesce"], backend.threads
        self.rows = ROWS if backend.name == "numpy" else NATIVE_ROWS
        written = backends.written(backend, self.lowered, allocated)
        self.program = program = written.program
        given = [*sequence.state_parts, *sequence.input_parts, *captured.arrays]
        count, inputs = len(sequence.state_parts), len(list(parts(sequence.xs)))
        names = enumerate(sequence.input_names[:inputs], count)
        plain = {i: name for i, name in names if type(given[i]) is not Tensor}
        self.arguments = [
            (i, needs_gradient(tensor) and ref is not None, plain.get(i))
            for i, (tensor, ref) in enumerate(zip(given, program.backward.result, strict=True))
            if (type(tensor) is Tensor or i in plain) and i not in program.outputs
        ]
        self.wanted = [i for i, wanted, _ in self.arguments if wanted]
        self.source = written.source
        self.filename = f"<scan {id(self)}>"
        linecache.cache[self.filename] = (
            len(self.source),
            None,
            self.source.splitlines(True),
            self.filename,
        )
        weakref.finalize(self, linecache.cache.pop, self.filename, None)
        namespace = dict(written.names)
        exec(compile(self.source, self.filename, "exec"), namespace)
        self.make = namespace["program"]
        self.spaces: dict[Plan, list[Workspace]] = {}
        self.plans: dict[Any, Plan] = {}  # made so far, by the options
        self.places = program.states
        self.added = program.output_grads
        self.states = [(state.shape, state.dtype) for state in graph.states]
        self.nothing = [Tensor(np.zeros(shape, dtype)) for shape, dtype in self.states]
        self.needs = list(program.differentiated)
        self.outputs_last = len(graph.states) - 1 in program.outputs
        # For planning: the bytes that a state takes, and all buffers of one more step.
        self.state_bytes = sum(state.nbytes for state in graph.states)
        self.step_bytes = self.state_bytes + program.step_bytes()

    def llvm_ir(self) -> str:
        """The machine code of the back end "native", as LLVM writes it down."""
        from tinygrad_rnn.compiler.backends.native.page import llvm_ir

        return llvm_ir(self.lowered, self.threads)

    def complete(self, sequence: Sequence) -> None:
        """Give the outputs an initial value, which is never read."""
        for n, part in enumerate(sequence.state_parts):
            if part is None:
                sequence.state_parts[n] = self.nothing[n]

    def plan(self, sequence: Sequence, *options: Any) -> Plan:
        """The plan for a sequence. options: as for `planned`."""
        key = (sequence.steps, *options)
        plan = self.plans.get(key)
        if plan is None:
            sizes = self.state_bytes, self.step_bytes
            plan = self.plans[key] = planned(sequence, *sizes, *options, most=self.rows)
        return plan

    def no_gradient(self, part: int, T: int) -> Any:
        """The placeholder for the gradient of a part of the state, where the caller gives none."""
        if part in self.added:
            return None
        shape, dtype = self.states[part]
        return np.broadcast_to(np.zeros((), dtype), (T, *shape))

    def claimed(self, plan: Plan) -> Workspace:
        """A workspace for a plan that is no longer in use, or a new one. It is busy from now on.

        Only one thread may call this at a time.
        """
        spaces = self.spaces.get(plan)
        if spaces is None:
            if len(self.spaces) >= LENGTHS:
                del self.spaces[next(iter(self.spaces))]
            spaces = self.spaces[plan] = []
        for space in spaces:
            if space.is_free():
                break
        else:
            space = Workspace(self.make, self.places, plan)
            if len(spaces) < 2:
                spaces.append(space)
        space.busy = True
        return space


def step_graph(sequence: Sequence, captured: CellKey) -> StepGraph:
    """One step of a sequence, traced."""
    return graph_of(sequence, trace(sequence.for_trace(captured)))


def graph_of(sequence: Sequence, step: Trace) -> StepGraph:
    return frozen(step, sequence.loss_alone, isinstance(sequence.truncation, Windows))
