"""An array that writes down the calls that are made on it."""

from __future__ import annotations

import operator
from typing import Any

import numpy as np
import pytest

import tinygrad_rnn as tg
from tinygrad_rnn.compiler.frontend.tracer import METHODS, FixedTraced, Traced, handle_of, record
from tinygrad_rnn.compiler.frontend.values import Value


def traced(*shape: int) -> Traced:
    return handle_of(Value(np.ones(shape), "x"))


def fixed(sample: Any) -> Traced:
    value = Value(np.asarray(sample))
    value.fixed = frozenset((value,))
    return handle_of(value)


def test_ufuncs_functions_and_methods_are_written_down() -> None:
    x = traced(2, 3)
    for made, function, shape in (
        (np.tanh(x), np.tanh, (2, 3)),
        (2.0 - x, np.subtract, (2, 3)),
        (np.sum(x, axis=0), np.sum, (3,)),
        (x.mean(axis=1), np.mean, (2,)),
        (np.add.reduce(x), np.add.reduce, (3,)),
        (x[:, 1:], operator.getitem, (2, 2)),
        (x.T, np.transpose, (3, 2)),
        (x.reshape(-1), np.reshape, (6,)),
    ):
        assert isinstance(made, Traced) and made.shape == shape
        assert made.value.function == function and made.value.operands == [x.value]


def test_every_method_is_a_function_of_numpy() -> None:
    assert all(hasattr(np.ndarray, name) and callable(getattr(np, name)) for name in METHODS)


def test_a_call_of_several_results() -> None:
    values, vectors = np.linalg.eigh(traced(2, 2))
    assert values.value.args[0] is vectors.value.args[0]
    assert [part.value.args[1] for part in (values, vectors)] == [0, 1]


@pytest.mark.parametrize("ask", [bool, float, int, np.asarray, hash, Traced.item])
def test_numbers_of_a_step_are_refused(ask: Any) -> None:
    with pytest.raises(tg.TraceError):
        ask(handle_of(Value(np.float64(1.0))))


def test_numbers_of_plain_arrays_are_given_and_pinned() -> None:
    x = fixed([1.0, 2.0])
    assert isinstance(x, FixedTraced) and isinstance(x, np.ndarray)
    twice = 2 * x
    assert twice.value.fixed == {x.value} and not x.value.pinned
    assert float(twice[1]) == 4.0 and x.value.pinned
    assert isinstance(np.unique(x), np.ndarray) and not isinstance(2 * traced(2), np.ndarray)


def test_shapes_that_depend_on_numbers_are_refused() -> None:
    x = traced(3)
    with pytest.raises(tg.TraceError, match="depends on the numbers"):
        x[x > 0]
    with pytest.raises(tg.TraceError, match="no NumPy function"):
        record(len, (x,))


def test_what_it_is_made_of_may_not_be_written_into() -> None:
    given = handle_of(Value(np.ones(3)), given=True)
    with pytest.raises(tg.TraceError, match="writes into an array that it was given"):
        given[0] = 1.0
    own = traced(3)
    view = own[1:]
    view += 1.0
    assert own.value.function is not None and own.shape == (3,)
