"""Which calls on plain arrays can wait for the program."""

from __future__ import annotations

import operator
from typing import Any

import numpy as np
import pytest

from tinygrad_rnn.compiler.frontend.forms import (
    fixed_of,
    is_dynamic,
    keeps_form,
    plain_of,
    without_options,
)
from tinygrad_rnn.compiler.frontend.values import Value


def fixed(sample: Any) -> Value:
    value = Value(np.asarray(sample))
    value.fixed = frozenset((value,))
    return value


def test_what_depends_on_plain_arrays_alone() -> None:
    a, b, traced = fixed([1.0]), fixed([2.0]), Value(np.ones(1))
    assert fixed_of([a, b]) == {a, b}
    assert fixed_of([a, traced]) is None and fixed_of([]) is None


@pytest.mark.parametrize(
    ("function", "args", "expected"),
    [
        (np.nonzero, (np.ones(2),), True),
        (np.where, (np.ones(2),), True),
        (np.where, (np.ones(2), 1, 0), False),
        (operator.getitem, (np.ones(2), Value(np.array([True, False]))), True),
        (operator.getitem, (np.ones(2), Value(np.array([0, 1]))), False),
        (np.tanh, (np.ones(2),), False),
    ],
)
def test_shapes_that_depend_on_numbers(function: Any, args: Any, expected: bool) -> None:
    assert is_dynamic(function, args) is expected
    assert not (expected and keeps_form(function, args))


def test_calls_that_keep_their_form() -> None:
    a = fixed([1.0, 2.0])
    for function, args in (
        (np.tanh, (a,)),
        (np.sum, (a,)),
        (np.add.reduce, (a,)),
        (np.take, (a, 1)),
    ):
        assert keeps_form(function, args), function
    assert not keeps_form(np.unique, (a,)) and not keeps_form(print, (a,))


def test_an_axis_is_known_while_tracing() -> None:
    array, axis = fixed(np.ones((2, 3))), fixed(1)
    (kept, number), _ = without_options(np.cumsum, (array, axis), {})
    assert kept is array and number == 1 and axis.pinned and not array.pinned
    assert plain_of(array).shape == (2, 3) and array.pinned and plain_of("x") == "x"
