"""What a loop does not carry is added up first; masks keep their place."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.compiler.programs import B, H, graph_of, inputs, state, weight
from tinygrad_rnn.compiler.ir import StepGraph, Value, ordered
from tinygrad_rnn.compiler.passes.cse import cse
from tinygrad_rnn.compiler.passes.hoist_sums import hoist_sums


def reads_state(graph: StepGraph, value: Value) -> bool:
    return any(state in ordered([value]) for state in graph.states)


def test_what_depends_on_no_state_is_added_up_first() -> None:
    U, b = weight(H, H), weight(H)
    graph = graph_of(lambda x, h: np.tanh(x + h @ U + b), inputs(width=H), state(B, H))
    (result,) = hoist_sums(graph).results
    heavy, light = result.args[0].args
    assert reads_state(graph, heavy) and not reads_state(graph, light)


@pytest.mark.parametrize("dtype", [bool, np.uint8])
def test_masks_keep_their_place_in_a_sum(dtype: Any) -> None:
    def cell(d: Any, h: Any) -> Any:
        return np.tanh(h + d["m"] + d["m"])

    xs = {"m": np.ones((3, B, H), dtype)}
    graph = graph_of(cell, xs, state(B, H))
    (result,) = hoist_sums(graph).results
    assert result.args[0].args[0].dtype == result.args[0].args[0].args[0].dtype == float


def test_a_partial_sum_that_is_given_out_is_not_opened() -> None:
    def cell(x: Any, s: Any) -> Any:
        partial = s[0] * s[1] + x["a"]
        return partial, partial + x["b"]

    xs = {"a": inputs(width=H), "b": inputs(width=H)}
    graph = graph_of(cell, xs, (state(B, H), state(B, H)))
    assert hoist_sums(graph).results == graph.results


def test_what_two_outputs_add_to_a_gradient_is_added_up_first() -> None:
    W, given = weight(H, H), (state(B, H), state(B, H), state(B, H))

    def cell(x: Any, s: Any) -> Any:
        h = np.tanh(x + s[0] @ W)
        return h, np.sin(h), np.sinh(h)

    graph = cse(graph_of(cell, inputs(width=H), given))
    adjoint = graph.adjoints[0]
    for found, terms in ((graph, 3), (hoist_sums(graph), 2)):
        (total,) = (v for v in found.order if adjoint in v.operands)
        above = [v for v in found.order if total in v.operands and v.function is np.add]
        assert 2 + len(above) == terms
