"""What is known of the functions that stand in programs, and those that are none of NumPy's."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

import tinygrad_rnn as tg
from tinygrad_rnn.compiler.operations import (
    HELPERS,
    added_at,
    aligned,
    assembled,
    astype,
    called,
    can_be_written,
    copy,
    cross_entropies,
    cross_entropy_gradient,
    entered,
    filled,
    over_lanes,
    path_of,
    placed,
    scattered,
    takes_out,
    with_end,
    with_given,
)


def test_where_numpy_has_a_function() -> None:
    for path, function in {
        "np.tanh": np.tanh,
        "np.linalg.norm": np.linalg.norm,
        "np.add.reduce": np.add.reduce,
        "np.where": np.where,
        "np.fft.rfft": np.fft.rfft,
        "added_at": added_at,
    }.items():
        assert path_of(function) == path and can_be_written(function), path
    stranger = np.frompyfunc(math.erf, 1, 1)
    for function in (math.erf, stranger, stranger.reduce, test_where_numpy_has_a_function):
        assert path_of(function) is None and not can_be_written(function)
    assert can_be_written(astype) and can_be_written(filled)


def test_a_function_that_is_none_of_numpys_is_refused() -> None:
    erf = tg.derivative(np.frompyfunc(math.erf, 1, 1), lambda g, x: g)

    def cell(x: Any, h: Any) -> Any:
        return erf(h) + x

    with pytest.raises(tg.TraceError):
        tg.scan(cell, np.ones((3, 2, 2)), np.zeros((2, 2)))


@pytest.mark.parametrize(
    "function", [np.add, np.matmul, np.dot, np.sum, np.concatenate, np.stack, np.mean]
)
def test_what_takes_an_array_to_write_to(function: Any) -> None:
    a, b = np.arange(4.0).reshape(2, 2), np.ones((2, 2))
    args = ((a, b),) if function in (np.concatenate, np.stack) else (a, b)
    args = (a,) if function in (np.sum, np.mean) else args
    assert takes_out(function)
    right = function(*args)
    out = np.empty_like(right)
    called(function, args, {}, out)
    np.testing.assert_array_equal(out, right)


def test_what_takes_none() -> None:
    for function in (np.sort, np.modf, astype, None):
        assert not takes_out(function)
    assert not takes_out(np.add, {"dtype": float})


def test_arrays_that_are_made_from_others() -> None:
    zeros, ones = np.zeros(3), np.ones(2)
    assert placed(zeros, slice(0, 2), ones).tolist() == [1, 1, 0] and not zeros.any()
    assert added_at(zeros, np.array([1, 1]), ones).tolist() == [0, 2, 0] and not zeros.any()
    assert scattered((3,), float, np.array([1, 1]), ones).tolist() == [0, 2, 0]
    whole = assembled((3,), float, (slice(0, 1), slice(2, 3)), [ones[:1], 2 * ones[:1]])
    assert whole.tolist() == [1, 0, 2]
    assert copy(5, out=ones).tolist() == [5, 5]
    with pytest.raises(NotImplementedError):
        over_lanes(ones)


def test_what_comes_from_behind_the_last_step() -> None:
    given = np.ones((3, 2))
    assert with_end(given, 0) is given
    assert with_end(given, np.full(2, 4.0)).tolist() == [[1, 1], [1, 1], [5, 5]]
    assert given.max() == 1
    assert with_given(given, None) is given
    assert with_given(given, given).tolist() == [[2, 2], [2, 2], [2, 2]]


def test_what_enters_the_first_step() -> None:
    row, matrix = np.ones((1, 2)), np.full((2, 3), 2.0)
    assert entered(row, matrix, False).tolist() == [[4, 4, 4]]
    assert entered(row, matrix, True).tolist() == [[1, 1]]


@pytest.mark.parametrize("shape", [(), (0, 3), (1,), (7, 3), (100,)])
def test_memory_that_begins_at_a_cache_line(shape: tuple[int, ...]) -> None:
    made = aligned(shape, np.float32)
    assert made.shape == shape and made.dtype == np.float32 and made.flags.carray
    assert made.ctypes.data % 64 == 0 or not made.size


@pytest.mark.parametrize("scale", [1, 30, 3e4])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_cross_entropies(scale: float, dtype: Any) -> None:
    rng = np.random.default_rng(0)
    logits = (scale * rng.standard_normal((3, 2, 5))).astype(dtype)
    labels = rng.integers(0, 5, (3, 2))
    losses, e, s = cross_entropies(logits, labels, np.ones(5, dtype))
    exact = logits.astype(float)
    exact -= exact.max(axis=-1, keepdims=True)
    log = exact - np.log(np.exp(exact).sum(axis=-1, keepdims=True))
    chosen = np.take_along_axis(log, labels[..., None], -1)[..., 0]
    tolerance = 1e-5 if dtype == np.float32 else 1e-12
    np.testing.assert_allclose(losses, -chosen, tolerance, tolerance * max(1, scale))
    gradient = cross_entropy_gradient(e, s, labels, np.ones((3, 2), dtype))
    np.testing.assert_allclose(gradient, np.exp(log) - np.eye(5)[labels], 1e-4, tolerance)
    with pytest.raises(ValueError, match=r"the labels must lie in 0\.\.4"):
        cross_entropies(logits, labels - 9, np.ones(5, dtype))


def test_helpers_come_after_what_they_need() -> None:
    names = [helper.__name__ for helper in HELPERS]
    assert names.index("places_of") < names.index("cross_entropies")


def test_a_function_that_takes_a_dtype_or_an_array_to_write_into_takes_the_dtype() -> None:
    assert takes_out(np.concatenate) and takes_out(np.stack, {"axis": 0})
    assert not takes_out(np.concatenate, {"dtype": np.float32})
