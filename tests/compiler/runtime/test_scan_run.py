"""A run is a node of the graph: who owns its buffers, and what its gradients are."""

from __future__ import annotations

import gc

import numpy as np

import tinygrad_rnn as tg
from tests.compiler.test_scan import B, D, H, T, parameter


def test_two_scans_before_the_first_backward_keep_their_own_buffers() -> None:
    cell = tg.RNNCell(D, H, rng=0)
    first_xs, second_xs = parameter(T, B, D, seed=1).data, parameter(T, B, D, seed=2).data
    first, _ = tg.scan(cell, first_xs)
    kept = first.data.copy()
    second, _ = tg.scan(cell, second_xs)
    np.sum(np.sin(first)).backward()
    np.sum(np.sin(second)).backward()
    np.testing.assert_array_equal(first.data, kept)
    total = cell.W_hh.grad.copy()
    cell.W_hh.grad = None
    for xs in (first_xs, second_xs):
        states, _ = tg.unroll(cell, xs)
        np.sum(np.sin(np.stack(states))).backward()  # type: ignore[call-overload]
    np.testing.assert_allclose(total, cell.W_hh.grad, rtol=0, atol=1e-12)


def test_states_that_somebody_still_holds_are_not_written_over() -> None:
    cell = tg.RNNCell(D, H, rng=0)
    with tg.no_grad():
        held = tg.scan(cell, np.ones((T, B, D)))[0].data
        before = held.copy()
        for n in range(4):
            tg.scan(cell, np.full((T, B, D), float(n)))
    np.testing.assert_array_equal(held, before)


def test_backward_twice_adds_up() -> None:
    cell = tg.LSTMCell(D, H, rng=0)
    (states, _), _ = tg.scan(cell, np.ones((T, B, D)))
    loss = np.sum(np.sin(states))
    loss.backward()
    once = cell.W_hh.grad.copy()
    loss.backward()
    np.testing.assert_allclose(cell.W_hh.grad, 2 * once, rtol=1e-14)


def test_dropping_the_loss_frees_the_graph_at_once() -> None:
    cell = tg.RNNCell(D, H, rng=0)
    gc.disable()
    try:
        states, last = tg.scan(cell, np.ones((T, B, D)))
        run = next(kept[1] for *_, kept in states.node.edges if kept)
        space = run.space
        assert space.busy
        del run, states, last
        assert not space.busy
    finally:
        gc.enable()


def test_a_scan_is_one_node() -> None:
    cell = tg.RNNCell(D, H, rng=0)
    states, _ = tg.scan(cell, np.ones((T, B, D)))
    names = [node.name or node.function.__name__ for node in tg.tape(np.sum(states))]
    assert sorted(names) == ["W_hh", "W_xh", "b_h", "h", "h_0", "sum", "x"]
    (state, memory), _ = tg.scan(tg.LSTMCell(D, H, rng=0), np.ones((T, B, D)))
    made = [n.function.__name__ for n in tg.tape(np.sum(state + memory)) if n.function is not None]
    assert (state.name, memory.name) == ("h", "c")
    assert sorted(made) == ["add", "part", "part", "scan", "sum"]


def test_contributions_of_a_scan() -> None:
    cell = tg.RNNCell(D, H, rng=0)
    states, _ = tg.scan(cell, np.ones((T, B, D)))
    loss = np.sum(np.sin(states))
    (use,) = tg.contributions(loss, cell.W_hh)
    loss.backward()
    np.testing.assert_array_equal(use.gradient, cell.W_hh.grad)
