"""What values differ with from step to step, and where that lets them be computed."""

from __future__ import annotations

from typing import Any

import numpy as np

import tinygrad_rnn as tg
from tests.compiler.programs import B, D, H, graph_of, inputs, state, weight
from tinygrad_rnn.compiler.dependence import SMALL, Dependence
from tinygrad_rnn.compiler.ir import Depends
from tinygrad_rnn.compiler.passes.rewrite import ordered


def test_what_values_of_a_recurrent_network_differ_with() -> None:
    graph = graph_of(tg.RNNCell(D, H, rng=0), inputs())
    known = Dependence(graph)
    (result,) = graph.results
    assert known.depends[result] == Depends.INPUT | Depends.STATE
    assert not known.varies(graph.parameters[0]) and known.varies(graph.inputs[0])
    assert known.order[-1] in graph.outputs() and not known.at_once(result)
    gradient = graph.parameter_gradients[0]
    assert gradient is not None and Depends.GRADIENT in known.depends[gradient]
    assert known.comes_after(gradient) and known.has_call_at_once(gradient)


def test_what_has_no_call_for_all_steps_is_late_with_all_that_hangs_on_it() -> None:
    W = weight(D, H)

    def cell(x: Any, h: Any) -> Any:
        return np.tanh(np.cumsum(x @ W, axis=-1)) * h

    graph = graph_of(cell, inputs(), state(B, H))
    known = Dependence(graph)
    by_name = {v.function.__name__: v for v in ordered(graph.results) if v.function is not None}
    assert known.at_once(by_name["matmul"])
    assert {by_name["cumsum"], by_name["tanh"]} <= known.late
    assert not known.at_once(by_name["tanh"])


def test_large_factors_of_a_gradient_stay_in_the_loop() -> None:
    for width, late in ((4, False), (SMALL, True)):
        graph = graph_of(lambda x, h: np.tanh(h + x), inputs(width=width), state(B, width))
        known = Dependence(graph)
        (gradient,) = graph.state_gradients
        assert gradient is not None
        factor = next(v for v in gradient.operands if Depends.GRADIENT not in known.depends[v])
        assert (factor in known.late) is late
