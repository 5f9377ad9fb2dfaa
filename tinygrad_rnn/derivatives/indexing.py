"""Indexing and its adjoint, which adds values at the positions of an index."""

from __future__ import annotations

import math
import operator
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.lib.array_utils import normalize_axis_index

from tinygrad_rnn.derivatives.shapes import along, as_array, axes_of, in_dtype, on_axis
from tinygrad_rnn.engine.array_methods import astype
from tinygrad_rnn.engine.graph import Array
from tinygrad_rnn.engine.table import (
    composed,
    constant,
    convention,
    derivative,
    known,
    places_of,
    plain,
    refused,
    together,
)


def is_basic(index: Any) -> bool:
    """Whether the index is basic (integers, slices, None, Ellipsis): it repeats no position."""
    parts = index if isinstance(index, tuple) else (index,)
    return all(
        p is None
        or p is Ellipsis
        or (isinstance(p, int | np.integer | slice) and not isinstance(p, bool))
        for p in parts
    )


def _add_at(total: Array, index: Any, values: Array) -> Array:
    """The total with the values added at the index, in place if possible."""
    if type(index) is int or is_basic(index):
        total[index] += values
    elif isinstance(total, np.ndarray):
        # NumPy converts other kinds of indices to arrays as well, in the forward pass.
        several = isinstance(index, tuple)
        parts = tuple(map(_of_numpy, index if several else (index,)))
        np.add.at(total, parts if several else parts[0], values)
    elif getattr(total, "_records", False):
        np.add.at(total, index, values)
    else:
        return total + _added_up(values, index, total.shape)
    return total


def _of_numpy(index: Any) -> Any:
    is_foreign = hasattr(index, "__array_function__") and not getattr(index, "_records", False)
    return np.asarray(index) if is_foreign else index


def _added_up(values: Array, index: Any, shape: tuple[int, ...]) -> Array:
    """`_scatter` for arrays that cannot be written into, such as Dask's.

    It is a weighted count of positions (`bincount`), which such arrays add up chunk by chunk."""
    places = np.arange(math.prod(shape), like=values).reshape(shape)[index]
    places = np.zeros_like(values, dtype=np.intp) + places  # in one layout
    values = values + np.zeros_like(places, dtype=values.dtype)
    counts = np.bincount(places.reshape(-1), values.reshape(-1), math.prod(shape))
    return counts.reshape(shape).astype(values.dtype)


def _scatter(values: Array, index: Any, shape: tuple[int, ...]) -> Array:
    """The adjoint of indexing: zeros of the given shape, with the values added at the index."""
    return _add_at(np.zeros_like(values, shape=shape), index, values)


def _scatter_together(uses: list[tuple[Any, ...]]) -> Iterator[Array]:
    gradients, (shape, *_), indices = zip(*uses, strict=True)
    single = len(shape) > 1 and all(type(index) is int for index in indices)
    if single and list(indices) == list(range(shape[0] - 1, -1, -1)):
        # The steps of a sequence: each is taken once, and the pass begins with the last.
        yield np.concatenate(gradients[::-1]).reshape(shape)
        return
    total = np.zeros_like(gradients[0], shape=shape)
    for values, index in zip(gradients, indices, strict=True):
        total = _add_at(total, index, values)
    yield total


scatter = derivative(_scatter, lambda g, index: g[index])
derivative(
    operator.getitem,
    together(_scatter_together)(lambda g, shape_of_a, b: scatter(g, b, shape_of_a)),
)


# Selection by positions.
def _take(a: Array, indices: Any, axis: int | None = None, mode: str = "raise") -> Array:
    a, axis = on_axis(a, axis)
    return a[along(axis, _within(places_of(indices), np.shape(a)[axis], mode))]


def _within(places: Array, n: int, mode: str) -> Array:
    """The places, with those beyond 0..n−1 brought into it as the mode says."""
    if mode == "clip":
        return np.clip(places, 0, n - 1)
    return places % n if mode == "wrap" else places


