"""Running sums and products, differences, integrals; and the methods of the ufuncs."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.lib.array_utils import normalize_axis_index

from tinygrad_rnn.derivatives.reductions import all_but_one, logsumexp
from tinygrad_rnn.derivatives.shapes import along, as_array, axes_of
from tinygrad_rnn.engine.graph import Array
from tinygrad_rnn.engine.table import METHODS, certain, composed, derivative


def _cumsum(g: Array, shape_of_a: tuple[int, ...], axis: int | None) -> Array:
    return _from_the_end(g, 0 if axis is None else axis).reshape(shape_of_a)


def _from_the_end(g: Array, axis: int) -> Array:
    """The running sums of what follows each entry, and the entry."""
    return np.flip(np.cumsum(np.flip(g, axis), axis), axis)


def _cumprod(g: Array, y: Array, a: Array, axis: int | None) -> Array:
    if axis is None:
        return _cumprod(g, y, a.reshape(-1), 0).reshape(a.shape)
    if certain(np.all((y != 0) & np.isfinite(y))):
        return _from_the_end(g * y, axis) / a
    # As for prod: row i holds the products without factor i, and contributes from entry i on.
    last, n = np.moveaxis(a, axis, -1), a.shape[axis]
    without = np.cumprod(all_but_one(last), axis=-1)
    from_i_on = np.triu(np.ones((n, n), g.dtype))
    return np.moveaxis(
        np.sum(np.moveaxis(g, axis, -1)[..., None, :] * (without * from_i_on), axis=-1), -1, axis
    )


derivative(np.cumsum, _cumsum)
derivative(np.cumprod, _cumprod)


def _cumulative(accumulate: Any, first: float) -> Any:
    def cumulative(x: Array, *, axis: int | None = None, include_initial: bool = False) -> Array:
        x = np.atleast_1d(x)
        if axis is None and np.ndim(x) > 1:
            raise ValueError(f"an array of shape {np.shape(x)} needs an axis to be summed along")
        axis = normalize_axis_index(axis or 0, x.ndim)
        result = accumulate(x, axis=axis)
        if include_initial:
            initial = np.full((*x.shape[:axis], 1, *x.shape[axis + 1 :]), first, result.dtype)
            result = np.concatenate([initial, result], axis=axis)
        return result

    return cumulative


composed(getattr(np, "cumulative_sum", None), _cumulative(np.cumsum, 0))
composed(getattr(np, "cumulative_prod", None), _cumulative(np.cumprod, 1))
composed(np.nancumsum, lambda a, axis=None: np.cumsum(np.where(np.isnan(a), 0, a), axis))
composed(np.nancumprod, lambda a, axis=None: np.cumprod(np.where(np.isnan(a), 1, a), axis))


# Differences and integrals.
def _diff(a: Array, n: int = 1, axis: int = -1, prepend: Any = None, append: Any = None) -> Array:
    if n < 0:
        raise ValueError(f"n must be at least 0, not {n}")
    if n == 0:
        return a
    axis = normalize_axis_index(axis, np.ndim(a))

    def edge(value: Any) -> Array:
        shape = (*np.shape(a)[:axis], 1, *np.shape(a)[axis + 1 :])
        return value if np.ndim(value) else np.broadcast_to(value, shape)

    parts = [edge(part) for part in (prepend, a, append) if part is not None]
    a = np.concatenate(parts, axis=axis) if len(parts) > 1 else a
    for _ in range(n):
        a = a[along(axis, slice(1, None))] - a[along(axis, slice(None, -1))]
    return a


def _ediff1d(ary: Array, to_end: Any = None, to_begin: Any = None) -> Array:
    flat = np.reshape(ary, (-1,))
    parts = to_begin, _diff(flat), to_end
    joined = [np.reshape(part, (-1,)) for part in parts if part is not None]
    return np.concatenate(joined, dtype=flat.dtype)


def _trapezoid(y: Array, x: Any = None, dx: Any = 1.0, axis: int = -1) -> Array:
    y, x = as_array(y), as_array(x)
    place = normalize_axis_index(axis, np.ndim(y))
    if x is not None:
        if np.ndim(x) == 1:
            shape = [1] * np.ndim(y)
            shape[place] = -1
            dx = np.reshape(_diff(x), shape)
        else:
            dx = _diff(x, axis=axis)
    later, earlier = y[along(place, slice(1, None))], y[along(place, slice(None, -1))]
    return np.sum(dx * (later + earlier) / 2.0, axis=axis)


composed(np.diff, _diff)
composed(np.ediff1d, _ediff1d)
composed(np.trapezoid, _trapezoid)


# Methods of ufuncs: those with a NumPy function of their own call it; the others go step by step.
REDUCE: dict[np.ufunc, Callable[..., Array]] = {
    np.add: np.sum,
    np.multiply: np.prod,
    np.maximum: np.max,
    np.minimum: np.min,
    np.logaddexp: logsumexp,
}
ACCUMULATE: dict[np.ufunc, Callable[..., Array]] = {np.add: np.cumsum, np.multiply: np.cumprod}


def _reduce(ufunc: np.ufunc, array: Array, axis: Any = 0, keepdims: bool = False) -> Array:
    if ufunc in REDUCE:
        return REDUCE[ufunc](array, axis=axis, keepdims=keepdims)
    for one in sorted(axes_of(axis, np.ndim(array)), reverse=True):
        parts = [array[along(one, i)] for i in range(np.shape(array)[one])]
        array = functools.reduce(ufunc, parts)
        array = np.expand_dims(array, one) if keepdims else array
    return array


def _accumulate(ufunc: np.ufunc, array: Array, axis: int = 0) -> Array:
    if ufunc in ACCUMULATE:
        return ACCUMULATE[ufunc](array, axis=axis)
    axis = normalize_axis_index(axis, np.ndim(array))
    so_far = [array[along(axis, 0)]]
    for i in range(1, np.shape(array)[axis]):
        so_far.append(ufunc(so_far[-1], array[along(axis, i)]))
    return np.stack(so_far, axis=axis)


def _outer(ufunc: np.ufunc, a: Array, b: Array) -> Array:
    return ufunc(np.reshape(a, np.shape(a) + (1,) * np.ndim(b)), b)


METHODS.update(reduce=_reduce, accumulate=_accumulate, outer=_outer)
