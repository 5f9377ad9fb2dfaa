"""Indexing, and its adjoint: adding values up at the places an index names."""

from __future__ import annotations

import operator
from typing import Any

import numpy as np

from tinygrad_rnn.derivatives.table import derivative, together
from tinygrad_rnn.graph import Array


def is_basic(index: Any) -> bool:
    """Whether the index names every place at most once: integers, slices, None and Ellipsis."""
    parts = index if isinstance(index, tuple) else (index,)
    return all(
        p is None
        or p is Ellipsis
        or (isinstance(p, int | np.integer | slice) and not isinstance(p, bool))
        for p in parts
    )


def _add_at(total: Array, index: Any, values: Array) -> None:
    if is_basic(index):
        total[index] += values
    else:
        np.add.at(total, index, values)


def _scatter(values: Array, index: Any, shape: tuple[int, ...]) -> Array:
    """Zeros of the given shape, with the values added at the index: what indexing's adjoint is."""
    total = np.zeros_like(values, shape=shape)
    _add_at(total, index, values)
    return total


def _scatter_together(uses: list[tuple[Any, ...]]) -> Array:
    total = np.zeros_like(uses[0][0], shape=uses[0][1])
    for values, _, index in uses:
        _add_at(total, index, values)
    return total


scatter = derivative(_scatter, lambda g, index: g[index])
derivative(
    operator.getitem,
    together(_scatter_together)(lambda g, shape_of_a, b: scatter(g, b, shape_of_a)),
)
