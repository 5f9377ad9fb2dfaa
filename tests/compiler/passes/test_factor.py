"""What multiplies a gradient is one factor, unless it is a mask."""

from __future__ import annotations

from typing import Any

import numpy as np

import tinygrad_rnn as tg
from tests.compiler.programs import B, D, H, functions_of, graph_of, inputs, state
from tinygrad_rnn.compiler.passes.cse import cse
from tinygrad_rnn.compiler.passes.factor import factor


def test_what_multiplies_a_gradient_is_one_factor() -> None:
    graph = graph_of(tg.GRUCell(D, H, rng=0), inputs())
    before = functions_of(g for g in graph.state_gradients if g is not None)
    after = functions_of(g for g in factor(cse(graph)).state_gradients if g is not None)
    assert "negative" in before and "negative" not in after


def test_a_mask_of_integers_is_no_factor() -> None:
    def cell(d: Any, h: Any) -> Any:
        return (1 - h) * d["m"]

    graph = graph_of(cell, {"m": np.ones((3, B, H), np.uint8)}, state(B, H))
    found = factor(cse(graph))
    (gradient,) = found.state_gradients
    assert gradient is not None and gradient.function is np.negative