def _take_along_axis(arr: Array, indices: Any, axis: int | None = -1) -> Array:
    arr, axis = on_axis(arr, axis)
    if np.ndim(indices) != np.ndim(arr):
        raise ValueError(
            f"the indices need as many axes as the array, but their shape is {np.shape(indices)} "
            f"and that of the array {np.shape(arr)}"
        )
    grids: list[Any] = list(np.ix_(*map(range, np.shape(arr))))
    grids[axis] = places_of(indices)
    return arr[tuple(grids)]


def _choose(a: Any, choices: Any, mode: str = "raise") -> Array:
    places = _within(places_of(a), len(choices), mode)
    if not known(places):
        places = places.astype(np.uint32)  # -1 is not a choice; as an index it would be the last
    elif np.any((places < 0) | (places >= len(choices))):
        raise ValueError(
            f"np.choose has {len(choices)} choices, so its indices must lie in "
            f"0..{len(choices) - 1}, but they range over {np.min(places)}..{np.max(places)}"
        )
    shape = np.broadcast_shapes(np.shape(places), *map(np.shape, choices))
    stacked = np.stack([np.broadcast_to(c, shape) for c in choices])
    return _take_along_axis(stacked, np.broadcast_to(places, shape)[None], 0)[0]


def _select(condlist: Any, choicelist: Any, default: Any = 0) -> Array:
    result = default
    for condition, choice in zip(reversed(condlist), reversed(choicelist), strict=True):
        result = np.where(condition, choice, result)
    return result


def _compress(condition: Any, a: Array, axis: int | None = None) -> Array:
    if np.ndim(condition) != 1:
        raise ValueError(f"the condition needs one axis, not the shape {np.shape(condition)}")
    return _take(a, np.flatnonzero(condition), axis)


def _delete(arr: Array, obj: Any, axis: int | None = None) -> Array:
    arr, axis = on_axis(arr, axis)
    return _take(arr, np.delete(np.arange(np.shape(arr)[axis]), obj), axis)


def _unique(ar: Array, axis: int | None = None) -> Array:
    if axis is not None:
        raise TypeError(
            "np.unique with axis= has no derivative here; pass .data to compute without a gradient"
        )
    _, first = np.unique(plain(ar), return_index=True)
    return np.reshape(ar, (-1,))[first]


def _bincount(x: Any, weights: Any = None, minlength: int = 0) -> Array:
    places = np.asarray(plain(x))
    weights = astype(as_array(weights), np.float64)  # as NumPy does
    if minlength < 0:
        raise ValueError(f"minlength must be at least 0, not {minlength}")
    if np.ndim(places) != 1 or np.shape(places) != np.shape(weights):
        raise ValueError(
            f"np.bincount needs one weight for each number of a sequence, but the shapes are "
            f"{np.shape(places)} and {np.shape(weights)}"
        )
    return scatter(weights, places, (max(minlength, int(places.max(initial=-1)) + 1),))


def _trim_zeros(filt: Array, trim: str = "fb", axis: Any = None) -> Array:
    filt = as_array(filt)
    n, shape = np.ndim(filt), np.shape(filt)
    axes = axes_of(axis, n)
    found = np.nonzero(plain(filt))
    index = [slice(None)] * n
    for i in axes:
        first, last = (found[i].min(), found[i].max() + 1) if found[i].size else (shape[i], 0)
        index[i] = slice(
            first if "f" in trim.lower() else None, last if "b" in trim.lower() else None
        )
    return filt[tuple(index)]


composed(np.unique, _unique)
composed(np.bincount, _bincount)
composed(np.trim_zeros, _trim_zeros)
convention("of equal entries, the first gets the gradient", np.unique)


