"""Gathers and their gradients: every kind of index, over every kind of array."""

import numpy as np
import pytest

import tinygrad_rnn as tg
from tests.elsewhere import DeviceArray
from tinygrad_rnn.derivatives.indexing import is_basic, scatter

try:
    import dask.array as dask
except ImportError:
    dask = None

X = np.arange(24.0).reshape(4, 3, 2)
BASIC = {
    "number": -1,
    "integer": np.int64(2),
    "slice": slice(None, None, 2),
    "slices": (slice(1, 3), Ellipsis, 0),
    "new axis": (None, slice(1, 3), Ellipsis, 0),
}
ADVANCED = {
    "list": [3, 0, 0, -1],
    "places": np.array([3, 0, 0, -1]),
    "unsigned": np.array([2, 2, 1], np.uint8),
    "matrix of places": np.array([[3, 0], [0, -1]]),
    "mask": np.arange(4) % 2 == 0,
    "whole mask": np.arange(24).reshape(4, 3, 2) % 5 == 0,
    "pairs of places": (np.array([3, 0, 0]), np.array([1, -1, -1])),
    "list and slice": ([3, 0, 0], slice(1, 3)),
    "no places": np.zeros(0, int),
    "true": True,
}
INDICES = BASIC | ADVANCED


def over_dask(x):
    if dask is None:
        pytest.skip("Dask is not installed")
    return dask.from_array(np.asarray(x), chunks=2)


def inside(index, make):
    """The index with its arrays made to arrays of another kind."""
    if isinstance(index, tuple):
        return tuple(inside(part, make) for part in index)
    return make(index) if isinstance(index, np.ndarray) else index


def back(x):
    return x.get() if isinstance(x, DeviceArray) else np.asarray(x)


@pytest.mark.parametrize("name", INDICES)
def test_a_basic_index_repeats_no_position(name):
    assert is_basic(INDICES[name]) is (name in BASIC)


OVER_DASK = ["number", "integer", "slice", "slices", "list", "places", "unsigned"]
KINDS = [(np.array, name) for name in INDICES] + [(over_dask, name) for name in OVER_DASK]
KINDS += [(DeviceArray, name) for name in INDICES]


@pytest.mark.parametrize(("make", "name"), KINDS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_gather_and_its_gradient(make, name, dtype):
    index = INDICES[name]
    weights = np.cos(np.arange(X[index].size)).reshape(X[index].shape)
    expected = np.zeros_like(X)
    np.add.at(expected, index, weights)

    x = tg.Tensor(make(X.astype(dtype)), requires_grad=True)
    y = x[inside(index, make)]
    np.testing.assert_array_equal(back(y.data), X[index])
    (found,) = tg.gradients(y, [x], make(weights.astype(dtype)))
    assert (type(found), found.dtype) == (type(x.data), dtype)
    np.testing.assert_allclose(back(found), expected, rtol=1e-6)


@pytest.mark.parametrize("name", OVER_DASK)
def test_values_keep_their_dtype(name):
    index = INDICES[name]
    values = over_dask(X[index].astype(np.float32))
    assert scatter(values, inside(index, over_dask), X.shape).dtype == np.float32


@pytest.mark.parametrize("name", ["places", "pairs of places", "mask"])
def test_an_index_of_another_kind(name):
    x = tg.Tensor(X, requires_grad=True)
    places, plain = inside(INDICES[name], over_dask), INDICES[name]
    weights = np.cos(np.arange(X[plain].size)).reshape(X[plain].shape)
    found, expected = (tg.gradients(np.sum(x[i] * weights), [x])[0] for i in (places, plain))
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("name", ["number", "list", "places", "pairs of places", "list and slice"])
def test_a_gather_in_a_compiled_cell(name):
    w = tg.Tensor(np.cos(X), requires_grad=True)
    index = INDICES[name]

    def cell(x, h):
        return np.tanh(h + x * np.sum(np.sin(w[index] * x)))

    xs = np.array([0.5, -1.0, 2.0])
    found, expected = (
        tg.gradients(np.sum(run(cell, xs, np.float64(0.25))[1]), [w])[0]
        for run in (tg.scan, tg.unroll)
    )
    np.testing.assert_allclose(found, expected, rtol=1e-12)
