"""The product of a gradient goes to the step before, where that pays."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

import tinygrad_rnn as tg
from tests.compiler.passes.test_split_outputs import with_loss
from tests.compiler.programs import D, H, graph_of, inputs, state, weight
from tinygrad_rnn.compiler.ir import Value
from tinygrad_rnn.compiler.passes.carry import carry
from tinygrad_rnn.compiler.passes.cse import cse
from tinygrad_rnn.compiler.passes.rewrite import substituted
from tinygrad_rnn.compiler.passes.split_outputs import split_outputs


def test_the_product_of_a_gradient_goes_to_the_step_before() -> None:
    graph = carry(cse(graph_of(tg.RNNCell(D, H, rng=0), inputs(1))))
    fused = graph.fused_adjoints[0]
    assert graph.state_gradients == (None,) and not fused.is_complete
    assert fused.matrix.shape == (2 * H, H) and fused.appended is graph.adjoints[0]
    wide = graph_of(tg.RNNCell(D, 200, rng=0), inputs(1))
    assert not carry(wide).fused_adjoints  # an identity of 200 × 200 costs more than a sum
    assert not carry(graph_of(tg.RNNCell(D, H, rng=0), inputs())).fused_adjoints
    windows = graph_of(tg.RNNCell(D, H, rng=0), inputs(1), truncation=tg.Window(1))
    assert carry(windows) is windows


def test_the_product_of_the_loss_is_joined_as_well_where_it_is_all() -> None:
    found = carry(split_outputs(with_loss(alone=True, batch=1)))
    fused = found.fused_adjoints[0]
    assert fused.is_complete and fused.matrix.shape == (H + 5, H)
    assert not carry(split_outputs(with_loss(batch=1))).fused_adjoints[0].is_complete


def test_a_row_of_gradients_is_joined_for_one_state_alone() -> None:
    U, V, Q = weight(H, H), weight(H, H), weight(H, H)

    def first(x: Any, state: Any) -> Any:
        a, b = state
        return np.tanh(x + a @ U + b @ V), np.sin(a * (b @ Q))

    def last(x: Any, state: Any) -> Any:
        a, b = state
        sin = np.sin(a * (b @ Q))
        return np.tanh(x + a @ U + b @ V), sin

    given = (state(1, H), state(1, H))
    for cell in (first, last):  # whichever row comes first in the gradient of b
        fused = carry(cse(graph_of(cell, inputs(1, H), given))).fused_adjoints
        assert list(fused) == [0, 1] and fused[0].row is not fused[1].row

    def one_row(x: Any, state: Any) -> Any:
        a, b = state
        return np.tanh(x + a @ U + b @ V), b * 0.5

    assert list(carry(cse(graph_of(one_row, inputs(1, H), given))).fused_adjoints) == [0]


def test_what_was_joined_follows_an_exchange() -> None:
    graph = carry(cse(graph_of(tg.RNNCell(D, H, rng=0), inputs(1))))
    fused = graph.fused_adjoints[0]
    for name in ("row", "matrix", "appended"):
        old = getattr(fused, name)
        other = Value(old.shape, old.dtype, "other")
        found = substituted(graph, {old: other}).fused_adjoints[0]
        assert found == replace(fused, **{name: other})
