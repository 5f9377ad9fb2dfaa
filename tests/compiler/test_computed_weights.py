"""Cells whose weights were computed from other Tensors: the gradient flows on through these."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tinygrad_rnn as tg
from tests.compiler.test_scan import B, D, H, T, compare, parameter, stacked
from tinygrad_rnn.compiler.frontend.refusals import TraceError

XS = parameter(T, B, D, seed=1).data
W = parameter(H, H)  # older than the other weight: a cell may carry what is newer than its origin
W_xh = parameter(D, H, name="W_xh")


def cell_with(weight: Any) -> Callable[[Any, Any], Any]:
    return lambda x, h: np.tanh(x @ W_xh + h @ weight)


def loss_of(run: Callable[..., Any], cell: Any, xs: Any, state: Any, **options: Any) -> Any:
    states, last = run(cell, xs, state, **options)
    return np.sum(np.sin(stacked(states)[0])) + np.sum(last * last)


TRUNCATIONS = [tg.Full(), tg.Subsequence(2), tg.Window(2)]


@pytest.mark.parametrize("truncation", TRUNCATIONS, ids=repr)
def test_a_computed_weight(truncation: Any) -> None:
    compare(cell_with(np.tanh(W) * 2), parameter(B, H), [W, W_xh], truncation=truncation)


def test_a_weight_and_what_was_computed_from_it() -> None:
    twice = np.tanh(W) * 2
    compare(lambda x, h: np.tanh(x @ W_xh + h @ W + h @ twice), parameter(B, H), [W, W_xh])


def test_a_cell_whose_attribute_was_computed() -> None:
    cell = tg.RNNCell(D, H, rng=0)
    weights = list(cell.parameters().values())
    cell.W_hh = cell.W_hh * 0.9
    compare(cell, None, weights)


def test_the_kept_program_serves_leaves_and_computed_weights() -> None:
    state = parameter(B, H)
    for weight in (W, np.tanh(W), W * 0.5, W):
        compare(cell_with(weight), state, [W, W_xh])
    sources = {
        tg.scan_source(cell_with(weight), XS, np.zeros((B, H)), backend="numpy")
        for weight in (W, np.tanh(W))
    }
    assert len(sources) == 1 and "h_prev.dot(weight, " in sources.pop()


def test_its_own_history_stays_as_it_was() -> None:
    computed = np.tanh(W).named("W_hh")
    array, node = computed.data, computed.node
    tg.scan(cell_with(computed), XS, np.zeros((B, H)))
    assert computed.data is array and computed.node is node and computed.name == "W_hh"
    with pytest.raises(ZeroDivisionError):
        tg.scan(lambda x, h: h @ computed * (1 // 0), XS, np.zeros((B, H)))
    assert computed.data is array and computed.node is node


def penalty(run: Callable[..., Any], truncation: Any, xs: Any) -> Any:
    """Of the gradients with respect to weights of which one was computed from the other, with
    inputs and initial state that were computed from it, too."""
    computed = np.tanh(W) * 2
    xs = xs * np.sum(W)
    cell = cell_with(computed * 0.5 + W)
    loss = loss_of(run, cell, xs, np.sin(W)[:B], truncation=truncation)
    found = tg.gradients(loss, [W, computed, xs], create_graph=True)
    return sum(np.sum(g**2) for g in found)


@pytest.mark.parametrize("truncation", TRUNCATIONS, ids=repr)
def test_second_derivatives(truncation: Any) -> None:
    found = []
    for run in (tg.unroll, tg.scan):
        xs = tg.Tensor(XS, requires_grad=True)
        value = penalty(run, truncation, xs)
        found.append([value.data, *tg.gradients(value, [W, xs, W_xh])])
    for mine, theirs in zip(*found, strict=True):
        assert np.abs(theirs).max() > 0.01
        np.testing.assert_allclose(mine, theirs, rtol=1e-12, atol=1e-12)


def test_a_second_derivative_flows_once_through_what_is_state_and_weight() -> None:
    start = parameter(B, H, seed=3)
    found = []
    for run in (tg.unroll, tg.scan):
        loss = loss_of(run, lambda x, h: np.tanh(x @ W_xh + h * start), XS, start)
        (g,) = tg.gradients(loss, [start], create_graph=True)
        found.append([g.data, *tg.gradients(np.sum(g**2), [start, W_xh])])
    for mine, theirs in zip(*found, strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=1e-12, atol=1e-12)


def test_functions_of_a_weight() -> None:
    point, along = parameter(H, H).data, parameter(H, H, seed=2).data
    tracked = np.tanh(W)
    for ask in (
        lambda f: tg.hvp(f, point, along),
        lambda f: tg.hvp(lambda V: f(np.tanh(V)), point, along),
        lambda f: tg.grad(f)(tracked),
        lambda f: tg.jvp(f, point, along)[1],
        lambda f: tg.jvp(lambda p: tg.grad(f)(p), point, along)[1],
    ):
        mine, theirs = (
            ask(lambda V, run=run: loss_of(run, cell_with(V * V), XS, np.zeros((B, H))))
            for run in (tg.scan, tg.unroll)
        )
        assert type(mine) is type(theirs)
        mine, theirs = tg.Tensor(mine).data, tg.Tensor(theirs).data
        assert np.abs(theirs).max() > 0.01
        np.testing.assert_allclose(mine, theirs, rtol=1e-12, atol=1e-12)


def test_a_hidden_tensor_that_is_newer_than_those_the_cell_carries() -> None:
    newer = itertools.repeat(parameter(H, H))
    with pytest.raises(TraceError, match="cannot be found from the cell"):
        tg.scan(lambda x, h: np.tanh(x @ W_xh + h @ next(newer)), XS, np.zeros((B, H)))


def test_a_tensor_as_seed_where_nothing_is_recorded() -> None:
    loss = loss_of(tg.scan, cell_with(W), XS, np.zeros((B, H)))
    with tg.no_grad():
        (found,) = tg.gradients(loss, [W], seed=tg.Tensor(1.0))
    np.testing.assert_array_equal(tg.Tensor(found).data, tg.gradients(loss, [W])[0])
