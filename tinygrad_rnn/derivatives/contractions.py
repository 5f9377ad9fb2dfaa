"""Products of tensors, as compositions of matrix products."""

from __future__ import annotations

import functools
import math
from typing import Any

import numpy as np

from tinygrad_rnn.derivatives.shapes import axes_of
from tinygrad_rnn.engine.graph import Array
from tinygrad_rnn.engine.table import composed


def _dot(a: Array, b: Array) -> Array:
    if np.ndim(a) == 0 or np.ndim(b) == 0:
        return np.multiply(a, b)
    if np.ndim(b) <= 2:
        return np.matmul(a, b)
    return _tensordot(a, b, (-1, -2))


def _inner(a: Array, b: Array) -> Array:
    if np.ndim(a) == 0 or np.ndim(b) == 0:
        return np.multiply(a, b)
    return _tensordot(a, b, (-1, -1))


def _tensordot(a: Array, b: Array, axes: Any = 2) -> Array:
    if np.ndim(axes) == 0:
        axes = (range(-axes, 0), range(axes))
    lists = (np.ravel(some).astype(int).tolist() for some in axes)
    summed_a, summed_b = (axes_of(some, np.ndim(x)) for some, x in zip(lists, (a, b), strict=True))
    if [np.shape(a)[i] for i in summed_a] != [np.shape(b)[i] for i in summed_b]:
        raise ValueError(
            f"the axes {summed_a} of shape {np.shape(a)} and the axes {summed_b} of shape "
            f"{np.shape(b)} are summed together, but their lengths differ"
        )
    free_a = [axis for axis in range(np.ndim(a)) if axis not in summed_a]
    free_b = [axis for axis in range(np.ndim(b)) if axis not in summed_b]
    rows, columns = [np.shape(a)[i] for i in free_a], [np.shape(b)[i] for i in free_b]
    length = math.prod(np.shape(a)[i] for i in summed_a)
    left = np.reshape(np.transpose(a, (*free_a, *summed_a)), (math.prod(rows), length))
    right = np.reshape(np.transpose(b, (*summed_b, *free_b)), (length, math.prod(columns)))
    return np.reshape(np.matmul(left, right), (*rows, *columns))


def _outer(a: Array, b: Array) -> Array:
    return np.multiply(np.reshape(a, (-1, 1)), np.reshape(b, (1, -1)))


def _outer_of_vectors(x1: Array, x2: Array) -> Array:
    if (np.ndim(x1), np.ndim(x2)) != (1, 1):
        raise ValueError(f"vectors are needed, not the shapes {np.shape(x1)} and {np.shape(x2)}")
    return _outer(x1, x2)


def _vecdot(x1: Array, x2: Array) -> Array:
    if np.shape(x1)[-1:] != np.shape(x2)[-1:]:
        raise ValueError(
            f"vectors of equal length are needed, not the shapes {np.shape(x1)} and {np.shape(x2)}"
        )
    return np.sum(x1 * x2, axis=-1)


def _matvec(x1: Array, x2: Array) -> Array:
    if np.ndim(x1) < 2:
        raise ValueError(f"np.matvec needs a matrix, not the shape {np.shape(x1)}")
    return np.matmul(x1, x2[..., None])[..., 0]


def _kron(a: Array, b: Array) -> Array:
    n = max(np.ndim(a), np.ndim(b))
    shape_a = (1,) * (n - np.ndim(a)) + np.shape(a)
    shape_b = (1,) * (n - np.ndim(b)) + np.shape(b)
    left = np.reshape(a, tuple(k for length in shape_a for k in (length, 1)))
    right = np.reshape(b, tuple(k for length in shape_b for k in (1, length)))
    return np.reshape(left * right, tuple(p * q for p, q in zip(shape_a, shape_b, strict=True)))


def _cross(
    a: Array, b: Array, axisa: int = -1, axisb: int = -1, axisc: int = -1, axis: int | None = None
) -> Array:
    if axis is not None:
        axisa = axisb = axisc = axis
    a, b = np.moveaxis(a, axisa, -1), np.moveaxis(b, axisb, -1)
    if np.shape(a)[-1] != 3 or np.shape(b)[-1] != 3:
        raise ValueError(
            f"the derivative of a cross product needs vectors of length 3, but the shapes are "
            f"{np.shape(a)} and {np.shape(b)}"
        )
    return np.moveaxis(
        np.roll(a, -1, -1) * np.roll(b, 1, -1) - np.roll(a, 1, -1) * np.roll(b, -1, -1), -1, axisc
    )


def _matrix_power(a: Array, n: int) -> Array:
    if np.ndim(a) < 2 or np.shape(a)[-1] != np.shape(a)[-2]:
        raise ValueError(f"only square matrices have powers, not the shape {np.shape(a)}")
    if n < 0:
        return _matrix_power(np.linalg.inv(a), -n)
    if n == 0:
        return np.where(True, np.eye(np.shape(a)[-1], dtype=a.dtype), a)  # no entry of a
    half = a if n == 1 else _matrix_power(np.matmul(a, a), n // 2)
    return half if n == 1 or n % 2 == 0 else np.matmul(half, a)


composed(np.dot, _dot)
composed(np.inner, _inner)
composed(np.vdot, lambda a, b: np.matmul(np.reshape(a, (-1,)), np.reshape(b, (-1,))))
composed(np.vecdot, _vecdot)
composed(np.outer, _outer)
composed(np.tensordot, _tensordot)
composed(np.kron, _kron)
composed(np.cross, _cross)
composed(np.linalg.multi_dot, lambda arrays: functools.reduce(_dot, arrays))
composed(np.linalg.matrix_power, _matrix_power)
composed(np.linalg.matmul, lambda x1, x2: np.matmul(x1, x2))
composed(np.linalg.outer, _outer_of_vectors)
composed(np.linalg.tensordot, lambda x1, x2, axes=2: _tensordot(x1, x2, axes))
composed(np.linalg.cross, lambda x1, x2, axis=-1: _cross(x1, x2, axis=axis))
composed(
    np.linalg.vecdot,
    lambda x1, x2, axis=-1: np.vecdot(np.moveaxis(x1, axis, -1), np.moveaxis(x2, axis, -1)),
)
composed(getattr(np, "matvec", None), _matvec)
composed(getattr(np, "vecmat", None), lambda x1, x2: np.matmul(x1[..., None, :], x2)[..., 0, :])
