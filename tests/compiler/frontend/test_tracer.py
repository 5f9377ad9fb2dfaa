"""An array that writes down the calls that are made on it."""

from __future__ import annotations

import copy
import operator
from pathlib import Path
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


def test_other_forms_and_copies() -> None:
    x = traced(2, 3)
    for made, shape in (
        (x.transpose(), (3, 2)),
        (x.transpose(1, 0), (3, 2)),
        (x.ravel(), (6,)),
        (x.flatten(), (6,)),
        (x.view(), (2, 3)),
        (x[[fixed(1), fixed(0)]], (2, 3)),
    ):
        assert isinstance(made, Traced) and made.shape == shape
    assert x.copy().value is x.value and len(x) == 2
    with pytest.raises(TypeError, match="unsized"):
        len(traced())


def test_every_method_is_a_function_of_numpy() -> None:
    assert all(hasattr(np.ndarray, name) and callable(getattr(np, name)) for name in METHODS)


def test_a_call_of_several_results() -> None:
    values, vectors = np.linalg.eigh(traced(2, 2))
    assert values.value.args[0] is vectors.value.args[0]
    assert [part.value.args[1] for part in (values, vectors)] == [0, 1]


def test_numbers_of_plain_arrays_are_given_and_pinned() -> None:
    x = fixed([1.0, 2.0])
    assert isinstance(x, FixedTraced) and isinstance(x, np.ndarray)
    twice = 2 * x
    assert twice.value.fixed == {x.value} and not x.value.pinned
    assert float(twice[1]) == 4.0 and x.value.pinned
    assert np.array(x).tolist() == [1.0, 2.0] and x.nbytes == 16 and x.flags.writeable
    assert repr(x) == "array([1., 2.])" and copy.copy(x).value is copy.deepcopy(x).value is x.value
    assert np.array_equal(x, x) is True and not hasattr(x, "__array_of_nobody__")
    assert np.dot(fixed(2.0), x).value.function is np.multiply  # a product for all steps
    assert isinstance(np.unique(x), np.ndarray) and not isinstance(2 * traced(2), np.ndarray)


def test_shapes_that_depend_on_numbers_are_refused() -> None:
    x = traced(3)
    with pytest.raises(tg.TraceError, match="depends on the numbers"):
        x[x > 0]
    with pytest.raises(tg.TraceError, match="not a NumPy function"):
        record(len, (x,))


def test_what_no_program_can_do_is_said(tmp_path: Path) -> None:
    x, f = traced(2, 3), fixed([1.0, 2.0])
    for call, says in (
        (
            lambda: np.subtract.at(x, 0, 1.0),
            r"np.subtract.at \(test_tracer.py, line \d+\), which cannot",
        ),
        (lambda: np.add(x, 1, out=np.zeros((2, 3))), "into a plain array"),
        (lambda: np.nan_to_num(x * 1.0, copy=False), "nan_to_num writes into its argument"),
        (lambda: np.save(tmp_path / "f.npy", f), "np.save returns nothing .*outside of the cell"),
        (lambda: x.__setitem__(traced(2).astype(int), 1.0), "build the array with np.where"),
    ):
        with pytest.raises(tg.TraceError, match=says):
            call()  # type: ignore[no-untyped-call]


def test_what_it_is_made_of_may_not_be_written_into() -> None:
    given = handle_of(Value(np.ones(3)), given=True)
    with pytest.raises(tg.TraceError, match="writes into an array that it was given"):
        given[0] = 1.0
    own = traced(3)
    view = own[1:]
    view += 1.0
    assert own.value.function is not None and own.shape == (3,)
