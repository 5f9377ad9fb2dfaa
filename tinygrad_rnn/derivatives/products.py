"""Products of vectors, matrices and stacks of them."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from tinygrad_rnn.engine.graph import Array
from tinygrad_rnn.engine.table import computed_by, derivative, together

ROWS = 512
"""From this many rows on, more rows do not make a matrix product more efficient."""


def _transposed(x: Array) -> Array:
    return x.T if x.ndim == 2 else np.swapaxes(x, -1, -2)


_ndarray = np.ndarray


SMALL = 2**17
"""Up to this size of a factor, the `dot` method of two matrices is faster than the ufunc.

For small matrices it takes less than half the time. It fills its result with zeros first, which
costs time for large ones."""


def _matmul(x1: Array, x2: Array) -> Array:
    if type(x1) is _ndarray is type(x2) and x2.ndim == 2:
        if x1.ndim == 2:
            return x1.dot(x2) if x1.size <= SMALL else np.matmul(x1, x2)
        # The ufunc computes a product for each matrix of a stack, even where one product suffices.
        if x1.ndim > 2 and x1.size and x1.shape[-1] == len(x2):
            product = _matmul(x1.reshape(-1, x1.shape[-1]), x2)
            return product.reshape(*x1.shape[:-1], x2.shape[1])
    return np.matmul(x1, x2)


def _matmul_left(g: Array, x2: Array) -> Array:
    if x2.ndim == 2:
        return _matmul(g, x2.T)
    if x2.ndim == 1:
        return g[..., None] * x2
    if g.ndim < x2.ndim:  # the left factor was a vector
        return (x2 @ g[..., None])[..., 0]
    return g @ _transposed(x2)


def _in_few_products(uses: list[tuple[Any, ...]]) -> Iterator[Array]:
    """Σ_t x_tᵀ g_t in few products: the rows of several uses are stacked to one matrix."""
    matrices = len(uses[0][2]) == 2 and {use[0].ndim for use in uses} == {2}
    per_product = max(1, ROWS // max(1, len(uses[0][0]))) if matrices else 1
    for start in range(0, len(uses), per_product):
        gs, xs, (shape, *_) = zip(*uses[start : start + per_product], strict=True)
        if len(gs) == 1:
            yield _matmul_right(gs[0], xs[0], shape)
        else:
            yield np.concatenate(xs).T @ np.concatenate(gs)


@together(_in_few_products, below=2**15)
def _matmul_right(g: Array, x1: Array, shape_of_x2: tuple[int, ...]) -> Array:
    if x1.ndim == 1:
        return g * x1 if g.ndim == 0 else x1[:, None] * g[..., None, :]
    if len(shape_of_x2) == 1:
        return (_transposed(x1) @ g[..., None])[..., 0]
    if len(shape_of_x2) == 2 and x1.ndim > 2:  # one matrix for a whole stack: one product
        x1, g = (
            x1.reshape(math.prod(x1.shape[:-1]), x1.shape[-1]),
            g.reshape(math.prod(g.shape[:-1]), g.shape[-1]),
        )
    return _transposed(x1) @ g


derivative(np.matmul, _matmul_left, _matmul_right)
computed_by(np.matmul, _matmul)
