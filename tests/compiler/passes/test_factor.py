"""What multiplies a gradient is one factor, unless it is a mask."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

import tinygrad_rnn as tg
from tests.compiler.programs import B, D, H, graph_of, inputs, state
from tinygrad_rnn.compiler.ir import Depends, StepGraph, ordered
from tinygrad_rnn.compiler.passes.cse import cse
from tinygrad_rnn.compiler.passes.factor import factor
from tinygrad_rnn.compiler.passes.rewrite import call


def test_what_multiplies_a_gradient_is_one_factor() -> None:
    def gradient_calls(graph: StepGraph) -> list[str]:
        values = ordered(g for g in graph.state_gradients if g is not None)
        found = [v for v in values if Depends.GRADIENT in graph.depends[v]]
        return [v.function.__name__ for v in found if v.function is not None]

    graph = cse(graph_of(tg.GRUCell(D, H, rng=0), inputs()))
    before, after = gradient_calls(graph), gradient_calls(factor(graph))
    assert "negative" in before and "negative" not in after and len(after) < len(before)


def test_a_mask_of_integers_is_no_factor() -> None:
    def cell(d: Any, h: Any) -> Any:
        return (1 - h) * d["m"]

    graph = graph_of(cell, {"m": np.ones((3, B, H), np.uint8)}, state(B, H))
    found = factor(cse(graph))
    (gradient,) = found.state_gradients
    assert gradient is not None and gradient.function is np.negative


def gradient_after(cell: Any) -> Any:
    """The gradient of the state, after the pass."""
    (gradient,) = factor(cse(graph_of(cell, inputs(width=H), state(B, H)))).state_gradients
    return gradient


def test_a_gradient_and_a_part_of_it_are_one_product() -> None:
    gradient = gradient_after(lambda x, h: h * x + h)
    assert gradient.function is np.multiply and gradient.args[0].function is None
    assert gradient_after(lambda x, h: h + h).function is np.add  # 1 + 1 would be no array


def test_only_gradients_are_regrouped() -> None:
    graph = cse(graph_of(lambda x, h: -(h * x * np.sin(x)), inputs(width=H), state(B, H)))
    assert factor(graph).results == graph.results


def test_a_product_that_is_needed_itself_is_not_split() -> None:
    graph = cse(graph_of(lambda x, h: h * x, inputs(width=H), state(B, H)))
    (gradient,) = graph.state_gradients
    assert gradient is not None
    further = call(np.multiply, gradient, graph.inputs[0])
    both = factor(replace(graph, parameter_gradients=(further,)))
    (product,), (longer, *_) = both.state_gradients, both.parameter_gradients
    assert longer is not None and longer.args == (product, graph.inputs[0])


def test_a_negative_product_keeps_its_name() -> None:
    graph = graph_of(lambda x, h: h * x, inputs(width=H), state(B, H))
    (gradient,) = graph.state_gradients
    negative = call(np.negative, gradient, name="dz")
    (found,) = factor(replace(graph, state_gradients=(negative,))).state_gradients
    assert found is not None and found.function is np.multiply and found.name == "dz"


def test_a_gradient_less_a_part_of_it_is_one_product() -> None:
    less = tg.derivative(lambda a, b: a * b, lambda g, b: g * b - g * (b * b))
    gradient = gradient_after(lambda x, h: less(h, x))
    assert gradient.function is np.multiply and gradient.args[1].function is np.subtract
