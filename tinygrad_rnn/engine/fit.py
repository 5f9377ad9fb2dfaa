"""Bring a gradient to the shape and the dtype of its value: the inverse of broadcasting."""

from __future__ import annotations

import math

import numpy as np

from tinygrad_rnn.engine.graph import Array, Node
from tinygrad_rnn.support import fast_sums


def fit(gradient: Array, shape: tuple[int, ...]) -> Array:
    """Undo broadcasting, in either direction: sum what was repeated, repeat what was summed."""
    have = gradient.shape
    extra = len(have) - len(shape)
    if extra > 0:
        rows = gradient.reshape(math.prod(have[:extra]), math.prod(have[extra:]))
        gradient = fast_sums.over_rows(rows).reshape(have[extra:])
        have = gradient.shape
    if have == shape:
        return gradient
    want = shape[len(shape) - len(have) :]
    stretched = tuple(n for n in range(len(have)) if want[n] == 1 and have[n] != 1)
    if stretched:
        gradient = np.sum(gradient, axis=stretched, keepdims=True)
    if gradient.shape == shape:
        return gradient
    try:
        return np.broadcast_to(gradient, shape)
    except ValueError:
        raise ValueError(
            f"a pull-back returned a gradient of shape {have}, which does not fit its argument of "
            f"shape {shape}"
        ) from None


def added(held: Array, contribution: Array, shape: tuple[int, ...]) -> Array:
    """The sum of two contributions to the gradient of a value of this shape."""
    if held.shape != contribution.shape:
        held, contribution = fit(held, shape), fit(contribution, shape)
    return held + contribution


def fit_to(node: Node, gradient: Array) -> Array:
    """The gradient in the shape and the dtype of its node."""
    if gradient.shape != node.shape:
        gradient = fit(gradient, node.shape)
    if gradient.dtype is not node.dtype and gradient.dtype != node.dtype:
        gradient = gradient.astype(node.dtype)
    return gradient
