"""Cells against their equations, written out in plain NumPy."""

from __future__ import annotations

import numpy as np
import pytest

import tinygrad_rnn as tg

B, D, H = 2, 3, 4
PHI = {"tanh": np.tanh, "relu": lambda x: np.maximum(x, 0), "identity": lambda x: x}


@pytest.fixture
def given():
    rng = np.random.default_rng(5)
    return rng.normal(size=(B, D)), rng.normal(size=(B, H))


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("nonlinearity", PHI)
def test_the_rnn_cell_is_its_equation(given, nonlinearity, bias):
    x, h = given
    cell = tg.RNNCell(D, H, nonlinearity, bias, rng=0)
    b_h = cell.b_h.data if bias else 0
    expected = PHI[nonlinearity](x @ cell.W_xh.data + h @ cell.W_hh.data + b_h)
    np.testing.assert_allclose(cell(x, h).data, expected, rtol=0, atol=1e-14)
    assert list(cell.parameters()) == ["W_xh", "W_hh", "b_h"][: 2 + bias]
    assert all(p.requires_grad and p.name == name for name, p in cell.parameters().items())


def test_the_same_seed_gives_the_same_weights():
    one, two = tg.RNNCell(D, H, rng=7), tg.RNNCell(D, H, rng=np.random.default_rng(7))
    for a, b in zip(one.parameters().values(), two.parameters().values(), strict=True):
        np.testing.assert_array_equal(a.data, b.data)


def test_initial_weights_are_uniform_within_one_over_root_hidden():
    cell = tg.RNNCell(50, 400, rng=0)
    for parameter in cell.parameters().values():
        assert np.max(np.abs(parameter.data)) <= 1 / 20
        assert np.max(np.abs(parameter.data)) > 0.99 / 20
        assert abs(np.mean(parameter.data)) < 0.005


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_dtype_stays(dtype):
    cell = tg.RNNCell(D, H, rng=0, dtype=dtype)
    states, last = tg.unroll(cell, np.ones((3, B, D), dtype))
    assert last.dtype == dtype and cell.initial_state(B).dtype == dtype
    assert cell.initial_state(B).shape == (B, H)
    np.sum(states[0] + states[1]).backward()
    assert {p.grad.dtype for p in cell.parameters().values()} == {np.dtype(dtype)}


def test_an_unknown_nonlinearity_is_refused():
    with pytest.raises(ValueError, match="tanh, relu, identity"):
        tg.RNNCell(D, H, nonlinearity="step")
