"""Inputs of several parts: dicts of sequences, and lists of nested steps."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tinygrad_rnn as tg
from tests.compiler.test_scan import compare, parameter
from tinygrad_rnn.recurrent.state import form_of
from tinygrad_rnn.training.cell_with_loss import CellWithLoss

T, B, D, H = 6, 2, 3, 4
W, V, U = parameter(D, H), parameter(D, H, seed=1), parameter(H, H, seed=2)
X, Z = parameter(T, B, D, seed=7), parameter(T, B, D, seed=8)


def cell(given: Any, h: Any) -> Any:
    return np.tanh(given["x"] @ W + given["z"] @ V + h @ U)


@pytest.mark.parametrize("truncation", [None, tg.Subsequence(2), tg.Window(2)], ids=repr)
def test_a_dict_of_sequences(truncation: Any) -> None:
    inputs = [W, V, U, X, Z]
    compare(cell, np.zeros((B, H)), inputs, {"x": X, "z": Z}, truncation=truncation)
    compare(cell, np.zeros((B, H)), [W, V, U, Z], {"x": list(X.data), "z": Z})
    rows = np.random.default_rng(0).random((T, B)) < 0.4
    compare(cell, np.zeros((B, H)), inputs, {"x": X, "z": Z}, reset=rows, truncation=truncation)


def test_nested_steps() -> None:
    def of_pairs(given: Any, h: Any) -> Any:
        (x, z), n = given
        return cell({"x": x * n, "z": z}, h)

    steps = [
        ((x, z), np.asarray(float(n))) for n, (x, z) in enumerate(zip(X.data, Z.data, strict=True))
    ]
    compare(of_pairs, np.zeros((B, H)), [W, V, U], steps)
    compare(lambda given, h: of_pairs(given["a"], h), np.zeros((B, H)), [W, V, U], {"a": steps})


def test_steps_are_paired_by_their_keys() -> None:
    steps = [{"x": x, "z": z} for x, z in zip(X.data, Z.data, strict=True)]
    steps[1] = {"z": steps[1]["z"], "x": steps[1]["x"]}
    compare(cell, np.zeros((B, H)), [W, V, U], steps)
    steps[2] = {"x": steps[2]["x"], "y": steps[2]["z"]}
    with pytest.raises(ValueError, match=r"nested alike, .* {'x': ..., 'z': ...} and .* 'y'"):
        tg.scan(cell, steps, np.zeros((B, H)))
    with pytest.raises(ValueError, match=r"must have one shape, but they have \(2, 3\), \(1, 3\)"):
        tg.scan(cell, [{"x": x, "z": x} for x in (X.data[0], X.data[0][:1])], np.zeros((B, H)))


def test_numbers_in_lists() -> None:
    compare(lambda x, h: np.tanh(x @ W + h @ U), np.zeros((B, H)), [W, U], X.data.tolist())
    labels = np.random.default_rng(0).integers(0, H, (T, B))
    model = CellWithLoss(tg.RNNCell(D, H, rng=0), tg.cross_entropy)
    (_, losses), _ = tg.scan(model, {"x": X.data, "y": labels.tolist()})
    np.testing.assert_array_equal(
        losses.data, tg.scan(model, {"x": X.data, "y": labels})[0][1].data
    )
    big = labels.astype(">i8")
    of_big = tg.scan(model, {"x": X.data, "y": big})[0][1].data
    np.testing.assert_allclose(losses.data, of_big, rtol=1e-14)


def test_names_of_the_parts() -> None:
    _, last = tg.unroll(cell, {"x": X, "z": Z}, np.zeros((B, H)))
    assert {"x_1", "z_1", "x_6", "z_6", "h_6"} <= {node.name for node in tg.tape(last)}
    states, _ = tg.scan(cell, {"x": X.data, "z": Z.data}, np.zeros((B, H)))
    assert {"x", "z", "h"} <= {node.name for node in tg.tape(states)}
    assert "def forward(h_0, x, z, W" in tg.scan_source(cell, {"x": X, "z": Z}, np.zeros((B, H)))
    source = tg.scan_source(
        lambda x, h: np.tanh(x[0] @ W + x[1] @ V + h),
        list(zip(X, Z, strict=True)),
        np.zeros((B, H)),
    )
    assert "def forward(h_0, x_a, x_b, W, V" in source
    (h,) = tg.unroll(lambda x, h: x[0] + x[1] + h, [(X[0], Z[0])], np.zeros((B, D)))[0]
    assert h.name == "h_1"


@pytest.mark.parametrize("run", [tg.unroll, tg.scan])
def test_what_cannot_be(run: Any) -> None:
    with pytest.raises(ValueError, match=r"one length T, but these have 6 \(x\), 5 \(z\)"):
        run(cell, {"x": X, "z": Z.data[1:]}, np.zeros((B, H)))
    with pytest.raises(ValueError, match="it is empty"):
        run(cell, {}, np.zeros((B, H)))
    with pytest.raises((TypeError, ValueError), match=r"sequence|one length"):
        run(cell, {"x": X, "z": np.ones(())}, np.zeros((B, H)))
    with pytest.raises(TypeError, match=r"xs\[.z.\] must be a sequence, .* is a single NoneType"):
        run(cell, {"x": X.data, "z": None}, np.zeros((B, H)))


def test_a_model_in_the_graph() -> None:
    cell = tg.RNNCell(D, H, rng=0)
    model = CellWithLoss(cell, lambda h, y: np.sum(h * y))
    states, (last, loss) = tg.unroll(model, {"x": X.data, "y": np.ones((T, B, H))})
    assert (last.name, loss.name) == ("h_6", "l_6")
    assert [loss.shape for _, loss in states] == [()] * T
    (_, losses), _ = tg.scan(model, {"x": X.data, "y": np.ones((T, B, H))})
    names = {node.name for node in tg.tape(losses)}
    assert {"h_0", "x", "y", "W_xh", "l"} <= names and "l_0" not in names  # which no step reads
    stacked = CellWithLoss(tg.Stacked([tg.LSTMCell(D, H, rng=0), cell.__class__(H, H, rng=0)]), max)
    assert tg.recurrent.names.names_of(stacked, form_of(stacked.initial_state(2))) == [
        ("h_", "^(1)"), ("c_", "^(1)"), ("h_", "^(2)"), ("l_", ""),
    ]  # fmt: skip


def test_states_of_the_stream() -> None:
    model = CellWithLoss(tg.RNNCell(D, H, rng=0), lambda h, y: np.sum(h * y))
    sequence = {"x": X.data, "y": np.ones((T, B, H))}
    steps = [{"x": x, "y": y} for x, y in zip(*sequence.values(), strict=True)]
    states, _ = tg.unroll(model, sequence)
    for given in (steps, sequence):
        for (h, loss), (expected, same) in zip(tg.stream(model, given), states, strict=True):
            np.testing.assert_array_equal(h.data, expected.data)
            assert loss.data == same.data


@pytest.mark.parametrize("run", [tg.unroll, tg.scan])
def test_states_and_sequences_that_cannot_be(run: Any) -> None:
    lstm, xs = tg.LSTMCell(D, H, rng=0), X.data
    with pytest.raises(TypeError, match=r"LSTMCell has 2 parts .* one array of shape \(2, 4\)"):
        run(lstm, xs, np.zeros((B, H)))
    with pytest.raises(TypeError, match=r"has 1 part .* 2 arrays"):
        run(tg.RNNCell(D, H, rng=0), xs, (np.zeros((B, H)), np.zeros((B, H))))
    with pytest.raises(TypeError, match=r"xs is a tuple of 6.* list or an array"):
        run(tg.RNNCell(D, H, rng=0), tuple(xs))
    with pytest.raises(ValueError, match=r"\(2, 3\).*\(1, 3\)"):
        run(lambda x, h: np.tanh(x @ W + h), [*xs[:3], xs[3][:1]], np.zeros((B, H)))
    with pytest.raises(ValueError, match=r"3 sequences, but the state has the shape \(2, 4\)"):
        run(tg.RNNCell(D, H, rng=0), xs, None, tg.Window((1, 2, 3)))
    for state in (np.zeros((B, H), np.float32), np.zeros((B, H), int)):
        with pytest.raises(TypeError, match=r"returned one of float64: inputs, parameters"):
            run(lambda x, h: np.tanh(x @ W + h @ U), xs, state)


def test_steps_without_an_input_and_states_without_parts() -> None:
    for state in (np.ones((B, H)), parameter(B, H, seed=4)):
        compare(lambda x, h: np.tanh(h @ U), state, [U], [None] * T)
        rows = np.random.default_rng(0).random((T, B)) < 0.4
        compare(lambda x, h: np.tanh(h @ U), state, [U], [None] * T, reset=rows)
    with pytest.raises(ValueError, match=r"xs\[0\] is None, but xs\[1\] is not"):
        tg.scan(lambda x, h: h, [None, X.data[0]], np.ones((B, H)))
    for run in (tg.unroll, tg.scan):
        with pytest.raises(TypeError, match="batch size is unknown: pass the initial state"):
            run(tg.RNNCell(D, H, rng=0), [None] * T)
        states, last = run(lambda x, state: (), X, ())
        assert last == () and states in ((), [()] * T)


def test_a_cell_that_returns_numbers_or_runs_sequences_itself() -> None:
    compare(lambda x, h: (np.tanh(h[0] + x), 0.5), (np.zeros((B, D)), np.zeros(())), [], X)
    inner = tg.RNNCell(D, D, rng=0)
    inputs = parameter(3, T, B, D, seed=6)
    weights = list(inner.parameters().values())
    for run in (tg.unroll, tg.scan):
        compare(
            lambda x, h, run=run: np.tanh(run(inner, x)[1] + h), np.zeros((B, D)), weights, inputs
        )
    compare(
        lambda x, h: np.tanh(tg.scan(inner, x, h, outputs="last")[1]),
        np.zeros((B, D)),
        weights,
        inputs,
    )


def test_a_state_of_several_dtypes() -> None:
    def cell(x: Any, state: Any) -> Any:
        a, b = state
        return np.tanh(a @ U + x @ W), b * np.float32(0.5) + np.float32(1)

    start = parameter(B, H, seed=1), tg.Tensor(np.zeros((B, 1), np.float32), requires_grad=True)
    compare(cell, start, [U, W], X)


def test_functions_that_no_program_can_call() -> None:
    special = pytest.importorskip("scipy.special")
    erf = tg.derivative(special.erf, lambda g, x: g * 1.1283791671 * np.exp(-x * x))
    with pytest.raises(tg.TraceError, match=r"erf is not a NumPy function \(test_inputs.py, line"):
        tg.scan(lambda x, h: erf(h @ U) + x @ W, X, np.zeros((B, H)))
    tg.scan(lambda x, h: erf(h @ U) + x @ W, X, np.zeros((B, H)), fallback=True)


def test_a_budget_may_be_any_number() -> None:
    cell = tg.RNNCell(D, H, rng=0)
    tg.scan(cell, X, checkpoint="auto", budget=1e9)
    tg.scan(cell, X, checkpoint="auto", budget=np.inf)
    with pytest.raises(ValueError, match="budget must be a positive number of bytes"):
        tg.scan(cell, X, checkpoint="auto", budget=0)


def test_a_number_beside_the_sequences_is_none_of_them() -> None:
    def cell(x: Any, state: Any) -> Any:
        h, s = state
        return np.tanh(x @ W + h @ U), np.tanh(s * 0.5 + np.sum(h))

    start = parameter(B, H, seed=1), parameter(seed=2)
    all_rows = np.zeros((T, B), bool)
    all_rows[2] = True
    for reset in (all_rows, all_rows[:, 0]):
        compare(cell, start, [W, U], X, reset=reset)
    links = tg.Randomized.from_links(np.repeat([[0.0], [0.5], [1], [2], [0]], B, axis=1))
    compare(cell, start, [W, U], X, truncation=links)
    one = parameter(1, H, seed=1), parameter(seed=2)
    compare(cell, one, [W, U], parameter(T, 1, D), reset=all_rows[:, :1])
    states, _ = tg.unroll(cell, X, (start[0], tg.Tensor(9.0)), reset=all_rows)
    again, _ = tg.unroll(cell, X, (start[0], tg.Tensor(9.0)), reset=all_rows[:, 0])
    assert states[2][1].item() != again[2][1].item()  # by sequences, and all together
