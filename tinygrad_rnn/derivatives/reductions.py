"""Sums, products, means, extremes, order statistics."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tinygrad_rnn.derivatives.table import composed, constant, convention, derivative
from tinygrad_rnn.graph import Array


def _restored(g: Array, axis: Any, keepdims: bool) -> Array:
    """Give back the axes that the reduction removed, with length 1."""
    return g if axis is None or keepdims else np.expand_dims(g, axis)


def _count(shape: tuple[int, ...], axis: Any) -> int:
    """How many entries a reduction over the axes takes together."""
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
    chosen = (a == _restored(y, axis, keepdims)) * np.ones((), g.dtype)
    return _restored(g, axis, keepdims) * (chosen / np.sum(chosen, axis=axis, keepdims=True))


derivative(np.max, _extreme)
derivative(np.min, _extreme)
composed(
    np.ptp,
    lambda a, axis=None, keepdims=False: (
        np.max(a, axis=axis, keepdims=keepdims) - np.min(a, axis=axis, keepdims=keepdims)
    ),
)
convention("all entries equal to the extreme share its gradient equally", np.max, np.min, np.ptp)


# Products. Where a factor is 0, y / a says nothing: each product without one factor is taken anew.
def _prod(g: Array, y: Array, a: Array, axis: Any, keepdims: bool) -> Array:
    if not np.any(a == 0):
        return _restored(g * y, axis, keepdims) / a
    axes = tuple(range(a.ndim)) if axis is None else tuple(np.atleast_1d(axis) % a.ndim)
    kept = [i for i in range(a.ndim) if i not in axes]
    order = kept + list(axes)
    last = np.transpose(a, order)
    outer, inner = last.shape[: len(kept)], last.shape[len(kept) :]
    flat = last.reshape((*outer, math.prod(inner)))
    others = np.prod(_all_but_one(flat), axis=-1).reshape(outer + inner)
    return _restored(g, axis, keepdims) * np.transpose(others, np.argsort(order))


def _all_but_one(x: Array) -> Array:
    """(..., n) → (..., n, n): row i is x with a 1 in place i."""
    return np.where(np.eye(x.shape[-1], dtype=bool), 1, x[..., None, :])


derivative(np.prod, _prod)


# logsumexp, as NumPy spells it.
def _logsumexp(a: Array, axis: Any, keepdims: bool = False) -> Array:
    reduce: Any = np.logaddexp.reduce
    return reduce(a, axis=axis, keepdims=keepdims)


logsumexp = derivative(
    _logsumexp,
    lambda g, y, a, axis, keepdims: (
        _restored(g, axis, keepdims) * np.exp(_excess(a, _restored(y, axis, keepdims)))
    ),
)


def _excess(a: Array, y: Array) -> Array:
    """a − y, and 0 where both are the same infinity."""
    same = a == y
    return np.where(same, 0, a) - np.where(same, 0, y)


# Order statistics: sort, then interpolate.
def _quantile(
    a: Array, q: Any, axis: Any = None, method: str = "linear", keepdims: bool = False
) -> Array:
    if method not in ("linear", "lower", "higher", "midpoint", "nearest"):
        raise TypeError(f"quantile with method={method!r} has no derivative in the table")
    if np.any(np.isnan(a)):
        raise ValueError("an order statistic of values with NaN has no derivative")
    axes = tuple(range(np.ndim(a))) if axis is None else tuple(np.atleast_1d(axis) % np.ndim(a))
    kept = [i for i in range(np.ndim(a)) if i not in axes]
    last = np.transpose(a, kept + list(axes))
    n = math.prod(np.shape(a)[i] for i in axes)
    ordered = np.sort(np.reshape(last, (*(np.shape(a)[i] for i in kept), n)), axis=-1)
    place = np.asarray(q, np.float64) * (n - 1)
    below, above = np.floor(place).astype(int), np.ceil(place).astype(int)
    weight = place - below
    if method == "lower":
        above = below
    elif method == "higher":
        below = above
    elif method == "midpoint":
        weight = 0.5 * (above != below)
    elif method == "nearest":
        below = above = np.rint(place).astype(int)
    whole = method in ("lower", "higher", "nearest")
    weight = weight.astype(a.dtype if whole else np.result_type(a.dtype, q))
    result = ordered[..., below] * (1 - weight) + ordered[..., above] * weight
    if keepdims:
        shape = [1 if i in axes else np.shape(a)[i] for i in range(np.ndim(a))]
        result = np.reshape(result, (*shape, *np.shape(q)))
    first = range(result.ndim - np.ndim(q), result.ndim)
    return np.moveaxis(result, tuple(first), tuple(range(np.ndim(q))))


def _median(a: Array, axis: Any = None, keepdims: bool = False) -> Array:
    return _quantile(a, 0.5, axis, keepdims=keepdims)


def _percentile(
    a: Array, q: Any, axis: Any = None, method: str = "linear", keepdims: bool = False
) -> Array:
    return _quantile(
        a, q / 100 if np.ndim(q) == 0 else np.true_divide(q, 100), axis, method, keepdims
    )


composed(np.median, _median)
composed(np.quantile, _quantile)
composed(np.percentile, _percentile)
convention(
    "among equal entries, those that sorting puts at the place",
    np.median,
    np.quantile,
    np.percentile,
)


# Means with weights.
def _average(
    a: Array,
    axis: Any = None,
    weights: Any = None,
    returned: bool = False,
    *,
    keepdims: bool = False,
) -> Any:
    if weights is None:
        mean = np.mean(a, axis=axis, keepdims=keepdims)
        total = np.full(np.shape(mean), float(_count(np.shape(a), axis)), mean.dtype)
        return (mean, total) if returned else mean
    if np.shape(weights) != np.shape(a):
        axes = list(np.atleast_1d(axis) % np.ndim(a))
        shape = [np.shape(a)[i] if i in axes else 1 for i in range(np.ndim(a))]
        weights = np.reshape(np.transpose(weights, np.argsort(np.argsort(axes))), shape)
        weights = np.broadcast_to(weights, np.shape(a))
    total = np.sum(weights, axis=axis, keepdims=keepdims)
    mean = np.sum(np.multiply(a, weights), axis=axis, keepdims=keepdims) / total
    return (mean, total) if returned else mean


composed(np.average, _average)


# Without the NaNs: each is replaced by what changes nothing.
def _without_nan(reduce: Any, neutral: float) -> Any:
    def reduction(a: Array, axis: Any = None, keepdims: bool = False) -> Array:
        return reduce(np.where(np.isnan(a), neutral, a), axis=axis, keepdims=keepdims)

    return reduction


def _nanmean(a: Array, axis: Any = None, keepdims: bool = False) -> Array:
    count = np.sum(~np.isnan(a), axis=axis, keepdims=keepdims, dtype=a.dtype)
    return np.sum(np.where(np.isnan(a), 0, a), axis=axis, keepdims=keepdims) / count


def _nanvar(a: Array, axis: Any = None, ddof: int = 0, keepdims: bool = False) -> Array:
    count = np.sum(~np.isnan(a), axis=axis, keepdims=keepdims, dtype=a.dtype)
    deviation = a - _nanmean(a, axis, True)
    squares = np.square(np.where(np.isnan(a), 0, deviation))
    return np.sum(squares, axis=axis, keepdims=keepdims) / (count - ddof)


def _nanstd(a: Array, axis: Any = None, ddof: int = 0, keepdims: bool = False) -> Array:
    return root(_nanvar(a, axis, ddof, keepdims))


def _root(x: Array) -> Array:
    return np.sqrt(x)


root = derivative(_root, lambda g, y: _over(g, 2 * y))
convention("the gradient is 0 where the root is 0", root)

composed(np.nansum, _without_nan(np.sum, 0))
composed(np.nanprod, _without_nan(np.prod, 1))
composed(np.nanmax, _without_nan(np.max, -np.inf))
composed(np.nanmin, _without_nan(np.min, np.inf))
composed(np.nanmean, _nanmean)
composed(np.nanvar, _nanvar)
composed(np.nanstd, _nanstd)

constant(np.argmax, np.argmin, np.nanargmax, np.nanargmin, np.count_nonzero)
constant(np.histogram, np.digitize, np.searchsorted, np.bincount, np.histogram_bin_edges)
