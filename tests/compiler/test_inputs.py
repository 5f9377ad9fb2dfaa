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
    with pytest.raises(ValueError, match=r"nested in one way.* {'x': ..., 'z': ...}, .* 'y'"):
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
    np.testing.assert_array_equal(losses.data, tg.scan(model, {"x": X.data, "y": big})[0][1].data)


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
    assert "def forward(h_0, x_1, x_2, W, V" in source
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
    with pytest.raises(TypeError, match="z is a single NoneType"):
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
