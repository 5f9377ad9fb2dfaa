"""Order statistics, weighted means, covariances, and functions that skip NaNs."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from tinygrad_rnn.derivatives.elementary import excess
from tinygrad_rnn.derivatives.reductions import root
from tinygrad_rnn.derivatives.shapes import as_array, axes_of
from tinygrad_rnn.engine.graph import Array
from tinygrad_rnn.engine.table import certain, composed, convention, known, plain

METHODS = ("linear", "lower", "higher", "midpoint", "nearest")


# Order statistics: sort, then interpolate between neighbours.
def _order_statistic(
    a: Array, q: Any, axis: Any, method: str, keepdims: bool, skip_nan: bool
) -> Array:
    if method not in METHODS:
        raise TypeError(f"method={method!r} has no derivative; choose from {', '.join(METHODS)}")
    if not skip_nan and certain(np.any(np.isnan(plain(a)))):
        raise ValueError("medians and quantiles have no derivative where a value is NaN")
    n = np.ndim(a)
    axes = axes_of(axis, n)
    kept = [i for i in range(n) if i not in axes]
    lanes, count = [np.shape(a)[i] for i in kept], math.prod(np.shape(a)[i] for i in axes)
    if count == 0:
        raise ValueError(
            f"medians and quantiles need at least one value, but an array of shape {np.shape(a)} "
            f"has none along the axes {axes}"
        )
    ordered = np.sort(np.reshape(np.transpose(a, (*kept, *axes)), (*lanes, count)))
    missing = np.isnan(plain(ordered))
    valid: Any = np.full((*lanes, 1), count)
    if skip_nan:
        valid = np.sum(~missing, axis=-1, keepdims=True)

    place = np.reshape(q, (-1,)) * (valid - 1)
    where = plain(place)
    below, above = np.floor(where).astype(int), np.ceil(where).astype(int)
    if method == "linear":
        weight = place - below
    elif method == "midpoint":
        weight = 0.5 * (above != below)
    else:
        rounding = {"lower": np.floor, "higher": np.ceil, "nearest": np.rint}[method]
        below = above = rounding(where).astype(int)
        weight = np.zeros(where.shape)
    between = method in ("linear", "midpoint")
    dtype = np.result_type(a.dtype, plain(q)) if between else a.dtype
    weight = weight.astype(dtype)
    low, high = (np.take_along_axis(ordered, places, -1) for places in (below, above))
    gap = excess(high, low)
    # From the nearer of the two, as NumPy does, so that the numbers are the same.
    result = np.where(weight < 0.5, low + gap * weight, high - gap * (1 - weight))
    if not skip_nan and not known(a):  # they cannot be refused now
        result = np.where(missing[..., -1:], np.nan, result)

    if keepdims:
        lanes = [1 if i in axes else np.shape(a)[i] for i in range(n)]
    result = np.reshape(result, (*lanes, *np.shape(q)))
    of_q = range(len(lanes), len(lanes) + np.ndim(q))
    return np.moveaxis(result, tuple(of_q), tuple(range(np.ndim(q))))


def _quantile(skip_nan: bool, unit: float) -> Callable[..., Array]:
    def quantile(
        a: Array, q: Any, axis: Any = None, method: str = "linear", keepdims: bool = False
    ) -> Array:
        a, q = as_array(a), as_array(q) / unit
        if np.ndim(q) > 2:
            raise ValueError(f"q can have two axes at most, but it has the shape {np.shape(q)}")
        if certain(np.any((plain(q) < 0) | (plain(q) > 1))):
            raise ValueError(f"q must lie in 0..{unit}, but it is {plain(q) * unit}")
        return _order_statistic(a, q, axis, method, keepdims, skip_nan)

    return quantile


def _median(skip_nan: bool) -> Callable[..., Array]:
    def median(a: Array, axis: Any = None, keepdims: bool = False) -> Array:
        return _order_statistic(a, 0.5, axis, "linear", keepdims, skip_nan)

    return median


composed(np.median, _median(False))
composed(np.nanmedian, _median(True))
composed(np.quantile, _quantile(False, 1))
composed(np.nanquantile, _quantile(True, 1))
composed(np.percentile, _quantile(False, 100))
composed(np.nanpercentile, _quantile(True, 100))
convention(
    "among equal entries, those that sorting puts at the place",
    *(np.median, np.quantile, np.percentile, np.nanmedian, np.nanquantile, np.nanpercentile),
)


# Means with weights, and covariances.
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
        total = np.full(np.shape(mean), np.size(plain(a)) / np.size(plain(mean)), a.dtype)
        return (mean, total) if returned else mean
    if np.shape(weights) != np.shape(a):
        axes = axes_of(axis, np.ndim(a))
        if np.shape(weights) != tuple(np.shape(a)[i] for i in axes):
            raise ValueError(
                f"an average of shape {np.shape(a)} over the axes {axes} needs as many weights, "
                f"but they have the shape {np.shape(weights)}"
            )
        shape = [np.shape(a)[i] if i in axes else 1 for i in range(np.ndim(a))]
        weights = np.reshape(
            np.transpose(weights, tuple(np.argsort(np.argsort(axes)).tolist())), shape
        )
        weights = np.broadcast_to(weights, np.shape(a))
    total = np.sum(weights, axis=axis, keepdims=keepdims)
    if certain(np.any(plain(total) == 0)):
        raise ZeroDivisionError("the weights of np.average sum to 0")
    mean = np.sum(np.multiply(a, weights), axis=axis, keepdims=keepdims) / total
    return (mean, total) if returned else mean


_TURNS_A_ROW = np.shape(np.cov([[0, 1]], rowvar=False, bias=True)) != ()
"""Whether this NumPy transposes a matrix of one row for rowvar=False. Older versions did not."""


def _cov(
    m: Array,
    y: Any = None,
    rowvar: bool = True,
    bias: bool = False,
    ddof: Any = None,
    fweights: Any = None,
    aweights: Any = None,
) -> Array:
    def rows(x: Array, turns_a_row: bool) -> Array:
        matrix = np.atleast_2d(x)
        stays = np.ndim(x) < 2 if turns_a_row else np.shape(matrix)[0] == 1
        return matrix if rowvar or stays else np.transpose(matrix)

    if np.ndim(m) > 2:
        raise ValueError(f"np.cov needs at most two axes, not the shape {np.shape(m)}")
    x = rows(m, _TURNS_A_ROW)
    if len(x) == 0:
        raise ValueError(f"there are no variables in an array of shape {np.shape(m)}")
    x = x if y is None else np.concatenate([x, rows(y, False)])
    ddof = (0 if bias else 1) if ddof is None else ddof
    for weight in (fweights, aweights):
        if weight is not None and np.shape(weight) != np.shape(x)[1:]:
            raise ValueError(
                f"{np.shape(x)[1]} observations need as many weights, but they have the shape "
                f"{np.shape(weight)}"
            )
    frequency = np.ones(np.shape(x)[1]) if fweights is None else fweights
    weights = frequency if aweights is None else np.multiply(frequency, aweights)
    total = np.sum(weights)
    if certain(np.any(total == 0)):
        raise ZeroDivisionError("the weights of np.cov sum to 0")
    excess = 1 if aweights is None else np.sum(np.multiply(weights, aweights)) / total
    centred = x - np.sum(x * weights, axis=1, keepdims=True) / total
    freedom = np.maximum(total - ddof * excess, 0)  # without any, infinite as in NumPy
    return np.squeeze(centred @ np.transpose(centred * weights) / freedom)


def _corrcoef(x: Array, y: Any = None, rowvar: bool = True) -> Array:
    c = _cov(x, y, rowvar)
    if np.ndim(c) == 0:
        return c / c
    scale = np.sqrt(np.diagonal(c))
    return np.clip(c / scale[:, None] / scale, -1, 1)


composed(np.average, _average)
composed(np.cov, _cov)
composed(np.corrcoef, _corrcoef)


# Functions that skip NaNs: each NaN is replaced by a neutral value.
def _without_nan(reduce: Callable[..., Array], neutral: float) -> Callable[..., Array]:
    def reduction(a: Array, axis: Any = None, keepdims: bool = False) -> Array:
        return reduce(np.where(np.isnan(a), neutral, a), axis=axis, keepdims=keepdims)

    return reduction


def _extreme_without_nan(reduce: Callable[..., Array], neutral: float) -> Callable[..., Array]:
    skipping = _without_nan(reduce, neutral)

    def reduction(a: Array, axis: Any = None, keepdims: bool = False) -> Array:
        nothing = np.all(np.isnan(plain(a)), axis=axis, keepdims=keepdims)
        return np.where(nothing, np.nan, skipping(a, axis, keepdims)).astype(a.dtype)

    return reduction


def _valid(a: Array, axis: Any, keepdims: bool) -> Array:
    return np.sum(~np.isnan(plain(a)), axis=axis, keepdims=keepdims).astype(a.dtype)


def _nanmean(a: Array, axis: Any = None, keepdims: bool = False) -> Array:
    return np.nansum(a, axis=axis, keepdims=keepdims) / _valid(a, axis, keepdims)


def _nanvar(a: Array, axis: Any = None, ddof: int = 0, keepdims: bool = False) -> Array:
    deviation = np.where(np.isnan(a), 0, a - _nanmean(a, axis, True))
    squares = np.sum(np.square(deviation), axis=axis, keepdims=keepdims)
    freedom = _valid(a, axis, keepdims) - ddof
    return squares / np.where(freedom > 0, freedom, np.nan).astype(a.dtype)


def _nanstd(a: Array, axis: Any = None, ddof: int = 0, keepdims: bool = False) -> Array:
    return root(_nanvar(a, axis, ddof, keepdims))


composed(np.nansum, _without_nan(np.sum, 0))
composed(np.nanprod, _without_nan(np.prod, 1))
composed(np.nanmax, _extreme_without_nan(np.max, -np.inf))
composed(np.nanmin, _extreme_without_nan(np.min, np.inf))
composed(np.nanmean, _nanmean)
composed(np.nanvar, _nanvar)
composed(np.nanstd, _nanstd)
