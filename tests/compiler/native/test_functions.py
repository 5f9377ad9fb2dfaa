"""exp, tanh and log in machine code: close to the truth everywhere, and NaN stays NaN."""

import math

import numpy as np
import pytest

pytest.importorskip("llvmlite")

from benchmarks.native_functions import TRUTH, compiled, error

NAMES = list(TRUTH)


@pytest.mark.parametrize("name", NAMES)
def test_float32_is_within_four_units_in_the_last_place(name):
    # A stride that is odd meets every exponent with different digits.
    bits = np.arange(0, 1 << 32, 65537, dtype=np.uint64).astype(np.uint32)
    x = np.resize(bits.view(np.float32), (bits.size + 15) // 16 * 16)
    y = np.empty_like(x)
    compiled(name, np.float32)(x, y)
    worst = error(name, x, y)
    assert worst.ulp <= 4
    assert worst.wrong == 0


@pytest.mark.parametrize("name", NAMES)
def test_near_zero_nothing_is_lost(name):
    tiny = np.float32(2.0) ** -np.arange(1, 145, dtype=np.float32)
    x = np.concatenate([tiny, -tiny])
    y = np.empty_like(x)
    compiled(name, np.float32)(x, y)
    assert error(name, x, y).ulp <= 4


@pytest.mark.parametrize("name", NAMES)
def test_float64(name):
    rng = np.random.default_rng(0)
    x = np.concatenate([rng.standard_normal(2000) * s for s in (1e-9, 0.1, 1.0, 30.0, 300.0)])
    x = np.abs(x) if name == "log" else x
    y = np.empty_like(x)
    compiled(name, np.float64)(x, y)
    truth = TRUTH[name](x.astype(np.longdouble))
    kept = np.abs(truth) > np.finfo(np.float64).tiny
    kept &= np.abs(truth) < np.finfo(np.float64).max
    off = np.abs(y - truth)[kept] / np.spacing(np.abs(y[kept]))
    assert off.max() <= 4


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(
    ("name", "pairs"),
    [
        ("exp", {0: 1, -math.inf: 0, math.inf: math.inf, 1000: math.inf, -1000: 0}),
        ("tanh", {0: 0, math.inf: 1, -math.inf: -1, 100: 1, -100: -1}),
        ("log", {1: 0, 0: -math.inf, math.inf: math.inf, -1: math.nan, -math.inf: math.nan}),
    ],
)
def test_ends(name, pairs, dtype):
    x = np.full(16, math.nan, dtype)
    x[: len(pairs)] = list(pairs)
    y = np.zeros_like(x)
    compiled(name, dtype)(x, y)
    expected = np.full(16, math.nan, dtype)
    expected[: len(pairs)] = list(pairs.values())
    np.testing.assert_array_equal(y, expected)


def test_tanh_keeps_the_sign_of_zero():
    x = np.array([-0.0] * 16, np.float32)
    y = np.ones_like(x)
    compiled("tanh", np.float32)(x, y)
    assert np.signbit(y).all()
