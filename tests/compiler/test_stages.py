"""Every stage of every program: the checkers find nothing, the numbers stay, back ends agree."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tinygrad_rnn as tg
from tests.compiler.programs import CASES, Case, sequence_of
from tests.compiler.test_random_cells import random_cell
from tinygrad_rnn.compiler.backends import interpreter, numpy_source
from tinygrad_rnn.compiler.evaluate import unrolled
from tinygrad_rnn.compiler.frontend.captures import CellKey
from tinygrad_rnn.compiler.ir import Program, StepGraph
from tinygrad_rnn.compiler.pipeline import compiled
from tinygrad_rnn.compiler.runtime.lanes import schedule as lanes_of
from tinygrad_rnn.compiler.runtime.program import step_graph
from tinygrad_rnn.compiler.verify import checked, verify

SEEDS = 16


def random_case(seed: int) -> Case:
    cell, state, _ = random_cell(seed, batch=1 + seed % 2)
    xs = np.random.default_rng(seed).standard_normal((4, 1 + seed % 2, 4))
    return Case(cell, xs, state, truncation=tg.Window(1) if seed % 5 == 0 else None)


ALL = [*CASES, *range(SEEDS)]


class Compiled:
    """What every stage gave for a case, and the arrays to run it on."""

    def __init__(self, name: str | int) -> None:
        case = CASES[name]() if isinstance(name, str) else random_case(name)
        self.sequence = sequence_of(case)
        captured = CellKey(case.cell)
        self.stages: list[tuple[str, Any]] = []
        graph = step_graph(self.sequence, captured)
        self.program = compiled(graph, "", lambda *stage: self.stages.append(stage))
        of = [*self.sequence.state_parts, *self.sequence.input_parts, *captured.arrays]
        arrays = [np.asarray(a.data if type(a) is tg.Tensor else a) for a in of]
        states, inputs = len(graph.states), len(graph.inputs)
        self.states, self.inputs = arrays[:states], arrays[states : states + inputs]
        self.parameters = arrays[states + inputs :]
        rng = np.random.default_rng(3)
        self.seeds: list[Any] = []
        for n, (h, adjoint) in enumerate(zip(graph.states, graph.adjoints, strict=True)):
            given = n == states - 1 or not graph.loss_alone
            seed = rng.standard_normal((self.sequence.steps, *h.shape)).astype(h.dtype)
            self.seeds.append(seed if given and adjoint is not None else seed * 0)

    def run(self, make: Any, times: int = 1) -> list[Any]:
        """Forward, and back so many times, and all of it so many times; what comes out last."""
        forward, backward = make(self.sequence.steps)
        given = (*self.seeds, *self.inputs, *self.parameters)
        for _ in range(times):
            states = [h.copy() for h in forward(*self.states, *self.inputs, *self.parameters)]
            for _ in range(times):
                if self.program.windows:
                    lanes = lanes_of(self.sequence.truncation, self.sequence.steps)
                    found = backward(*lanes, *given)
                else:
                    found = backward(*[0] * len(self.seeds), *given)
        return [*states, *found]


@pytest.fixture(scope="module")
def compile_case() -> Any:
    known: dict[Any, Compiled] = {}

    def get(name: str | int) -> Compiled:
        if name not in known:
            known[name] = Compiled(name)
        return known[name]

    return get


def same_bits(one: list[Any], other: list[Any]) -> bool:
    pairs = list(zip(one, other, strict=True))
    return all((a is None and b is None) or np.array_equal(a, b, equal_nan=True) for a, b in pairs)


@pytest.mark.parametrize("name", ALL)
def test_the_checkers_find_nothing(name: str | int, compile_case: Any) -> None:
    for stage, result in compile_case(name).stages:
        verify(stage, result)


@pytest.mark.parametrize("name", ALL)
def test_the_same_numbers_after_every_pass(name: str | int, compile_case: Any) -> None:
    case = compile_case(name)
    first: Any = None
    seeds = case.seeds
    for stage, graph in case.stages:
        if not isinstance(graph, StepGraph):
            continue
        found = unrolled(graph, case.states, case.inputs, case.parameters, seeds)
        first = first or found
        for one, other in zip(found, first, strict=True):
            for a, b in zip(one, other, strict=True):
                assert (a is None) == (b is None), stage
                if a is not None:
                    tolerance = 1e-4 if np.asarray(a).dtype == np.float32 else 1e-11
                    np.testing.assert_allclose(a, b, tolerance, tolerance, err_msg=stage)
    if not case.program.windows:
        run = case.run(interpreter.maker(case.program))
        flat = [a for group in first for a in group]
        for a, b in zip(run, flat, strict=True):
            if a is not None:
                tolerance = 1e-4 if np.asarray(a).dtype == np.float32 else 1e-10
                np.testing.assert_allclose(a, b, tolerance, tolerance)


@pytest.mark.parametrize("name", ALL)
def test_nothing_is_read_before_it_is_written(name: str | int, compile_case: Any) -> None:
    """Nor after somebody else has written to the same memory; also when all is done twice."""
    case = compile_case(name)
    programs = [result for _, result in case.stages if isinstance(result, Program)]
    lowered, coalesced, allocated = (case.run(checked(p), times=2) for p in programs)
    assert same_bits(coalesced, allocated)
    for a, b in zip(lowered, coalesced, strict=True):  # np.dot becomes np.matmul beside a gap
        assert (a is None) == (b is None)
        if a is not None:
            tolerance = 1e-5 if np.asarray(a).dtype == np.float32 else 1e-13
            np.testing.assert_allclose(a, b, tolerance, tolerance)


@pytest.mark.parametrize("name", ALL)
def test_the_source_is_the_interpreter_to_the_last_bit(name: str | int, compile_case: Any) -> None:
    case = compile_case(name)
    plain = case.run(interpreter.maker(case.program))
    assert same_bits(case.run(numpy_source.maker(case.program)), plain)
