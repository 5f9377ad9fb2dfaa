"""Sums, products, means, extremes."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tinygrad_rnn.derivatives.elementary import excess
from tinygrad_rnn.derivatives.shapes import axes_of
from tinygrad_rnn.engine.graph import Array
from tinygrad_rnn.engine.table import certain, composed, constant, convention, derivative


def _restored(g: Array, axis: Any, keepdims: bool) -> Array:
    """Restore the axes that the reduction removed, with length 1."""
    return g if axis is None or keepdims else np.expand_dims(g, axis)


def _count(shape: tuple[int, ...], axis: Any) -> int:
    """The number of entries that a reduction over the axes combines."""
    return math.prod(shape if axis is None else (shape[i] for i in np.atleast_1d(axis)))


derivative(np.sum, lambda g, axis, keepdims: _restored(g, axis, keepdims))
derivative(
    np.mean,
    lambda g, shape_of_a, axis, keepdims: (
        _restored(g, axis, keepdims) / max(_count(shape_of_a, axis), 1)
    ),
)


# Spread.
def _deviation(a: Array, axis: Any, ddof: Any) -> Array:
    return (a - np.mean(a, axis=axis, keepdims=True)) / (_count(np.shape(a), axis) - ddof)


def _over(x: Array, y: Array) -> Array:
    return np.where(y == 0, 0, x) / np.where(y == 0, 1, y)


derivative(
    np.var,
    lambda g, a, axis, ddof, keepdims: 2 * _restored(g, axis, keepdims) * _deviation(a, axis, ddof),
)
derivative(
    np.std,
    lambda g, y, a, axis, ddof, keepdims: (
        _restored(_over(g, y), axis, keepdims) * _deviation(a, axis, ddof)
    ),
)
convention("the gradient is 0 where the deviation is 0", np.std)


# Extremes.
def _extreme(g: Array, y: Array, a: Array, axis: Any, keepdims: bool) -> Array:
    chosen = (a == _restored(y, axis, keepdims)).astype(g.dtype)
    return _restored(g, axis, keepdims) * (chosen / np.sum(chosen, axis=axis, keepdims=True))


derivative(np.max, _extreme)
derivative(np.min, _extreme)
# Functions of their own since NumPy 2.
composed(np.amax, lambda a, axis=None, keepdims=False: np.max(a, axis=axis, keepdims=keepdims))
composed(np.amin, lambda a, axis=None, keepdims=False: np.min(a, axis=axis, keepdims=keepdims))
composed(
    np.ptp,
    lambda a, axis=None, keepdims=False: (
        np.max(a, axis=axis, keepdims=keepdims) - np.min(a, axis=axis, keepdims=keepdims)
    ),
)
convention("all entries equal to the extreme share its gradient equally", np.max, np.min, np.ptp)


# Products. If y is 0 or infinite, y / a is undefined: each product without one factor is computed
# separately.
def _prod(g: Array, y: Array, a: Array, axis: Any, keepdims: bool) -> Array:
    if certain(np.all((y != 0) & np.isfinite(y))):
        return _restored(g * y, axis, keepdims) / a
    axes = axes_of(axis, a.ndim)
    kept = [i for i in range(a.ndim) if i not in axes]
    order = (*kept, *axes)
    last = np.transpose(a, order)
    outer, inner = last.shape[: len(kept)], last.shape[len(kept) :]
    flat = last.reshape((*outer, math.prod(inner)))
    others = np.prod(all_but_one(flat), axis=-1).reshape(outer + inner)
    return _restored(g, axis, keepdims) * np.transpose(others, tuple(np.argsort(order).tolist()))


def all_but_one(x: Array) -> Array:
    """(..., n) → (..., n, n): row i is x with a 1 in place i."""
    return np.where(np.eye(x.shape[-1], dtype=bool), 1, x[..., None, :])


derivative(np.prod, _prod)


# logsumexp, under NumPy's name.
def _logsumexp(a: Array, axis: Any, keepdims: bool) -> Array:
    reduce: Any = np.logaddexp.reduce
    return reduce(a, axis=axis, keepdims=keepdims)


def _softmax(g: Array, y: Array, a: Array, axis: Any, keepdims: bool) -> Array:
    y, g = _restored(y, axis, keepdims), _restored(g, axis, keepdims)
    share = np.exp(excess(a, y))
    if not certain(np.all(~np.isinf(y))):
        share = share / np.sum(share, axis=axis, keepdims=True)
    return g * share


logsumexp = derivative(_logsumexp, _softmax)
convention("equal infinities share the gradient equally", logsumexp)


# A root with derivative 0 at 0.
def _root(x: Array) -> Array:
    return np.sqrt(x)


root = derivative(_root, lambda g, y: _over(g, 2 * y))
convention("the gradient is 0 where the root is 0", root)

constant(np.argmax, np.argmin, np.nanargmax, np.nanargmin, np.count_nonzero)
constant(np.digitize, np.searchsorted)
