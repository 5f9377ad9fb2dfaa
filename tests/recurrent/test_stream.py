"""The online form: the gradients of `unroll`, in memory that does not grow."""

from __future__ import annotations

import copy
import gc
import itertools
import tracemalloc
import weakref

import numpy as np
import pytest

import tinygrad_rnn as tg
from tests.recurrent.own_strategies import for_all, for_each

T, B, D, H = 17, 2, 3, 4

STRATEGIES = [
    tg.Full(),
    tg.Subsequence(5),
    tg.Subsequence([3, 4]),
    tg.Window(0),
    tg.Window(1),
    tg.Window(4),
    tg.Window([0, 3]),
    tg.TBPTT(3, 3),
    tg.TBPTT(3, 7),
    tg.TBPTT([2, 3], [5, 4]),
    tg.Randomized(0.6, 3),
    tg.Randomized(0.6, 3, batch=B),
    tg.Randomized.from_links(np.linspace(0, 2, T - 1)),
    tg.Randomized.scheduled(3, 4, 3),
    *for_all(T),
    *for_each(T, B),
]


def again(truncation):
    """The same strategy before its first draw."""
    return copy.deepcopy(truncation)


CELLS = {"rnn": tg.RNNCell, "lstm": tg.LSTMCell, "gru": tg.GRUCell}


@pytest.mark.parametrize("kind", CELLS)
@pytest.mark.parametrize("truncation", STRATEGIES, ids=repr)
def test_the_gradients_are_those_of_unroll(kind, truncation):
    cell = CELLS[kind](D, H, rng=0)
    rng = np.random.default_rng(1)
    xs, weight = rng.normal(size=(T, B, D)), rng.normal(size=(T, B, H))
    start = tg.Tensor(rng.normal(size=(B, H)), requires_grad=True)
    start = (start, start * 1.0) if kind == "lstm" else start
    inputs = [*cell.parameters().values(), start[0] if kind == "lstm" else start]

    states, _ = tg.unroll(cell, xs, start, again(truncation))
    loss = sum(np.sum(w * cell.output(h)) for w, h in zip(weight, states, strict=True))
    expected = tg.gradients(loss, inputs)

    found = [np.zeros_like(x.data) for x in inputs]
    for t, h in enumerate(tg.stream(cell, iter(xs), start, again(truncation))):
        np.testing.assert_allclose(cell.output(h).data, cell.output(states[t]).data, atol=1e-15)
        assert cell.output(h).name == f"h_{t + 1}" and cell.output(h).node.step == t
        for total, part in zip(
            found, tg.gradients(np.sum(weight[t] * cell.output(h)), inputs), strict=True
        ):
            total += part
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=0, atol=1e-12)


