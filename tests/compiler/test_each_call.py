"""One kind of call at each place of a cell: before the loop, in it, after it; `scan` is `unroll`.

What can be computed for all steps at once, what cannot, and what looks into the arrays of others
must not get into one another's way.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tinygrad_rnn as tg
from tests.compiler.test_scan import compare, parameter

T, N = 4, 4
W, V = parameter(N, N, seed=1), parameter(2 * N, N, seed=2)
row, embedding = parameter(N, seed=3), parameter(5, N, seed=4)
order, words = np.array([2, 0, 3, 1]), np.array([1, 1, 0])

# Of two values of shape (batch, N) another one.
CALLS: dict[str, Callable[[Any, Any], Any]] = {
    "einsum": lambda a, b: np.einsum("bi,ij->bj", a, W) + b,
    "fancy index": lambda a, b: a[:, order] * b,
    "fancy index, places twice": lambda a, b: a[:, [0, 1, 1, 3]] * b,
    "rows of a matrix": lambda a, b: a + embedding[words[: len(a)]] * b,
    "cumsum": lambda a, b: np.cumsum(a, axis=1) - b,
    "repeat": lambda a, b: np.repeat(a[:, :1], N, axis=1) * b,
    "pad": lambda a, b: np.pad(a[:, :2], ((0, 0), (2, 0))) + b,
    "reshape": lambda a, b: a.reshape(-1).reshape(len(b), N) + b,
    "broadcast": lambda a, b: np.broadcast_to(a[:1, :1], b.shape) * b,
    "first sequence": lambda a, b: a[0] * b,
    "joined, then a product": lambda a, b: np.concatenate([a, b], axis=-1) @ V + row,
    "product, then joined": lambda a, b: np.concatenate([a @ W, b], axis=-1)[:, 1 : N + 1],
    "joined, then other shapes": lambda a, b: (
        np.concatenate([a, b], axis=-1) @ V + a.reshape(-1).reshape(len(b), N)
    ),
    "norm": lambda a, b: np.linalg.norm(a, axis=1, keepdims=True) * b,
    "max": lambda a, b: np.max(a, axis=1, keepdims=True) * b,
}

CELLS: dict[str, Callable[[Any], Callable[[Any, Any], Any]]] = {
    "x, h": lambda f: lambda x, h: np.tanh(f(x, h)),
    "h, x": lambda f: lambda x, h: np.tanh(f(h, x)),
    "h, h": lambda f: lambda x, h: np.tanh(f(h, h) @ W + x),
    "x, x": lambda f: lambda x, h: np.tanh(np.tanh(f(x, x)) @ W + h),
    "twice": lambda f: lambda x, h: np.tanh(f(f(x, h), f(h, x))),
    "without the state": lambda f: lambda x, h: np.sin(f(row * f(x, x), x)),
}


@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize("call", CALLS)
def test_call(call: str, batch: int) -> None:
    xs = parameter(T, batch, N, seed=5)
    for number, make in enumerate(CELLS.values()):
        state = parameter(batch, N, seed=6)
        # with both truncations: the one at one batch, the other at the other
        truncation = tg.Window(1) if (number + batch // 2) % 2 else None
        compare(make(CALLS[call]), state, [W, V, row, embedding], xs, truncation=truncation)


@pytest.mark.parametrize("truncation", [None, tg.Window(1)])
def test_what_looks_into_an_array_keeps_it_from_being_written_over(truncation: Any) -> None:
    def cell(x: Any, h: Any) -> Any:
        a = np.where(x[:, :1] > 0, 0, h) @ W + row
        return np.tanh(a.reshape(-1).reshape(h.shape) + np.where(x[:, :1] > 0, 0, h))

    compare(cell, parameter(3, N, seed=6), [W, row], parameter(T, 3, N), truncation=truncation)


def test_what_is_computed_in_the_loop_and_after_it() -> None:
    def cell(x: Any, h: Any) -> Any:
        return np.sin(np.sin(x[:, [0, 0, 0, 0]] * x * row))

    compare(cell, parameter(3, N, seed=6), [row], parameter(T, 3, N))


def test_what_is_less_than_what_it_is_made_of() -> None:
    """Of many numbers a step what the way back needs is made in the loop; so is what hangs on it,
    however few its numbers are."""

    def cell(x: Any, h: Any) -> Any:
        a = h @ W + x
        return np.tanh(a - np.max(a, axis=1, keepdims=True))

    compare(cell, parameter(2000, N, seed=6), [W], parameter(2, 2000, N))


@pytest.mark.parametrize("block", [None, 1, 3])
def test_last_of_a_part_that_no_later_step_reads(block: int | None) -> None:
    def cell(x: Any, state: Any) -> Any:
        h = np.tanh(state[0] @ W + x)
        return h, np.tanh(h * row), np.sum(h)

    h, xs = parameter(2, N, seed=6), parameter(T, 2, N)
    gradients = []
    for run, options in ((tg.unroll, {}), (tg.scan, {"outputs": "last", "block": block})):
        _, last = run(cell, xs, (h, h, tg.Tensor(0.0)), **options)  # type: ignore[operator]
        loss = np.sum(np.sin(last[0])) + np.sum(last[1] * row) + last[2]
        gradients.append(tg.gradients(loss, [W, row, h, xs]))
    for one, other in zip(*gradients, strict=True):
        np.testing.assert_allclose(one, other, rtol=0, atol=1e-12)


@pytest.mark.parametrize("options", [{}, {"block": 2}, {"checkpoint": 1}, {"outputs": "last"}])
def test_single_numbers(options: dict[str, Any]) -> None:
    """A state of one number, a parameter of one number: their gradients are no arrays."""

    def cell(x: Any, h: Any) -> Any:
        return np.tanh(h * factor + np.sum(x * row))

    factor, h, xs = parameter(seed=7), parameter(seed=8), parameter(5, N)
    gradients = []
    for last in (tg.unroll(cell, xs, h)[1], tg.scan(cell, xs, h, **options)[1]):
        gradients.append(tg.gradients(last * last, [factor, row, h, xs]))
    for one, other in zip(*gradients, strict=True):
        np.testing.assert_allclose(one, other, rtol=0, atol=1e-12)


def test_a_constant_that_is_nan_is_no_random_number():
    def cell(x, h):
        return np.fmax(np.tanh(x + h), np.full(3, np.nan))

    xs, start = np.ones((4, 2, 3)), np.zeros((2, 3))
    compiled, recorded = tg.scan(cell, xs, start)[1], tg.unroll(cell, xs, start)[1]
    np.testing.assert_allclose(compiled.data, recorded.data, rtol=1e-12)
