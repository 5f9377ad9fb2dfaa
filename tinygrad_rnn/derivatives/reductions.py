"""Sums, means, extremes."""

from __future__ import annotations

from typing import Any

import numpy as np

from tinygrad_rnn.derivatives.table import derivative
from tinygrad_rnn.graph import Array


def _restored(g: Array, axis: Any, keepdims: bool) -> Array:
    """Give back the axes that the reduction removed, with length 1."""
    return g if axis is None or keepdims else np.expand_dims(g, axis)


def _mean(g: Array, shape_of_a: tuple[int, ...], axis: Any, keepdims: bool) -> Array:
    axes = tuple(range(len(shape_of_a))) if axis is None else np.atleast_1d(axis)
    count = int(np.prod([shape_of_a[i] for i in axes]))
    return _restored(g, axis, keepdims) / max(count, 1)


def _extreme(g: Array, y: Array, a: Array, axis: Any, keepdims: bool) -> Array:
    # All the entries that are equal to the extreme share its gradient equally.
    chosen = (a == _restored(y, axis, keepdims)) * np.ones((), g.dtype)
    return _restored(g, axis, keepdims) * (chosen / np.sum(chosen, axis=axis, keepdims=True))


derivative(np.sum, lambda g, axis, keepdims: _restored(g, axis, keepdims))
derivative(np.mean, _mean)
derivative(np.max, _extreme)
derivative(np.min, _extreme)