@pytest.mark.parametrize("truncation", [tg.Subsequence(5), tg.TBPTT(5, 5), tg.TBPTT(5, 8)])
def test_the_losses_of_a_chunk_may_be_differentiated_together(truncation):
    cell = tg.RNNCell(D, H, rng=0)
    xs = np.random.default_rng(1).normal(size=(20, B, D))
    states, _ = tg.unroll(cell, xs, truncation=truncation)
    expected = tg.gradients(sum(np.sum(h * h) for h in states), [cell.W_hh])[0]
    loss = 0.0
    for t, h in enumerate(tg.stream(cell, xs, truncation=truncation)):
        loss = loss + np.sum(h * h)
        if t % 5 == 4:
            loss.backward()
            loss = 0.0
    np.testing.assert_allclose(cell.W_hh.grad, expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("k", [0, 1, 3])
def test_a_window_keeps_k_and_one_states_alive(k):
    cell = tg.RNNCell(D, H, rng=0)
    endless = (np.ones((B, D)) for _ in itertools.count())
    alive: weakref.WeakSet[tg.Tensor] = weakref.WeakSet()
    gc.disable()
    try:
        for t, h in enumerate(
            itertools.islice(tg.stream(cell, endless, truncation=tg.Window(k)), 20)
        ):
            alive.add(h)
            np.sum(h).backward()
            assert len(alive) == min(t, k) + 1
            steps = {node.step for node in tg.tape(h) if node.edges}
            assert steps == set(range(max(0, t - k), t + 1))
    finally:
        gc.enable()


STREAMING = [
    tg.Window(3),
    tg.Window([1, 3]),
    tg.Subsequence(7),
    tg.TBPTT(2, 5),
]


@pytest.mark.parametrize("truncation", STREAMING, ids=repr)
def test_memory_is_flat(truncation):
    """No cycle either: the collector is off."""
    peaks = peaks_of_memory(truncation, 4, warm_up=2200)
    # One object left behind per step, and be it the smallest, would be 16 bytes × 300 steps more
    # from peak to peak; Python's own caches, whose hits depend on the hour, are worth far less.
    assert peaks[-1] - peaks[0] < 16 * 300 * (len(peaks) - 1) / 2
    assert max(peaks) < 60_000  # all 300 steps would be a million bytes


def peaks_of_memory(truncation, times, warm_up=0):
    """The peak over 300 steps, again and again. Python keeps up to 2000 freed tuples of each
    length for later; it takes a warm-up until it has them."""
    cell = tg.RNNCell(1, 2, rng=0)
    endless = (np.ones((2, 1)) for _ in itertools.count())
    states = tg.stream(cell, endless, truncation=truncation)
    gc.disable()
    try:
        for h in itertools.islice(states, warm_up):
            np.sum(h).backward()
        tracemalloc.start()
        peaks = []
        for _ in range(times):
            tracemalloc.reset_peak()
            for h in itertools.islice(states, 300):
                np.sum(h).backward()
            peaks.append(tracemalloc.get_traced_memory()[1])
    finally:
        tracemalloc.stop()
        gc.enable()
    return peaks


def test_memory_is_flat_over_thirty_thousand_steps():
    nodes: weakref.WeakSet[object] = weakref.WeakSet()
    w = tg.Tensor(0.5, requires_grad=True)
    zero = np.zeros(())
    gc.disable()
    try:
        inputs = itertools.repeat(zero, 30_000)
        for t, h in enumerate(tg.stream(lambda x, h: w * h + x, inputs, zero, tg.Window(5))):
            if t % 1000 == 0:
                nodes.add(h.node)
                assert len(nodes) <= 1 and len(tg.tape(h)) < 30
    finally:
        gc.enable()
    assert t == 29_999


def test_the_next_input_is_not_asked_for_too_early():
    asked = []

    def inputs():
        for t in itertools.count():
            asked.append(t)
            yield np.ones((B, D))

    states = tg.stream(tg.RNNCell(D, H, rng=0), inputs())
    assert asked == []
    next(states), next(states)
    assert asked == [0, 1]


def test_between_two_states_the_caller_is_not_marked():
    w = tg.Tensor(2.0, requires_grad=True)
    for _ in tg.stream(tg.RNNCell(D, H, rng=0), np.ones((3, B, D))):
        assert (w * w).node.step is None


def test_a_long_text_chunk_by_chunk():
    """Subsequence over the whole, and by chunks with the state carried over: the same."""
    k, text = 8, np.random.default_rng(0).integers(5, size=(100, B))
    cell = tg.LSTMCell(5, H, rng=0)
    xs = tg.one_hot(text, 5)
    states, _ = tg.unroll(cell, xs, truncation=tg.Subsequence(k))
    whole = tg.gradients(sum(np.sum(h * h) for h, _ in states), list(cell.parameters().values()))

    state = cell.initial_state(B)
    alive: weakref.WeakSet[object] = weakref.WeakSet()
    for start in range(0, len(xs), k):
        chunk, state = tg.unroll(cell, xs[start : start + k], state)
        sum(np.sum(h * h) for h, _ in chunk).backward()
        alive.update(h.node for h, _ in chunk)
        state = tg.detach(state)
        del chunk
        assert len(alive) == 0  # of a chunk that is done with nothing stays
    for parameter, expected in zip(cell.parameters().values(), whole, strict=True):
        np.testing.assert_allclose(parameter.grad, expected, rtol=0, atol=1e-12)


def test_messages():
    cell = tg.RNNCell(D, H, rng=0)
    with pytest.raises(ValueError, match="step 1 has the shape"):
        list(tg.stream(cell, [np.ones((B, D)), np.ones((B, 1))]))
    with pytest.raises(ValueError, match="more than 3 steps, but only 2 links"):
        list(tg.stream(cell, np.ones((5, B, D)), truncation=tg.Randomized.from_links([1, 0])))
    with pytest.raises(TypeError, match="pass the initial state"):
        list(tg.stream(lambda x, h: h, np.ones((5, B, D))))
    with pytest.raises(TypeError, match=r"tg\.Window"):
        tg.stream(cell, [], truncation="full")


@pytest.mark.parametrize("k", [0, 2, 5])
def test_parameters_may_be_replaced_on_the_way(k):
    """Online learning: a step keeps the weights it was taken with until it is out of reach."""
    rng = np.random.default_rng(0)
    cell, xs = tg.RNNCell(D, H, rng=0), rng.normal(size=(12, B, D))
    versions, states, W = [], [np.zeros((B, H))], cell.W_hh
    for t, h in enumerate(tg.stream(cell, xs, truncation=tg.Window(k))):
        versions.append(W.data)
        states.append(h.data)
        found = tg.gradients(np.sum(h * h), [W])[0]

        first = max(0, t - k)
        copies = [tg.Tensor(v, requires_grad=True) for v in versions[first:]]
        again = tg.Tensor(states[first])
        for s, own in enumerate(copies, first):
            again = np.tanh(xs[s] @ cell.W_xh.data + again @ own + cell.b_h.data)
        expected = sum(tg.gradients(np.sum(again * again), copies))
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-13)
        W.data = W.data - 0.1 * found


