"""Unrolling: any cell, any state, every way to give a sequence; names, marks and messages."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pytest

import tinygrad_rnn as tg
from tinygrad_rnn.recurrent.unroll import Unroller

T, B, D, H = 7, 2, 3, 4


@pytest.fixture
def xs():
    return np.random.default_rng(0).normal(size=(T, B, D))


@pytest.fixture
def cell():
    return tg.RNNCell(D, H, rng=1)


def total(states):
    return sum(np.sum(h * h) for h in states)


def gradient(states, cell):
    return tg.gradients(total(states), [cell.W_hh])[0]


def test_the_steps_are_those_of_a_loop(cell, xs):
    states, last = tg.unroll(cell, xs)
    h = np.zeros((B, H))
    for t in range(T):
        h = np.tanh(xs[t] @ cell.W_xh.data + h @ cell.W_hh.data + cell.b_h.data)
        np.testing.assert_allclose(states[t].data, h, rtol=0, atol=1e-15)
    assert last is states[-1]


def test_an_array_a_tensor_and_a_list_are_the_same_sequence(cell, xs):
    expected = gradient(tg.unroll(cell, xs)[0], cell)
    for same in (tg.Tensor(xs), list(xs), [tg.Tensor(x) for x in xs], xs.tolist()):
        np.testing.assert_array_equal(gradient(tg.unroll(cell, same)[0], cell), expected)


def test_the_gradient_of_the_inputs(cell, xs):
    whole = tg.Tensor(xs, requires_grad=True)
    one_by_one = [tg.Tensor(x, requires_grad=True) for x in xs]
    for truncation in (tg.Full(), tg.Subsequence(3), tg.Window(2)):
        found = tg.gradients(total(tg.unroll(cell, whole, truncation=truncation)[0]), [whole])[0]
        parts = tg.gradients(total(tg.unroll(cell, one_by_one, None, truncation)[0]), one_by_one)
        np.testing.assert_allclose(found, parts, rtol=0, atol=1e-15)


def test_nothing_is_recorded_under_no_grad(cell, xs):
    with tg.no_grad():
        states, last = tg.unroll(cell, xs)
    assert not last.requires_grad and len(tg.tape(*states)) == T


def test_a_sequence_of_no_steps(cell):
    start = tg.Tensor(np.ones((B, H)))
    states, last = tg.unroll(cell, np.zeros((0, B, D)), start)
    assert states == [] and last is start


@pytest.mark.parametrize("truncation", [tg.Full(), tg.Subsequence(3), tg.Window(1), tg.TBPTT(2, 3)])
def test_names_and_steps_for_the_pictures(cell, xs, truncation):
    states, last = tg.unroll(cell, xs, truncation=truncation)
    assert [h.name for h in states] == [f"h_{t}" for t in range(1, T + 1)]
    assert [h.node.step for h in states] == list(range(T))
    names = {node.name for node in tg.tape(total(states))}
    assert names >= {"h_0", "W_xh", "W_hh", "b_h", *(f"x_{t}" for t in range(1, T + 1))}
    made = [node for node in tg.tape(last) if node.edges]
    assert {node.step for node in made} == set(range(truncation.earliest(T - 1), T))


def test_a_run_counts_its_steps_upwards(cell, xs):
    states, _ = Unroller(cell, xs, None, None).unrolled(tg.Full())
    assert [h.name for h in states] == [f"h_{t}" for t in range(1, T + 1)]


def test_the_inputs_belong_to_their_steps(cell, xs):
    _, last = tg.unroll(cell, tg.Tensor(xs, requires_grad=True, name="x"))
    named = {node.name: node.step for node in tg.tape(last) if node.name}
    assert {f"x_{t + 1}": t for t in range(T)}.items() <= named.items()


def test_names_of_states_of_several_parts(xs):
    w = tg.Tensor(0.5, requires_grad=True)

    def names(cell, state):
        return tg.unroll(cell, xs[:2], state)[0][1]

    x = np.zeros((B, D))
    pair = names(lambda x, s: (w * s[0] + x, s[0] + s[1]), (x, x))
    assert [part.name for part in pair] == ["h_2^a", "h_2^b"]  # which are no layers
    listed = names(lambda x, s: [w * s[0] + x, s[0] + s[1]], [x, x])
    assert [part.name for part in listed] == ["h_2^(1)", "h_2^(2)"]
    nested = names(lambda x, s: ((w * s[0][0], w * x), w * s[1]), ((x, x), x))
    assert nested[0][0].name == "h_2^aa" and nested[0][1].name == "h_2^ab"
    assert nested[1].name == "h_2^b"
    layers = names(lambda x, s: [(w * s[0][0], w * x)], [(x, x)])
    assert [part.name for part in layers[0]] == ["h_2^(1,a)", "h_2^(1,b)"]
    by_key = names(lambda x, s: {"v": w * s["v"], "u": s["v"] * w}, {"v": x, "u": x})
    assert by_key["v"].name == "v_2" and by_key["u"].name == "u_2"


def test_a_name_given_by_the_cell_stays(cell, xs):
    states, _ = tg.unroll(lambda x, h: cell(x, h).named("mine"), xs, np.zeros((B, H)))
    assert {h.name for h in states} == {"mine"}


class Pair(NamedTuple):
    h: tg.Tensor
    c: tg.Tensor


@pytest.mark.parametrize("truncation", [tg.Full(), tg.Subsequence(3), tg.Window(2), tg.TBPTT(2, 4)])
def test_a_state_keeps_its_nesting_and_is_cut_in_every_part(xs, truncation):
    W = tg.Tensor(np.random.default_rng(2).normal(size=(D, D)), requires_grad=True)
    start = np.zeros((B, D))

    def step(x, h, c):
        c = 0.9 * c + np.tanh(x + h @ W)
        return np.tanh(c), c

    def dictionary(x, s):
        h, (c,) = s["h"], s["rest"]
        h, c = step(x, h, c)
        return {"h": h, "rest": [c]}

    flat, _ = tg.unroll(lambda x, s: step(x, *s), xs, (start, start), truncation)
    named, _ = tg.unroll(lambda x, s: Pair(*step(x, *s)), xs, Pair(start, start), truncation)
    keyed, _ = tg.unroll(dictionary, xs, {"h": start, "rest": [start]}, truncation)
    assert isinstance(named[0], Pair)
    found = [
        tg.gradients(total(h), [W])[0]
        for h in ([s[0] for s in flat], [s.h for s in named], [s["h"] for s in keyed])
    ]
    np.testing.assert_array_equal(found[0], found[1])
    np.testing.assert_array_equal(found[0], found[2])


@pytest.mark.parametrize("truncation", [tg.Full(), tg.Subsequence(2), tg.Window(2), tg.TBPTT(2, 3)])
def test_the_initial_state_is_reached_by_the_losses_with_reach_zero(cell, xs, truncation):
    start = tg.Tensor(np.full((B, H), 0.3), requires_grad=True)
    states, _ = tg.unroll(cell, xs, start, truncation)
    for t, h in enumerate(states):
        reaches = truncation.earliest(t) == 0
        assert reaches == np.any(tg.gradients(np.sum(h), [start])[0] != 0)


# Reset and detach ---------------------------------------------------------------------------


def test_detach_keeps_the_values_and_reset_does_not(cell, xs):
    _, last = tg.unroll(cell, xs)
    np.testing.assert_array_equal(tg.detach(last).data, last.data)
    np.testing.assert_array_equal(tg.reset(last).data, np.zeros((B, H)))
    for cut in (tg.detach, tg.reset):
        assert not cut(last).requires_grad
        parts = cut({"a": (last, [last])})
        assert parts["a"][1][0].shape == (B, H)
    # In a picture: a detached value knows what it was cut from, a reset one comes from nowhere.
    assert [cut() for cut in tg.detach(last).node.severed] == [last.node]
    assert tg.reset(last).node.severed == ()


def test_detach_and_reset_of_single_rows(cell, xs):
    _, last = tg.unroll(cell, xs)
    rows = [True, False]
    detached, zeroed = tg.detach(last, rows), tg.reset(last, rows)
    np.testing.assert_array_equal(detached.data, last.data)
    np.testing.assert_array_equal(zeroed.data, last.data * [[0], [1]])
    for cut in (detached, zeroed):
        np.testing.assert_array_equal(
            tg.gradients(np.sum(cut), [last])[0], np.ones((B, H)) * [[0], [1]]
        )
    assert detached.node.function is tg.scale_gradient  # a scaled link in a picture,
    assert zeroed.name == "reset"  # and a box of its own
    with pytest.raises(ValueError, match="each of 3 sequences"):
        tg.reset(last, [True, False, True])
    for cut in (tg.detach, tg.reset):
        with pytest.raises(TypeError, match=r"rows must be booleans, .* dtype is int64"):
            cut(last, [0, 1])  # which rows, or their numbers?


@pytest.mark.parametrize("truncation", [tg.Full(), tg.Subsequence(3), tg.Window(3)])
def test_rows_that_begin_anew_are_sequences_of_their_own(cell, xs, truncation):
    begins = np.zeros((T, B), bool)
    begins[4, 0] = begins[2, 1] = begins[5, 1] = True
    states, _ = tg.unroll(cell, xs, truncation=truncation, reset=begins)
    full, _ = tg.unroll(cell, xs, reset=begins)
    total_of_parts = np.zeros((H, H))
    for row, (first, last) in [(0, (0, 4)), (0, (4, 7)), (1, (0, 2)), (1, (2, 5)), (1, (5, 7))]:
        alone, _ = tg.unroll(cell, xs[first:last, row : row + 1])
        for t, h in enumerate(alone, first):
            np.testing.assert_allclose(states[t].data[row], h.data[0], rtol=0, atol=1e-15)
        total_of_parts += gradient(alone, cell)
    np.testing.assert_allclose(gradient(full, cell), total_of_parts, rtol=0, atol=1e-13)


# Messages -----------------------------------------------------------------------------------


def refused(*args, **kwargs):
    with pytest.raises((TypeError, ValueError)) as problem:
        tg.unroll(*args, **kwargs)
    message = str(problem.value)
    assert "\n" not in message
    return message


def test_messages_for_wrong_inputs(cell, xs):
    message = refused(cell, xs[:, 0])
    assert "(T, batch, 3)" in message and "xs[:, None, :]" in message and "(3,)" in message
    assert "step 0 has the shape (2, 2)" in refused(cell, xs[..., :2])
    assert "step 1 has the shape (3,)" in refused(cell, [xs[0], xs[1, 0]])
    assert "step 0 has the shape (2, 7, 3)" in refused(cell, [xs.swapaxes(0, 1)])
    assert "a single float" in refused(cell, 1.0)


def test_messages_for_wrong_states(cell, xs):
    assert "pass the initial state" in refused(lambda x, h: h, xs)
    for shape in (2, 5), (3, 4):
        message = refused(cell, xs, np.zeros(shape))
        assert "a state of shape (batch, 4)" in message and str(shape) in message
    start = np.zeros((1, H))
    assert "(1, 4)" in (message := refused(lambda x, h: cell(x, h), xs, start))
    assert "(2, 4)" in message and "step 0" in message
    two = (np.zeros((B, H)), np.zeros((B, H)))
    assert "step 0" in refused(lambda x, s: s[0], xs, two)


def test_messages_for_wrong_options(cell, xs):
    assert "tg.Subsequence(20)" in refused(cell, xs, truncation=20)
    assert "(7, 2)" in refused(cell, xs, reset=np.zeros((T, 3), bool))
    assert "float64" in refused(cell, xs, reset=np.zeros((T, B)))
    assert "each of 3 sequences" in refused(cell, xs, truncation=tg.Subsequence([1, 2, 3]))


def test_a_cell_says_what_does_not_fit(cell):
    with pytest.raises(ValueError, match=r"\(batch, 3\).*\(2, 5\)"):
        cell(np.zeros((2, 5)), np.zeros((2, H)))


def test_the_mark_is_restored_after_an_error(cell, xs):
    with pytest.raises(ValueError, match="does not fit"):
        tg.unroll(lambda x, h: (_ for _ in ()).throw(ValueError("does not fit")), xs, xs[0])
    w = tg.Tensor(1.0, requires_grad=True)
    assert (w * w).node.step is None


def test_what_a_window_records_stands_under_its_number():
    cell = tg.RNNCell(2, 3, rng=0)
    states, _ = tg.unroll(cell, np.ones((3, 1, 2)), truncation=tg.Window(1))
    uses = tg.contributions(np.sum(np.stack(states)), cell.W_hh)
    # The losses of the steps 0 and 1 reach back equally far, to step 0: one run serves both.
    assert [(use.step, use.scope) for use in uses] == [
        (0, ("window 1",)),
        (1, ("window 1",)),
        (1, ("window 3",)),
        (2, ("window 3",)),
    ]


@pytest.mark.parametrize("run", ["unroll", "stacked", "stream"])
def test_inputs_of_several_parts_without_recording(run):
    cell = lambda d, h: np.tanh(d["a"] * h + d["b"])  # noqa: E731
    xs = {"a": np.ones((3, 2, 4)), "b": np.full((3, 2, 4), 0.5)}
    state, expected = np.full((2, 4), 0.1), []
    for _ in range(3):
        expected.append(np.tanh((expected[-1] if expected else state) + 0.5))
    with tg.no_grad():
        if run == "stream":
            states = list(tg.stream(cell, xs, state))
        else:
            states, _ = tg.unroll(cell, xs, state, stacked=run == "stacked")
    found = states.data if run == "stacked" else [h.data for h in states]
    np.testing.assert_allclose(found, expected, rtol=1e-14)
    assert all(h.name is None for h in states) if run != "stacked" else states.name is None


def test_no_steps_stacked_and_no_state_to_begin_with(cell):
    states, last = tg.unroll(cell, np.zeros((0, 2, 3)), np.ones((2, 4)), stacked=True)
    assert states.shape == (0, 2, 4) and last.shape == (2, 4)
    with pytest.raises(ValueError, match="xs has no steps, so the batch size is unknown"):
        tg.unroll(cell, [])


def test_bytes_in_another_order_are_the_same_dtype():
    cell = lambda x, h: np.tanh(x + np.asarray(h))  # noqa: E731
    start = np.ones((2, 4), ">f8")
    with tg.no_grad():
        _, last = tg.unroll(cell, np.ones((3, 2, 4)), start)
    assert last.dtype == np.float64


@pytest.mark.parametrize("run", [tg.unroll, tg.scan, lambda *a: list(tg.stream(*a))])
def test_a_state_with_outputs_that_comes_back_otherwise(run):
    with pytest.raises(ValueError, match="for an output, but it returned"):
        run(lambda x, s: (s[0], s[0], s[0]), np.ones((3, 2, 4)), (np.ones((2, 4)), None))


def test_a_part_that_depends_on_nothing_is_not_cut():
    W = tg.Tensor(np.eye(4), requires_grad=True)
    cell = lambda x, s: (np.tanh(x + s[0] @ W), s[1] + 1.0)  # noqa: E731
    state = np.ones((2, 4)), np.zeros((2, 1))
    *_, (h, count) = tg.stream(cell, np.ones((5, 2, 4)), state, tg.Window(1))
    assert count.data.tolist() == [[5.0], [5.0]] and h.requires_grad and not count.requires_grad
