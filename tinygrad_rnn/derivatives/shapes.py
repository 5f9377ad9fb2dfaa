"""Functions that only rearrange entries. Their pull-backs reverse the rearrangement."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.lib.array_utils import normalize_axis_index, normalize_axis_tuple

from tinygrad_rnn.engine.array_methods import astype
from tinygrad_rnn.engine.graph import Array
from tinygrad_rnn.engine.table import composed, computed_by, constant, derivative, plain


def axes_of(axis: Any, ndim: int) -> tuple[int, ...]:
    """The axes, counted from 0; all of them for None. AxisError for one that the array lacks."""
    return tuple(range(ndim)) if axis is None else normalize_axis_tuple(axis, ndim)


def along(axis: int, part: Any) -> tuple[Any, ...]:
    """The index that takes a part of one axis and all of the others."""
    return (slice(None),) * axis + (part,)


def on_axis(a: Array, axis: int | None) -> tuple[Array, int]:
    """The array and the axis, counted from 0. For None the array is flat, as in NumPy."""
    if axis is None:
        a, axis = np.reshape(a, (-1,)), 0
    return a, normalize_axis_index(axis, np.ndim(a))


def as_array(value: Any) -> Array:
    """A nested list of Tensors or numbers as one array; an array unchanged."""
    if not isinstance(value, list | tuple):
        return value
    parts = [as_array(part) for part in value]
    tracked = any(part is not plain(part) for part in parts)
    return np.stack(parts) if tracked else np.asarray(value)


def in_dtype(values: Any, dtype: Any) -> Array:
    """The values in the dtype of the array they are written into.

    TypeError if that would lose a gradient."""
    if values is plain(values):
        return np.asarray(values, dtype)
    if np.dtype(dtype).kind != "f":
        raise TypeError(
            f"a Tensor that needs a gradient would be rounded to the array's dtype {dtype}; "
            f"convert the array to floats first, for example with .astype(np.float64)"
        )
    return values if values.dtype == dtype else astype(values, dtype)


# Shape and order of the axes.
def _inverse(axes: Sequence[int], ndim: int) -> tuple[int, ...]:
    """The inverse of a permutation of the axes."""
    return tuple(np.argsort([axis % ndim for axis in axes]).tolist())


def _reshape(g: Array, shape_of_a: tuple[int, ...], order: str) -> Array:
    if order == "C":
        return g.reshape(shape_of_a)
    if order == "F":
        return np.reshape(g, shape_of_a, order="F")
    raise TypeError(f"np.reshape with order={order!r} has no derivative; pass order='C' or 'F'")


def _reshaped(a: Array, shape: Any, *order: Any) -> Array:
    # The method is ten times as fast as NumPy's function.
    return np.reshape(a, shape, *order) if order or type(a) is not np.ndarray else a.reshape(shape)


derivative(np.reshape, _reshape)
computed_by(np.reshape, _reshaped)
derivative(np.expand_dims, lambda g, shape_of_a: g.reshape(shape_of_a))
derivative(np.squeeze, lambda g, shape_of_a, axis: g.reshape(shape_of_a))
derivative(
    np.transpose,
    lambda g, axes: np.transpose(
        g, None if axes is None else _inverse(np.atleast_1d(axes).tolist(), g.ndim)
    ),
)
derivative(np.swapaxes, lambda g, axis1, axis2: np.swapaxes(g, axis1, axis2))
derivative(np.moveaxis, lambda g, source, destination: np.moveaxis(g, destination, source))
derivative(np.broadcast_to, lambda g: g)
derivative(np.copy, lambda g, order: g)


def _ravel(a: Array, order: str = "C") -> Array:
    if order not in ("C", "F"):
        raise TypeError(f"np.ravel with order={order!r} has no derivative; pass order='C' or 'F'")
    return np.reshape(a if order == "C" else np.transpose(a), -1)


def _rollaxis(a: Array, axis: int, start: int = 0) -> Array:
    n = np.ndim(a)
    axis = normalize_axis_index(axis, n)
    start = normalize_axis_index(start - (start < 0), n + 1, "start")  # it may stand behind all
    return np.moveaxis(a, axis, start - 1 if start > axis else start)


def at_least(n: int) -> Callable[..., Any]:
    def raise_all(*arys: Array) -> Any:
        def raised(a: Array) -> Array:
            shape = np.shape(a)
            if n == 3 and len(shape) < 3:
                shape = {0: (1, 1, 1), 1: (1, *shape, 1), 2: (*shape, 1)}[len(shape)]
            return np.reshape(a, (1,) * (n - len(shape)) + shape)

        return raised(arys[0]) if len(arys) == 1 else tuple(map(raised, arys))

    return raise_all


composed(np.ravel, _ravel)
composed(np.rollaxis, _rollaxis)
composed(np.matrix_transpose, lambda x: np.swapaxes(x, -1, -2))
composed(np.linalg.matrix_transpose, lambda x: np.swapaxes(x, -1, -2))
composed(np.permute_dims, lambda a, axes=None: np.transpose(a, axes))
composed(np.atleast_1d, at_least(1))
composed(np.atleast_2d, at_least(2))
composed(np.atleast_3d, at_least(3))


def _broadcast_arrays(*args: Array) -> tuple[Array, ...]:
    shape = np.broadcast_shapes(*map(np.shape, args))
    return tuple(np.broadcast_to(a, shape) for a in args)


def _meshgrid(
    *xi: Array, copy: bool = True, sparse: bool = False, indexing: str = "xy"
) -> tuple[Array, ...]:
    n = len(xi)
    grids = [np.reshape(x, (1,) * i + (-1,) + (1,) * (n - i - 1)) for i, x in enumerate(xi)]
    if indexing == "xy" and n > 1:
        grids = [np.swapaxes(grid, 0, 1) for grid in grids]
    return tuple(grids) if sparse else _broadcast_arrays(*grids)


composed(np.broadcast_arrays, _broadcast_arrays)
composed(np.meshgrid, _meshgrid)


# Flips and rotations.
def _unroll(g: Array, shift: Any, axis: Any) -> Array:
    return np.roll(g, -shift if np.ndim(shift) == 0 else tuple(-s for s in shift), axis)


derivative(np.roll, _unroll)
derivative(np.flip, lambda g, axis: np.flip(g, axis))
derivative(np.fliplr, lambda g: np.fliplr(g))
derivative(np.flipud, lambda g: np.flipud(g))
derivative(np.rot90, lambda g, k, axes: np.rot90(g, -k, axes))
derivative(np.fft.fftshift, lambda g, axes: np.fft.ifftshift(g, axes))
derivative(np.fft.ifftshift, lambda g, axes: np.fft.fftshift(g, axes))


# Diagonals and triangles.
def _diagonal(a: Array, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Array:
    last = np.moveaxis(a, (axis1, axis2), (-2, -1))
    rows = np.arange(np.shape(last)[-2])
    rows = rows[(rows + offset >= 0) & (rows + offset < np.shape(last)[-1])]
    return last[..., rows, rows + offset]


def _diag(v: Array, k: int = 0) -> Array:
    if np.ndim(v) == 2:
        return _diagonal(v, k)
    n = np.shape(v)[0]
    rows = np.concatenate([v, np.zeros(1, v.dtype)])  # the last entry is for places off it
    places = np.diag(np.arange(n) + 1, k) - 1
    return rows[places]


derivative(np.tril, lambda g, k: np.tril(g, k))
derivative(np.triu, lambda g, k: np.triu(g, k))
composed(np.diagonal, _diagonal)
composed(
    np.linalg.diagonal,
    lambda x, offset=0: _diagonal(x, offset, -2, -1),
)
composed(
    np.trace,
    lambda a, offset=0, axis1=0, axis2=1: np.sum(_diagonal(a, offset, axis1, axis2), axis=-1),
)
composed(np.linalg.trace, lambda x, offset=0: np.sum(_diagonal(x, offset, -2, -1), axis=-1))
composed(np.diag, _diag)
composed(np.diagflat, lambda v, k=0: _diag(np.reshape(v, (-1,)), k))


composed(getattr(np, "astype", None), lambda x, dtype: astype(x, dtype))


def _full_like(a: Array, fill_value: Any, dtype: Any = None, shape: Any = None) -> Array:
    like = np.full_like(plain(a), plain(fill_value), dtype=dtype, shape=shape)
    if fill_value is plain(fill_value):
        return like
    return np.broadcast_to(in_dtype(fill_value, like.dtype), like.shape)


composed(np.full_like, _full_like)
# For a real array, these return the array itself.
composed(np.real_if_close, lambda a: a)

constant(np.zeros_like, np.ones_like, np.empty_like)
constant(np.shape, np.ndim, np.size, np.argsort, np.argpartition, np.lexsort)
constant(np.nonzero, np.flatnonzero, np.argwhere, np.result_type, np.can_cast, np.min_scalar_type)
constant(np.shares_memory, np.may_share_memory, np.common_type)
constant(np.array_repr, np.array_str, np.array2string, np.isin)