@pytest.mark.parametrize("truncation", [tg.Window(1), tg.TBPTT(2, 3)])
def test_a_part_that_the_cell_hands_through(truncation):
    """It is a state like any other: cut where the window ends, and the caller's own value not."""
    W = tg.Tensor(np.random.default_rng(0).normal(size=(H, H)), requires_grad=True)
    m = tg.Tensor(np.ones((B, H)), requires_grad=True)
    xs = np.random.default_rng(1).normal(size=(5, B, H))

    def cell(x, state):
        return np.tanh(x + state[0] @ W + state[1]), state[1]

    def reach(run):
        context = m * 2
        slopes = []
        for h, _ in run(cell, xs, (np.zeros((B, H)), context), truncation):
            m.grad = None
            np.sum(h).backward()
            slopes.append(m.grad)
        np.sum(context).backward()
        assert m.grad is not None
        return slopes

    online = reach(tg.stream)
    at_once = reach(lambda *args: tg.unroll(*args)[0])
    for one, other in zip(online, at_once, strict=True):
        assert (one is None) == (other is None)
        if one is not None:
            np.testing.assert_allclose(one, other, rtol=1e-13)


@pytest.mark.parametrize(
    "strategy", [tg.Randomized.from_links([1, 0, 2, 1]), tg.Randomized([0.5, 0.5, 0.5, 0.5], 0)]
)
def test_one_link_too_many(strategy):
    xs = np.ones((4, B, D))
    with pytest.raises(ValueError, match=r"ended after 4 steps.*3 links between them, but 4"):
        list(tg.stream(tg.RNNCell(D, H, rng=0), xs, truncation=strategy))


def test_a_link_for_no_steps():
    with pytest.raises(ValueError, match=r"the shape \(0,\) or .*, but .* have the shape \(1,\)"):
        list(tg.stream(tg.RNNCell(D, H, rng=0), [], truncation=tg.Links([1.0])))


@pytest.mark.parametrize("truncation", [tg.Window(1), tg.Window([0, 1]), tg.TBPTT(2, 3)], ids=repr)
def test_a_part_that_the_cell_did_not_compute(truncation):
    """A parameter and a value from outside are parts of the state as soon as the cell returns
    them: what is beyond the reach is cut there, and they themselves are not."""
    rng = np.random.default_rng(0)
    w, V = (tg.Tensor(rng.normal(size=s), requires_grad=True) for s in ((B, H), (H, H)))
    outside, xs = w * 2, rng.normal(size=(6, B, H))

    def cell(x, state):
        h, a, b, array = state
        return np.tanh(x + h @ V + a + b + array), w, outside, np.ones((B, H))

    start = tuple(np.zeros((4, B, H)))
    states, _ = tg.unroll(cell, xs, start, truncation)
    expected = tg.gradients(sum(np.sum(np.sin(h)) for h, *_ in states), [w, V])
    found = [0.0, 0.0]
    for h, *_ in tg.stream(cell, xs, start, truncation):
        each = tg.gradients(np.sum(np.sin(h)), [w, V])
        found = [total + part for total, part in zip(found, each, strict=True)]
    for mine, theirs in zip(found, expected, strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=0, atol=1e-13)
    np.testing.assert_array_equal(tg.gradients(np.sum(outside), [w])[0], np.full((B, H), 2.0))
