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
from tinygrad_rnn.compiler.passes.rewrite import alike
from tinygrad_rnn.compiler.views import is_part, source

ORDER = list(Phase)


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
            assert gradient is None or gradient.shape == value.shape, (value, gradient)
    for n, added in graph.output_grads.items():
        fused = graph.fused_adjoints.get(n)
        if fused is None or not fused.is_complete:
            assert alike(added, graph.states[n]), (added, graph.states[n])
    for n, fused in graph.fused_adjoints.items():
        rows = fused.row.shape[-1] + fused.appended.shape[-1]
        assert fused.matrix.shape == (rows, graph.states[n].shape[-1]), fused


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
    """Check a schedule. Each call is made in one place, where its operands are available."""
    ways = (schedule.forward, schedule.backward)
    phases = [way.phase_of() for way in ways]
    for way, found in zip(ways, phases, strict=True):
        assert sum(map(len, way)) == len(found), "a value is computed in two phases"
    for value in phases[0].keys() & phases[1].keys():
        assert phases[0][value] is phases[1][value] is Phase.CONSTANT, f"{value} is computed twice"
    for n, found in enumerate(phases):
        for value, phase in found.items():
            for operand in value.operands:
                # A value that is the same in all steps is copied even where it is a view.
                read = source(operand) if schedule.graph.depends[operand] else operand
                verify_read(schedule, phases, n, phase, value, read)
    for value in schedule.graph.outputs():
        verify_output(schedule, phases, source(value))
    for how in schedule.sums:
        for value, phase in [] if how is None else how.reads():
            verify_read(schedule, phases, 1, phase, value, source(value))
    for value in schedule.saved:
        assert any(found.get(value) is Phase.LOOP for found in phases), f"{value} is not in a loop"


def verify_output(schedule: Schedule, phases: list[dict[Value, Phase]], value: Value) -> None:
    """Check that an output is computed. The gradients of parameters are sums of other values."""
    if value.function is None or value in schedule.graph.parameter_gradients:
        return
    made = value.args[0] if is_part(value) and value not in {*phases[0], *phases[1]} else value
    assert any(made in found for found in phases), f"{value} is wanted, but not computed"


def verify_read(
    schedule: Schedule,
    phases: list[dict[Value, Phase]],
    way: int,
    phase: Phase,
    reader: Value,
    value: Value,
) -> None:
    """Check that a value that is read has been computed, and is kept for the reader."""
    said = f"{reader}, in {phase.value}, reads {value}"
    depends = schedule.graph.depends[value]
    if value.function is None:
        if Depends.GRADIENT in depends:
            assert way == 1, said
            assert phase is Phase.LOOP or value in schedule.saved, said
        elif phase is Phase.CONSTANT:
            assert not depends, said
        return
    if is_part(value) and value not in phases[way] and value not in phases[0]:
        verify_read(schedule, phases, way, phase, reader, value.args[0])
        return
    if not depends:
        assert value in phases[way], f"{said}, which is computed in the other function"
        return
    made = 0 if value in phases[0] else 1
    assert value in phases[made], f"{said}, which is not computed"
    assert made <= way, f"{said}, which comes later"
    if made < way:
        assert phases[made][value] is not Phase.LOOP or value in schedule.saved, f"{said}: lost"
        return
    earlier = ORDER.index(phases[made][value])
    assert earlier <= ORDER.index(phase), f"{said}, which comes later"
    if phases[made][value] is Phase.LOOP and phase is Phase.AFTER:
        assert value in schedule.saved, f"{said}, which is not kept"


# Programs ---------------------------------------------------------------------------------------


def verify_program(program: Program) -> None:
    """Check a program. Every referenced buffer exists. No array of the caller is written to.
    Buffers that share memory have the same form. Each view has the shape that is written to it."""
    names = [buffer.name for buffer in program.buffers]
    assert len(names) == len(set(names)), "two buffers have one name"
    known = set(program.buffers)
    for buffer in program.buffers:
        assert buffer.shares is None or buffer.shares in known, f"{buffer} shares nothing"
        root = buffer.root
        assert (root.shape, root.dtype, root.time) == (buffer.shape, buffer.dtype, buffer.time)
    sections = (program.forward, program.backward)
    loops = {id(instr) for found in sections for instr in found.loop}
    for instr in itertools.chain(program.setup, *(found.all() for found in sections)):
        for ref in (*instr.reads(), *instr.writes()):
            assert ref.buffer in known, f"{ref.buffer} is used, but not declared"
            assert (ref.when is When.ALWAYS) == (ref.buffer.time is None), ref
            assert ref.when is not When.STEP or id(instr) in loops, f"{ref} outside of a loop"
            assert ref.offset <= (ref.buffer.time or 0), f"{ref} is behind the end"
            ref.strided(3)  # the views fit
        for out in instr.writes():
            assert out.buffer.storage is not Storage.GIVEN, f"{instr} writes to the caller's array"


class Checked(Machine):
    """An interpreter that checks every read, number by number. The number must have been written
    through the buffer that is read: no other buffer with the same memory may have been written to
    since.

    owners: for each array, the buffer that wrote each number, by its place among all, from 1.
    """

    def __init__(self, program: Program, steps: int, states: tuple[Any, ...], empty: Any) -> None:
        self.owners: dict[Buffer, Any] = {}
        self.numbers = {buffer: n for n, buffer in enumerate(program.buffers, 1)}
        super().__init__(program, steps, states, empty)

    def new(self, buffer: Buffer, empty: Any = np.empty) -> Any:
        array = super().new(buffer, empty)
        made = np.zeros(array.shape, np.int32)
        if buffer.fill is not None:
            made[...] = self.numbers[buffer]
        self.owners[buffer] = made
        return array

    def owner(self, ref: Ref) -> Any:
        arrays, self.arrays = self.arrays, self.owners
        try:
            return super().read(ref)
        finally:
            self.arrays = arrays

    def argument(self, leaf: Any) -> Any:
        meant = isinstance(leaf, Ref) and (self.seeded or not leaf.seeded)
        if meant and leaf.buffer.storage in OWN:
            number = self.numbers[leaf.buffer]
            assert np.all(self.owner(leaf) == number), f"{leaf} is read before it is written"
        return super().argument(leaf)

    def run(self, instrs: Iterable[Instr]) -> None:
        for instr in instrs:
            super().run([instr])
            for out in instr.writes():
                if out.buffer.storage in OWN:
                    self.owner(out)[...] = self.numbers[out.buffer]


def checked(program: Program) -> Any:
    """As `interpreter.maker`, with the checks of `Checked`."""

    def make(steps: int, *states: Any, empty: Any = np.empty) -> tuple[Any, Any]:
        machine = Checked(program, steps, states, empty)
        return machine.forward, machine.backward

    return make