# Piecewise functions.
def _piecewise(x: Array, condlist: Any, funclist: Any, *args: Any) -> Array:
    """Each function on the entries where its condition holds. The last true condition decides."""
    alone = np.ndim(condlist) == 0 or (np.ndim(x) > 0 and np.ndim(condlist[0]) == 0)
    conditions = [np.asarray(c, bool) for c in ([condlist] if alone else condlist)]
    if any(np.shape(c) not in ((), np.shape(x)) for c in conditions):
        raise ValueError(f"np.piecewise needs conditions of the shape of x, {np.shape(x)}")
    if len(funclist) == len(conditions) + 1:
        conditions.append(~np.any(conditions, axis=0))
    elif len(funclist) != len(conditions):
        raise ValueError(
            f"np.piecewise with {len(conditions)} conditions takes as many functions, or one more "
            f"for all other values, not {len(funclist)}"
        )
    result = np.zeros_like(plain(x))
    for condition, function in zip(conditions, funclist, strict=True):
        if callable(function):
            value = scatter(function(x[condition], *args), condition, np.shape(x))
        else:
            value = in_dtype(function, result.dtype)
        result = np.where(condition, value, result)
    return result


def _apply_along_axis(func1d: Any, axis: int, arr: Array, *args: Any) -> Array:
    axis = normalize_axis_index(axis, np.ndim(arr))
    lanes = np.moveaxis(arr, axis, -1)
    outer = np.shape(lanes)[:-1]
    flat = np.reshape(lanes, (-1, np.shape(lanes)[-1]))
    results = np.stack([as_array(func1d(flat[i], *args)) for i in range(np.shape(flat)[0])])
    inner = np.ndim(results) - 1
    results = np.reshape(results, outer + np.shape(results)[1:])
    return np.moveaxis(results, range(len(outer), len(outer) + inner), range(axis, axis + inner))


def _apply_over_axes(func: Any, a: Array, axes: Any) -> Array:
    for axis in axes_of(axes, np.ndim(a)):
        reduced = func(a, axis)
        a = reduced if np.ndim(reduced) == np.ndim(a) else np.expand_dims(reduced, axis)
    return a


composed(np.piecewise, _piecewise)
composed(np.apply_along_axis, _apply_along_axis)
composed(np.apply_over_axes, _apply_over_axes)

refused(
    "writes in place, which the graph would not see: write np.where for np.copyto, "
    "t * np.ones(shape) for np.full and t * np.ones_like(array) for np.full_like, which use it",
    np.copyto,
)
refused(
    "writes in place, which the graph would not see: build the value with np.where, "
    "np.concatenate or np.insert",
    *(np.fill_diagonal, np.place, np.put, np.put_along_axis, np.putmask),
    *(np.add.at, np.subtract.at, np.multiply.at, np.divide.at, np.maximum.at, np.minimum.at),
)
refused(
    "compares or counts values, and has no derivative",
    *(np.histogram, np.histogram2d, np.histogramdd, np.histogram_bin_edges),
    *(np.intersect1d, np.setdiff1d, np.setxor1d, np.union1d),
    *(np.unique_all, np.unique_counts, np.unique_inverse, np.unique_values),
)
# What is saved loses no gradient.
constant(np.save, np.savez, np.savez_compressed, np.savetxt)

composed(np.take, _take)
composed(np.take_along_axis, _take_along_axis)
composed(np.choose, _choose)
composed(np.select, _select)
composed(np.compress, _compress)
composed(np.extract, lambda condition, arr: _compress(np.ravel(condition), np.reshape(arr, (-1,))))
composed(np.delete, _delete)


# Sorting is a selection by the positions from argsort.
def _sort(a: Array, axis: int | None) -> Array:
    a, axis = on_axis(a, axis)
    return _take_along_axis(a, np.argsort(a, axis=axis, kind="stable"), axis)


def _partition(a: Array, kth: Any, axis: int | None) -> Array:
    a, axis = on_axis(a, axis)
    return _take_along_axis(a, np.argpartition(a, kth, axis=axis), axis)


composed(np.sort, lambda a, axis=-1, kind=None, stable=None: _sort(a, axis))
composed(np.partition, lambda a, kth, axis=-1, kind=None: _partition(a, kth, axis))
convention("equal entries keep their order, and each gets its own gradient", np.sort)
convention("each of equal entries gets the gradient of one place", np.partition)
