"""A checker for every stage of the compiler. Each raises AssertionError, which names the fault.

The tests run the checkers on every program. They do not run for users.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from typing import Any

import numpy as np

from tinygrad_rnn.compiler.backends.interpreter import Machine
from tinygrad_rnn.compiler.ir import (
    OWN,
    Buffer,
    Depends,
    Instr,
    Phase,
    Program,
    Ref,
    Schedule,
    StepGraph,
    Storage,
    Value,
    When,
    mapped,
    ordered,
)
from tinygrad_rnn.compiler.liveness import is_copy
from tinygrad_rnn.compiler.operations import is_elementwise
from tinygrad_rnn.compiler.passes.rewrite import alike
from tinygrad_rnn.compiler.views import is_part, source


def verify(stage: str, result: Any) -> None:
    """Check the result of a stage of the pipeline: a hook for `pipeline.compiled`."""
    if isinstance(result, StepGraph):
        verify_graph(result)
    elif isinstance(result, Schedule):
        verify_schedule(result)
    else:
        verify_program(result)


# Step graphs ------------------------------------------------------------------------------------


def verify_graph(graph: StepGraph) -> None:
    """Check a step graph. Shapes and dtypes are those of the calls' results. A gradient has the
    shape and dtype of its value. Only given and computed values are read."""
    adjoints = [v for v in graph.adjoints if v is not None]
    given = {*graph.inputs, *graph.states, *graph.parameters, *adjoints}
    rng = np.random.default_rng(0)
    for value in ordered(graph.outputs()):
        if value.function is None:
            assert value in given, f"{value} is read, but not given"
        elif not is_part(value):
            verify_call(value, rng)
    for state, result, adjoint in zip(graph.states, graph.results, graph.adjoints, strict=True):
        assert alike(state, result), f"the state {state} becomes {result}"
        assert adjoint is None or alike(adjoint, state), f"{adjoint} is the gradient of {state}"
    pairs = (
        (graph.states, graph.state_gradients),
        (graph.inputs, graph.input_gradients),
        (graph.parameters, graph.parameter_gradients),
    )
    for values, gradients in pairs:
        for value, gradient in zip(values, gradients, strict=True):
            fits = gradient is None or gradient.shape == value.shape
            assert fits, f"{gradient} is the gradient of {value}"
    for n, added in graph.output_grads.items():
        fused = graph.fused_adjoints.get(n)
        if fused is None or not fused.is_complete:
            assert alike(added, graph.states[n]), f"{added} is added to that of {graph.states[n]}"
    for n, fused in graph.fused_adjoints.items():
        rows = fused.row.shape[-1] + fused.appended.shape[-1]
        fits = fused.matrix.shape == (rows, graph.states[n].shape[-1])
        assert fits, f"{fused} has another number of rows or columns"


def verify_call(value: Value, rng: np.random.Generator) -> None:
    """Make the call on other numbers of the same shapes and dtypes."""
    args, kwargs = mapped((value.args, dict(value.kwargs)), lambda leaf: example(leaf, rng))
    assert value.function is not None
    try:
        with np.errstate(all="ignore"):
            found = value.function(*args, **kwargs)
    except np.linalg.LinAlgError:
        return  # these numbers have no such result
    types = value.results or ((value.shape, value.dtype),)
    for array, (shape, dtype) in zip(found if value.results else [found], types, strict=True):
        assert np.shape(array) == shape, f"{value} has the shape {np.shape(array)}"
        assert np.asarray(array).dtype == dtype, f"{value} has the dtype {np.asarray(array).dtype}"


def example(leaf: Any, rng: np.random.Generator) -> Any:
    if not isinstance(leaf, Value):
        return leaf
    if leaf.results is not None:
        return [np.ones(shape, dtype) for shape, dtype in leaf.results]
    if leaf.dtype.kind in "fc":
        return rng.random(leaf.shape).astype(leaf.dtype)
    return np.zeros(leaf.shape, leaf.dtype)


# Schedules --------------------------------------------------------------------------------------


def verify_schedule(schedule: Schedule) -> None:
    """Check a schedule, by following its two functions. Each call is made in one place, after its
    operands. Of the values of a loop only the saved ones are left when it has ended."""
    graph, depends = schedule.graph, schedule.graph.depends
    ways = (schedule.forward, schedule.backward)
    calls = [[value for phase in way for value in phase] for way in ways]
    varying = [value for values in calls for value in values if depends[value]]
    assert len(varying) == len(set(varying)), "a value is computed twice"
    output_gradients = {v for v in graph.adjoints if v and depends[v] is Depends.OUTPUT_GRADIENT}
    known = {*graph.inputs, *graph.parameters}

    def verify_read(said: str, value: Value) -> None:
        # A value that is the same in all steps is copied even where it is a view.
        read = source(value) if depends[value] else value
        if is_part(read) and read not in known:
            read = read.args[0]
        assert read in known, f"{said} reads {value}, which is not known"

    for n, way in enumerate(ways):
        # Each function computes by itself what is the same in all steps.
        known = {value for value in known if depends[value] or value in graph.parameters}
        known |= output_gradients if n == 1 else set()
        for phase in Phase:
            if phase is Phase.LOOP:
                known |= set(graph.states)
            for value in way.of(phase):
                assert phase is not Phase.CONSTANT or not depends[value], f"{value} is no constant"
                assert phase is Phase.LOOP or value.function, f"{value} is given in the loop alone"
                for operand in value.operands:
                    verify_read(f"{value}, in {phase.value},", operand)
                known.add(value)
            for total in filter(None, schedule.sums if n == 1 else ()):
                for value, when in total.reads():
                    if when is phase:
                        verify_read(f"the sum of {total.value}", value)
            if phase is Phase.LOOP:
                known -= set(way.loop) - schedule.saved
    made = {*calls[0], *calls[1]}
    assert schedule.saved <= {*ways[0].loop, *ways[1].loop}, "what is saved is in no loop"
    assert schedule.saved.intersection(ways[0].loop).issuperset(schedule.rows), "a row is not saved"
    for value in map(source, graph.outputs()):
        of_loop = value.args[0] if is_part(value) and value not in made else value
        is_summed = value in graph.parameter_gradients
        assert value.function is None or is_summed or of_loop in made, f"{value} is not computed"


# Programs ---------------------------------------------------------------------------------------


def verify_program(program: Program) -> None:
    """Check a program. Every referenced buffer exists. No array of the caller is written to.
    Buffers that share memory have the same form. All views fit, and no instruction writes to a
    copy. An elementwise call has the shape of the place that it writes to; for other calls NumPy
    checks it."""
    names = [buffer.name for buffer in program.buffers]
    assert len(names) == len(set(names)), "two buffers have one name"
    known: set[Buffer] = set()
    for buffer in program.buffers:
        assert buffer.shares is None or buffer.shares in known, f"{buffer} shares nothing before it"
        one, root = ((b.shape, b.dtype, b.time) for b in (buffer, buffer.root))
        assert one == root, f"{buffer} shares the memory of {buffer.root}"
        known.add(buffer)
    sections = (program.forward, program.backward)
    loops = {id(instr) for found in sections for instr in found.loop}
    for instr in itertools.chain(program.setup, *(found.all() for found in sections)):
        for ref in (*instr.reads(), *instr.writes()):
            assert ref.buffer in known, f"{ref.buffer} is used, but not declared"
            assert (ref.when is When.ALWAYS) == (ref.buffer.time is None), f"{ref} has no such axis"
            assert ref.when is not When.STEP or id(instr) in loops, f"{ref} outside of a loop"
            assert ref.offset <= (ref.buffer.time or 0), f"{ref} is behind the end"
            ref.seen(3)  # the views fit
        for out in instr.writes():
            assert out.buffer.storage is not Storage.GIVEN, f"{instr} writes to the caller's array"
            array, place = out.seen(3)
            assert not is_copy(place, array), f"{instr} writes to a copy"
            assert out.buffer.storage is not Storage.RESULT or not out.views, f"{out} is no name"
            if is_elementwise(instr.function):
                shapes = [ref.strided(3)[0] for ref in instr.reads()]
                assert np.broadcast_shapes(*shapes) == out.strided(3)[0], f"{instr} is spread out"


MADE = (*OWN, Storage.RETURNED)
"""The arrays whose numbers are followed."""


class Checked(Machine):
    """An interpreter that checks every read, number by number, and what the functions return. The
    number must have been written through the buffer that is read: no other buffer with the same
    memory may have been written to since.

    owners: for each array, the buffer that wrote each number, by its place among all, from 1.
    """

    def __init__(self, program: Program, steps: int, states: tuple[Any, ...], empty: Any) -> None:
        self.owners: dict[Buffer, Any] = {}
        self.numbers = {buffer: n for n, buffer in enumerate(program.buffers, 1)}
        super().__init__(program, steps, states, empty)

    def new(self, buffer: Buffer, empty: Any = np.empty) -> Any:
        array = super().new(buffer, empty)
        self.owners[buffer] = np.zeros(array.shape, np.int32)
        return array

    def owner(self, ref: Ref) -> Any:
        arrays, self.arrays = self.arrays, self.owners
        try:
            return super().read(ref)
        finally:
            self.arrays = arrays

    def verify_read(self, ref: Ref) -> None:
        if ref.buffer.storage in MADE:
            number = self.numbers[ref.buffer]
            assert np.all(self.owner(ref) == number), f"{ref} is read before it is written"

    def argument(self, leaf: Any) -> Any:
        if isinstance(leaf, Ref) and (self.seeded or not leaf.seeded):
            self.verify_read(leaf)
        return super().argument(leaf)

    def forward(self, *given: Any) -> tuple[Any, ...]:
        found = super().forward(*given)
        for ref in filter(None, self.program.forward.result):
            self.verify_read(ref)
        return found

    def backward(self, *given: Any) -> tuple[Any, ...]:
        found = super().backward(*given)
        for ref in filter(None, self.program.backward.result):
            self.verify_read(ref)
        return found

    def run(self, instrs: Iterable[Instr]) -> None:
        for instr in instrs:
            super().run([instr])
            for out in instr.writes():
                if out.buffer.storage in MADE:
                    self.owner(out)[...] = self.numbers[out.buffer]


def checked(program: Program) -> Any:
    """As `interpreter.maker`, with the checks of `Checked`."""

    def make(steps: int, *states: Any, empty: Any = np.empty) -> tuple[Any, Any]:
        machine = Checked(program, steps, states, empty)
        return machine.forward, machine.backward

    return make
