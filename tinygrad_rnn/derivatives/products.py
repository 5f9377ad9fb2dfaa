"""Products of vectors, matrices and stacks of them."""

from __future__ import annotations

from typing import Any

import numpy as np

from tinygrad_rnn.derivatives.table import derivative, together
from tinygrad_rnn.graph import Array

ROWS = 512
"""From this many rows on a matrix product gains nothing from more of them."""


def _transposed(x: Array) -> Array:
    return np.swapaxes(x, -1, -2)


def _matmul_left(g: Array, x2: Array) -> Array:
    if x2.ndim == 1:
        return g[..., None] * x2
    if g.ndim < x2.ndim:  # the left factor was a vector
        return (x2 @ g[..., None])[..., 0]
    return g @ _transposed(x2)


def _sum_of_products(uses: list[tuple[Any, ...]]) -> Array:
    """Σ_t x_tᵀ g_t, in as few products as make sense: the rows of all uses under one another."""
    if any(x1.ndim != 2 or g.ndim != 2 for g, x1, _ in uses):
        return sum(_matmul_right(*use) for use in uses[1:]) + _matmul_right(*uses[0])
    per_product = max(1, ROWS // len(uses[0][0]))
    total = None
    for start in range(0, len(uses), per_product):
        block = uses[start : start + per_product]
        if len(block) == 1:
            g, x1, _ = block[0]
        else:
            g = np.concatenate([use[0] for use in block])
            x1 = np.concatenate([use[1] for use in block])
        product = x1.T @ g
        total = product if total is None else np.add(total, product, total)
    return total


@together(_sum_of_products)
def _matmul_right(g: Array, x1: Array, shape_of_x2: tuple[int, ...]) -> Array:
    if x1.ndim == 1:
        return g * x1 if g.ndim == 0 else x1[:, None] * g[..., None, :]
    if len(shape_of_x2) == 1:
        return (_transposed(x1) @ g[..., None])[..., 0]
    if len(shape_of_x2) == 2 and x1.ndim > 2:  # one matrix for a whole stack: one product
        x1, g = x1.reshape(-1, x1.shape[-1]), g.reshape(-1, g.shape[-1])
    return _transposed(x1) @ g


derivative(np.matmul, _matmul_left, _matmul_right)
