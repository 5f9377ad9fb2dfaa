"""Writing into an array of the trace makes a new value."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tinygrad_rnn as tg
from tinygrad_rnn.compiler.frontend.tracer import handle_of
from tinygrad_rnn.compiler.frontend.values import Value
from tinygrad_rnn.compiler.frontend.writing import VALUES
from tinygrad_rnn.compiler.ir import ordered

START = np.arange(12.0).reshape(3, 4)
GIVEN = -np.arange(1.0, 13.0).reshape(3, 4)
FLAT = np.array([[0], [2], [1]])


def fill(a: Any, g: Any) -> None:
    np.fill_diagonal(a, g[0, 0])


WRITES: dict[str, Callable[[Any, Any], Any]] = {
    "index": lambda a, g: a.__setitem__((slice(None), 1), g[:, 0]),
    "places": lambda a, g: a.__setitem__(([0, 2], [1, 3]), g[0, :2]),
    "mask": lambda a, g: a.__setitem__(a > 4.0, 0.0),
    "values at a mask of the step": lambda a, g: a.__setitem__(g < -4.0, g[0, 0]),
    "copyto": lambda a, g: np.copyto(a, g, where=START > 3.0),
    "fill_diagonal": fill,
    "put": lambda a, g: np.put(a, [0, 5, 11], g[0, :3]),
    "put_along_axis": lambda a, g: np.put_along_axis(a, FLAT, g[:, :1], 1),
    "putmask": lambda a, g: np.putmask(a, START > 6.0, g),
    "place": lambda a, g: np.place(a, START > 8.0, g[0]),
    "fill": lambda a, g: a.fill(2.0),
    "added in place": lambda a, g: np.add(a, g, out=a),
}


@pytest.mark.parametrize("name", WRITES)
def test_the_new_value_is_what_numpy_leaves_behind(name: str) -> None:
    expected = START.copy()
    WRITES[name](expected, GIVEN)
    start, given = Value(START), Value(GIVEN)
    a = handle_of(start).copy()
    WRITES[name](a, handle_of(given))
    assert a.value is not start
    np.testing.assert_array_equal(a.value.sample, expected)
    assert (start.sample is START and given in ordered([a.value])) or name in ("mask", "fill")


def test_every_function_of_numpy_that_only_writes() -> None:
    assert {f.__name__ for f in VALUES} == {
        *("copyto", "fill_diagonal", "put", "put_along_axis", "putmask", "place"),
    }


def test_places_that_differ_from_step_to_step_are_refused() -> None:
    a, i = handle_of(Value(START)).copy(), handle_of(Value(np.array([0, 1])))
    with pytest.raises(tg.TraceError, match="places that depend on the numbers"):
        a[i] = 1.0
    with pytest.raises(tg.TraceError, match="places that depend on the numbers"):
        a[i, 0] = 1.0
    with pytest.raises(tg.TraceError, match="places that depend on the numbers"):
        a[a < 4.0] = GIVEN[0]  # one for each place that the mask chooses
    with pytest.raises(tg.TraceError, match="places that depend on the numbers"):
        np.putmask(a, a < 4.0, GIVEN)
    with pytest.raises(tg.TraceError, match="places that depend on the numbers"):
        np.copyto(a, GIVEN, where=a < 4.0)
    with pytest.raises(tg.TraceError, match="into a plain array"):
        np.copyto(START.copy(), a)
    with pytest.raises(tg.TraceError, match=r"calls np\.put with keywords"):
        np.put(a, [0], v=1.0)


def test_a_tensor_without_a_gradient_is_written_by_its_array() -> None:
    a = handle_of(Value(START)).copy()
    a[0] = tg.Tensor(handle_of(Value(GIVEN[0])))
    np.testing.assert_array_equal(a.value.sample, [GIVEN[0], *START[1:]])
