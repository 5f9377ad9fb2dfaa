"""NumPy's functions that would make plain arrays, while a cell is traced."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tinygrad_rnn as tg
from tests.compiler.programs import B, H, inputs, state
from tinygrad_rnn.compiler.frontend.stand_ins import STANDS_FOR
from tinygrad_rnn.compiler.frontend.tracer import Traced, handle_of
from tinygrad_rnn.compiler.frontend.values import Value

numpy = STANDS_FOR[id(np)]


def test_traced_arrays_stay_traced() -> None:
    x = handle_of(Value(np.ones((2, 3))))
    assert isinstance(numpy.asarray(x), Traced) and isinstance(numpy.array(x), Traced)
    assert numpy.asarray(x, np.float32).dtype == np.float32
    assert isinstance(numpy.asarray(tg.Tensor(x)), Traced)
    plain = numpy.asarray([1.0, 2.0])
    assert type(plain) is np.ndarray and plain.tolist() == [1.0, 2.0]


def test_everything_else_is_numpys() -> None:
    assert numpy.tanh is np.tanh and numpy.pi == np.pi and numpy.linalg is np.linalg
    with pytest.raises(AttributeError):
        _ = numpy.no_such_function


def cell(x: Any, h: Any) -> Any:
    return h + np.asarray(x) + np.identity(H)[np.asarray([0, 1])] + np.eye(B, H)


def test_a_cell_that_calls_them() -> None:
    xs, h_0 = inputs(width=H), state(B, H)
    expected, _ = tg.unroll(cell, xs, h_0, stacked=True)
    found, _ = tg.scan(cell, xs, h_0)
    np.testing.assert_allclose(found.data, expected.data, rtol=1e-15)
