"""Functions whose rules choose by numbers how to compute: a program has the general way."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tinygrad_rnn as tg
from tests.compiler.test_scan import compare, parameter

W, v = parameter(4, 4, seed=1), parameter(4, seed=2)

FUNCTIONS: dict[str, Callable[[Any, Any], Any]] = {
    "sort": lambda x, h: np.sort(h @ W, axis=-1) + x,
    "sort of all": lambda x, h: np.sort(h @ W, axis=None).reshape(3, 4) + x,
    "partition": lambda x, h: np.partition(h @ W, 2) + x,
    "prod": lambda x, h: np.prod(h @ W, axis=-1, keepdims=True) + x,
    "prod with a zero": lambda x, h: np.prod(np.where(x > 0, 0, h @ W), axis=1, keepdims=True) + x,
    "cumprod": lambda x, h: np.cumprod(h @ W, axis=-1) + x,
    "logaddexp.reduce": lambda x, h: np.logaddexp.reduce(h @ W, axis=-1, keepdims=True) + x,
    "multiply.reduce": lambda x, h: np.multiply.reduce(h @ W, axis=1, keepdims=True) * h + x,
    "take along": lambda x, h: np.take_along_axis(h @ W, np.argsort(x, axis=-1), -1) + x,
    "one_hot": lambda x, h: tg.one_hot(np.argmax(h @ W, axis=-1), 4) * h + x,
    "rows of a table": lambda x, h: np.eye(4)[np.argmax(h @ W, axis=-1)] * h + x,
    "det": lambda x, h: h * np.linalg.det(W) + x,
    "weighted average": lambda x, h: np.average(h @ W, axis=1, weights=np.exp(v))[:, None] + x,
    "linspace": lambda x, h: h * np.linspace(v[0], v[1], 4) + x,
    "moveaxis": lambda x, h: np.moveaxis((h @ W)[None], 0, 1)[:, 0] + x,
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_function(name: str) -> None:
    function = FUNCTIONS[name]
    xs = parameter(4, 3, 4, seed=5)
    compare(lambda x, h: np.tanh(function(x, h)), parameter(3, 4, seed=6), [W, v], xs)


def test_constants_without_entries() -> None:
    states, last = tg.scan(lambda x, h: np.sort(h @ W) + x, np.ones((2, 0, 4)), np.ones((0, 4)))
    (gradient,) = tg.gradients(np.sum(states) + np.sum(last), [W])
    assert states.shape == (2, 0, 4) and gradient.shape == W.shape and not gradient.any()
