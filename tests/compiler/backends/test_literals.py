"""What stands for constants and calls in a source is read back as what it was."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tinygrad_rnn.compiler.backends.literals import expression, literal, of_index
from tinygrad_rnn.compiler.ir import T
from tinygrad_rnn.compiler.operations import added_at, astype, filled

INFINITY, NAN = float("inf"), float("nan")
LITERALS: list[Any] = [
    *(1, 1.5, -2, True, None, "bi,ij", Ellipsis, (1,), (1, 2.0), [1, [2]], slice(1, None), 2 + 3j),
    *(np.float32(0.1), np.int64(3), np.dtype("f4"), np.dtype(">f8"), np.float64, int, np.bool_(1)),
    *(np.arange(3), np.ones((1, 2), np.float32), np.array(2.0), INFINITY, -INFINITY),
]


@pytest.mark.parametrize("value", LITERALS, ids=str)
def test_literals_are_read_back(value: Any) -> None:
    found = eval(literal(value), {"np": np})
    assert type(found) is type(value) or isinstance(value, np.dtype)
    if isinstance(value, np.ndarray):
        assert found.dtype == value.dtype and np.array_equal(found, value)
    else:
        assert found == value


def test_more_literals() -> None:
    assert np.isnan(eval(literal(NAN))) and literal(T) == "T"
    assert of_index((slice(None), slice(1, 5, 2), Ellipsis, None, 3)) == ":, 1:5:2, ..., None, 3"
    assert of_index(2) == "2" and of_index(slice(2)) == ":2"


def test_expressions() -> None:
    def of(function: Any, *args: Any, **kwargs: Any) -> str:
        return expression(
            function, args, kwargs, lambda leaf: leaf if type(leaf) is str else literal(leaf)
        )

    assert of(np.matmul, "a", "b") == "a @ b" and of(np.dot, "a", "b") == "a.dot(b)"
    assert of(np.sort, "a", axis=None) == "np.sort(a, axis=None)"  # None is an argument, too
    assert of(np.reshape, "a", ()) == "a.reshape(())" and of(np.copy, "a") == "a.copy()"
    assert of(astype, "a", np.dtype("f4")) == "a.astype(np.float32)"
    assert of(filled, (2,), 3, np.dtype(float)) == "np.full((2,), 3, np.float64)"
    assert of(added_at, "a", "i", "v") == "added_at(a, i, v)"
