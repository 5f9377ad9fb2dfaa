"""Arithmetic, powers, comparisons."""

from __future__ import annotations

import numpy as np

from tinygrad_rnn.derivatives.table import constant, derivative
from tinygrad_rnn.graph import Array

derivative(np.add, lambda g: g, lambda g: g)
derivative(np.subtract, lambda g: g, lambda g: -g)
derivative(np.multiply, lambda g, x2: g * x2, lambda g, x1: g * x1)
derivative(np.true_divide, lambda g, x2: g / x2, lambda g, y, x2: -g * y / x2)
derivative(np.negative, lambda g: -g)
derivative(np.positive, lambda g: g)
derivative(np.absolute, lambda g, x: g * np.sign(x))
derivative(np.square, lambda g, x: 2 * g * x)


def _power_base(g: Array, x1: Array, x2: Array) -> Array:
    # x ** 0 is the constant 1, also at x = 0, where 0 * 0 ** -1 would be 0 * inf.
    return g * x2 * np.power(x1, np.where(x2 == 0, 1, x2 - 1))


def _power_exponent(g: Array, y: Array, x1: Array) -> Array:
    # d/dn 0 ** n is 0 for n > 0; a negative base has no derivative here and gives NaN.
    return g * y * np.log(np.where(x1 == 0, 1, x1))


derivative(np.power, _power_base, _power_exponent)

# At a tie the gradient is shared equally.
derivative(
    np.maximum,
    lambda g, x1, x2: g * np.where(x1 == x2, 0.5, x1 > x2).astype(g.dtype),
    lambda g, x1, x2: g * np.where(x1 == x2, 0.5, x2 > x1).astype(g.dtype),
)
derivative(
    np.minimum,
    lambda g, x1, x2: g * np.where(x1 == x2, 0.5, x1 < x2).astype(g.dtype),
    lambda g, x1, x2: g * np.where(x1 == x2, 0.5, x2 < x1).astype(g.dtype),
)
derivative(
    np.where,
    None,
    lambda g, condition: np.where(condition, g, 0),
    lambda g, condition: np.where(condition, 0, g),
)
derivative(np.sign, None)
derivative(np.floor, None)
derivative(np.ceil, None)

constant(np.equal, np.not_equal, np.less, np.less_equal, np.greater, np.greater_equal)
constant(np.logical_and, np.logical_or, np.logical_not, np.logical_xor)
constant(np.isnan, np.isfinite, np.isinf, np.isclose, np.allclose, np.array_equal, np.all, np.any)
