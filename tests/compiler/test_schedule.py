"""What is made before, in and after the loop; and that a checker would notice if it were not so."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import tinygrad_rnn as tg
from tests.compiler.programs import (
    CASES,
    B,
    D,
    H,
    T,
    graph_of,
    inputs,
    sequence_of,
    state,
    weight,
)
from tinygrad_rnn.compiler.frontend.captures import CellKey
from tinygrad_rnn.compiler.ir import Depends, Phase, Schedule, StepGraph, Value
from tinygrad_rnn.compiler.pipeline import PASSES
from tinygrad_rnn.compiler.runtime.program import step_graph
from tinygrad_rnn.compiler.schedule import SMALL, schedule
from tinygrad_rnn.compiler.verify import verify_schedule


def passed(graph: StepGraph) -> StepGraph:
    for transform in PASSES:
        graph = transform(graph)
    return graph


def of_case(name: str) -> Schedule:
    case = CASES[name]()
    return schedule(passed(step_graph(sequence_of(case), CellKey(case.cell))))


def functions(values: Any) -> list[str]:
    return [v.function.__name__ for v in values if v.function is not None]


def test_what_values_of_a_recurrent_network_differ_with() -> None:
    graph = graph_of(tg.RNNCell(D, H, rng=0), inputs())
    depends = graph.depends
    (result,), (gradient, *_) = graph.results, graph.parameter_gradients
    assert depends[result] == Depends.INPUT | Depends.STATE
    assert not depends[graph.parameters[0]] and depends[graph.inputs[0]] == Depends.INPUT
    assert gradient is not None and Depends.GRADIENT in depends[gradient]


def test_phases_of_a_recurrent_network() -> None:
    found = of_case("rnn")
    assert functions(found.forward.before) == ["matmul", "add"]
    assert functions(found.forward.loop) == ["matmul", "add", "tanh"]
    assert functions(found.backward.before) == ["multiply", "subtract"]  # 1 − h²
    assert functions(found.backward.loop) == ["multiply", "matmul"]
    assert [how and how.function for how in found.sums] == [np.matmul, np.matmul, np.dot]


def test_the_loss_is_computed_after_the_loop_and_its_gradient_before_it() -> None:
    found = of_case("loss_alone")
    assert "cross_entropies" in functions(found.forward.after)
    assert "cross_entropy_gradient" in functions(found.backward.before)
    assert found.graph.unread == {found.graph.states[-1]}


def test_what_has_no_call_for_all_steps_is_made_in_the_loop_and_kept() -> None:
    W = weight(D, H)
    found = schedule(
        passed(graph_of(lambda x, h: np.cumsum(x @ W, axis=-1) * h, inputs(), state(2, H)))
    )
    inner = next(v for v in found.graph.order if v.function is np.cumsum)
    assert inner in found.forward.loop and inner in found.saved
    assert functions(found.forward.before) == ["matmul"]


def test_what_has_no_call_for_all_steps_is_late_with_all_that_hangs_on_it() -> None:
    W = weight(D, H)

    def cell(x: Any, h: Any) -> Any:
        return np.tanh(np.cumsum(x @ W, axis=-1)) * h

    def output(x: Any, s: Any) -> Any:
        return s[0] + x @ W, np.tanh(np.cumsum(x @ W, axis=-1))

    found = schedule(graph_of(cell, inputs(), state(B, H)))
    assert functions(found.forward.loop) == ["cumsum", "tanh", "multiply"]
    found = schedule(graph_of(output, inputs(), (state(B, H), state(B, H))))
    assert functions(found.forward.loop) == ["add", "cumsum"]
    assert functions(found.forward.after) == ["tanh"]  # no step needs it


def test_large_factors_of_a_gradient_stay_in_the_loop() -> None:
    for width, phase in ((4, Phase.BEFORE), (SMALL, Phase.LOOP)):
        graph = graph_of(lambda x, h: np.tanh(h + x), inputs(width=width), state(B, width))
        found = schedule(graph)
        (gradient,) = graph.state_gradients
        assert gradient is not None
        factor = next(v for v in gradient.operands if Depends.GRADIENT not in graph.depends[v])
        assert found.backward.phase_of()[factor] is phase


def test_a_sum_that_must_be_added_up_is_in_the_loop() -> None:
    W = weight(2, H, H)

    def cell(x: Any, h: Any) -> Any:
        return np.tanh(x + np.einsum("bi,kij->bj", h, W))

    found = schedule(passed(graph_of(cell, inputs(width=H), state(2, H))))
    (how,) = (how for how in found.sums if how is not None)
    assert how.function is None and how.value in found.backward.loop


def changed(found: Schedule, way: str, **phases: Any) -> Schedule:
    return replace(found, **{way: replace(getattr(found, way), **phases)})


def test_the_checker_notices_what_comes_too_late_or_is_lost() -> None:
    found = of_case("rnn")
    verify_schedule(found)
    ahead, back = found.forward, found.backward
    factor, result = back.before[0], ahead.loop[-1]
    wrong = {
        "reads .* not known": [
            changed(found, "forward", before=(), after=ahead.before),
            changed(found, "forward", before=(), loop=()),
            changed(found, "forward", loop=ahead.loop[::-1]),  # before its operands
            changed(found, "forward", before=(*ahead.before, *ahead.loop), loop=()),  # no state yet
            changed(found, "backward", constants=()),
            changed(found, "backward", before=back.before[1:], after=back.before[:1]),
            replace(found, saved=frozenset()),
        ],
        "the sum of .* not known": [changed(found, "backward", loop=back.loop[:1])],
        "computed twice": [
            changed(found, "backward", before=(*back.before, back.loop[-1])),
            changed(found, "backward", after=(result,)),
        ],
        "no constant": [changed(found, "forward", constants=ahead.before, before=())],
        "in the loop alone": [changed(found, "backward", before=back.loop, loop=())],
        "a row is not saved": [replace(found, rows=(factor,))],
        "in no loop": [replace(found, saved=found.saved | {factor})],
        "not computed": [replace(found, graph=replace(found.graph, results=(other(result),)))],
    }
    for match, schedules in wrong.items():
        for schedule_ in schedules:
            with pytest.raises(AssertionError, match=match):
                verify_schedule(schedule_)


def other(value: Value) -> Value:
    """The same call once more."""
    return replace(value, name="other")


def test_deep_graphs_need_no_recursion() -> None:
    def cell(x: Any, h: Any) -> Any:
        for _ in range(1500):
            h = np.sin(h)
        return h + x

    found = schedule(graph_of(cell, inputs(width=H), state(2, H)))
    assert len(found.forward.loop) > T and Phase.LOOP.value == "loop"
    assert all(isinstance(value, Value) for value in found.forward.loop)
