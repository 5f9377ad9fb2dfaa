"""Norms of vectors and matrices, and condition numbers."""

from __future__ import annotations

from typing import Any

import numpy as np

from tinygrad_rnn.derivatives.reductions import root
from tinygrad_rnn.derivatives.shapes import axes_of
from tinygrad_rnn.engine.graph import Array
from tinygrad_rnn.engine.table import composed, convention, plain


def _norm(x: Array, ord: Any = None, axis: Any = None, keepdims: bool = False) -> Array:  # noqa: A002
    if axis is None and ord is None:
        n = root(np.sum(np.square(x)))
        return np.reshape(n, (1,) * np.ndim(x)) if keepdims else n
    axes = axes_of(axis, np.ndim(x))
    if len(axes) == 1:
        return _vector_norm(x, ord, axes[0], keepdims)
    if len(axes) != 2:
        raise ValueError(
            f"a norm with ord={ord} is taken over one axis or two, not over {len(axes)}; pass "
            f"axis=, or omit ord= for the root of the sum of all squares"
        )
    return _matrix_norm(x, ord, axes, keepdims)


def _vector_norm(x: Array, ord: Any, axis: Any, keepdims: bool) -> Array:  # noqa: A002
    if ord is None or ord == 2:
        return root(np.sum(np.square(x), axis=axis, keepdims=keepdims))
    size = np.abs(x)
    if ord == np.inf:
        return np.max(size, axis=axis, keepdims=keepdims)
    if ord == -np.inf:
        return np.min(size, axis=axis, keepdims=keepdims)
    if ord == 0:
        return np.sum(np.sign(size), axis=axis, keepdims=keepdims)
    if ord == 1:
        return np.sum(size, axis=axis, keepdims=keepdims)
    if isinstance(ord, str):
        raise ValueError(f"ord={ord!r} is a matrix norm and needs two axes, but axis is {axis}")
    if ord > 0:
        return _power(np.sum(_power(size, ord), axis=axis, keepdims=keepdims), 1 / ord)
    zero = plain(size) == 0  # a norm of negative order is 0 if an entry is 0
    total = np.sum(np.where(zero, 1, size) ** ord, axis=axis, keepdims=keepdims) ** (1 / ord)
    return np.where(np.any(zero, axis=axis, keepdims=keepdims), 0, total)


def _power(x: Array, p: float) -> Array:
    """x ** p, with the gradient 0 at 0."""
    zero = plain(x) == 0
    return np.where(zero, 0, np.where(zero, 1, x) ** p)


def _matrix_norm(x: Array, ord: Any, axes: tuple[int, ...], keepdims: bool) -> Array:  # noqa: A002
    if ord is None or ord == "fro":
        return root(np.sum(np.square(x), axis=axes, keepdims=keepdims))
    matrices = np.moveaxis(x, axes, (-2, -1))
    if ord in ("nuc", 2, -2):
        s = np.linalg.svd(matrices, compute_uv=False)
        reduce: Any = np.sum if ord == "nuc" else np.max if ord == 2 else np.min
        result = reduce(s, axis=-1)
    elif ord in (1, -1, np.inf, -np.inf):
        sums = np.sum(np.abs(matrices), axis=-2 if abs(ord) == 1 else -1)
        result = np.max(sums, axis=-1) if ord > 0 else np.min(sums, axis=-1)
    else:
        raise ValueError(f"there is no matrix norm with ord={ord!r}")
    return np.expand_dims(result, axes) if keepdims else result


def _all_vector_norm(
    x: Array,
    *,
    axis: Any = None,
    keepdims: bool = False,
    ord: Any = 2,  # noqa: A002
) -> Array:
    return _vector_norm(x, ord, axes_of(axis, np.ndim(x)), keepdims)


def _cond(x: Array, p: Any = None) -> Array:
    if p is None or p == 2 or p == -2:
        s = np.linalg.svd(x, compute_uv=False)
        return s[..., -1] / s[..., 0] if p == -2 else s[..., 0] / s[..., -1]
    return _matrix_norm(x, p, (-2, -1), False) * _matrix_norm(np.linalg.inv(x), p, (-2, -1), False)


composed(np.linalg.norm, _norm)
composed(np.linalg.vector_norm, _all_vector_norm)
composed(
    np.linalg.matrix_norm,
    lambda x, *, keepdims=False, ord="fro": _matrix_norm(x, ord, (-2, -1), keepdims),  # noqa: A006
)
composed(np.linalg.cond, _cond)
convention(
    "the gradient at 0 is 0; equal largest entries share it",
    *(np.linalg.norm, np.linalg.vector_norm, np.linalg.matrix_norm),
)
