"""Functions that only move numbers around."""

from __future__ import annotations

from typing import Any

import numpy as np

from tinygrad_rnn.derivatives.table import constant, derivative
from tinygrad_rnn.graph import Array


def _slot(g: Array, i: int, axis: int) -> Array:
    return g[i] if axis == 0 else g[(slice(None),) * (axis % g.ndim) + (i,)]


def _part(g: Array, i: int, shape_of_arrays: Any, axis: int | None) -> Array:
    if axis is None:
        sizes = [int(np.prod(shape)) for shape in shape_of_arrays]
        start = sum(sizes[:i])
        return g[start : start + sizes[i]].reshape(shape_of_arrays[i])
    lengths = [shape[axis] for shape in shape_of_arrays]
    start = sum(lengths[:i])
    return g[(slice(None),) * (axis % g.ndim) + (slice(start, start + lengths[i]),)]


derivative(np.reshape, lambda g, shape_of_a: g.reshape(shape_of_a))
derivative(
    np.transpose,
    lambda g, axes: np.transpose(
        g, None if axes is None else np.argsort(np.asarray(axes) % g.ndim)
    ),
)
derivative(np.swapaxes, lambda g, axis1, axis2: np.swapaxes(g, axis1, axis2))
derivative(np.expand_dims, lambda g, shape_of_a: g.reshape(shape_of_a))
derivative(np.squeeze, lambda g, shape_of_a: g.reshape(shape_of_a))
derivative(np.broadcast_to, lambda g: g)
derivative(np.stack, lambda g, i, axis: _slot(g, i, axis))
derivative(np.concatenate, lambda g, i, shape_of_arrays, axis: _part(g, i, shape_of_arrays, axis))

constant(np.zeros_like, np.ones_like, np.empty_like)
constant(np.shape, np.ndim, np.size, np.argmax, np.argmin, np.argsort)


def _astype(x: Array, dtype: Any) -> Array:
    """The same numbers in another dtype."""
    return x.astype(dtype)


astype = derivative(_astype, lambda g: g)  # the sweep itself gives each gradient its dtype
