"""The elementary functions, of one variable and of two."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from tinygrad_rnn.engine.graph import Array
from tinygrad_rnn.engine.table import composed, convention, derivative

LN2, LN10 = math.log(2), math.log(10)

# Exponentials and logarithms.
derivative(np.exp, lambda g, y: g * y)
derivative(np.exp2, lambda g, y: g * (y * LN2))
derivative(np.expm1, lambda g, y: g * (y + 1))
derivative(np.log, lambda g, x: g / x)
derivative(np.log2, lambda g, x: g / (x * LN2))
derivative(np.log10, lambda g, x: g / (x * LN10))
derivative(np.log1p, lambda g, x: g / (1 + x))

# Roots.
derivative(np.sqrt, lambda g, y: g / (2 * y))
derivative(np.cbrt, lambda g, y: g / (3 * y * y))

# Trigonometric functions and their inverses.
derivative(np.sin, lambda g, x: g * np.cos(x))
derivative(np.cos, lambda g, x: -g * np.sin(x))
derivative(np.tan, lambda g, y: g * (1 + y * y))
derivative(np.arcsin, lambda g, x: g / np.sqrt((1 - x) * (1 + x)))
derivative(np.arccos, lambda g, x: -g / np.sqrt((1 - x) * (1 + x)))
derivative(np.arctan, lambda g, x: g / (1 + x * x))

# Hyperbolic functions and their inverses.
derivative(np.sinh, lambda g, x: g * np.cosh(x))
derivative(np.cosh, lambda g, x: g * np.sinh(x))
derivative(np.tanh, lambda g, y: g * (1 - y * y))
derivative(np.arcsinh, lambda g, x: g / np.hypot(1, x))
derivative(np.arccosh, lambda g, x: g / (np.sqrt(x - 1) * np.sqrt(x + 1)))
derivative(np.arctanh, lambda g, x: g / ((1 - x) * (1 + x)))

# Angles.
derivative(np.degrees, lambda g: g * (180 / math.pi))
derivative(np.rad2deg, lambda g: g * (180 / math.pi))
derivative(np.radians, lambda g: g * (math.pi / 180))
derivative(np.deg2rad, lambda g: g * (math.pi / 180))


# Two variables.
def excess(x: Array, y: Array) -> Array:
    """x − y, and 0 where both are the same infinity."""
    same = x == y
    return np.where(same, 0, x) - np.where(same, 0, y)


def _tie(x1: Array, x2: Array) -> Array:
    """1/2 where both are the same infinity, 1 elsewhere."""
    return np.where((x1 == x2) & np.isinf(x1), 0.5, 1).astype(np.result_type(x1, x2))


derivative(
    np.logaddexp,
    lambda g, y, x1, x2: g * np.exp(excess(x1, y)) * _tie(x1, x2),
    lambda g, y, x1, x2: g * np.exp(excess(x2, y)) * _tie(x1, x2),
)
derivative(
    np.logaddexp2,
    lambda g, y, x1, x2: g * np.exp2(excess(x1, y)) * _tie(x1, x2),
    lambda g, y, x1, x2: g * np.exp2(excess(x2, y)) * _tie(x1, x2),
)
convention("equal infinities share the gradient equally", np.logaddexp, np.logaddexp2)


def _direction(x: Array, length: Array) -> Array:
    """x / length: 0 where the length is 0, ±1 where both are infinite."""
    far = np.isinf(length)
    return np.where(far, np.sign(x) * np.isinf(x), x) / np.where(far | (length == 0), 1, length)


def _turn(x: Array, length: Array) -> Array:
    """x / length², without overflow, and 0 at the origin and at infinity."""
    blank = (length == 0) | np.isinf(length)
    length = np.where(blank, 1, length)
    return np.where(blank, 0, x) / length / length


derivative(np.hypot, lambda g, y, x1: g * _direction(x1, y), lambda g, y, x2: g * _direction(x2, y))
derivative(
    np.arctan2,
    lambda g, x1, x2: g * _turn(x2, np.hypot(x1, x2)),
    lambda g, x1, x2: -g * _turn(x1, np.hypot(x1, x2)),
)
convention("the gradient at the origin is 0", np.hypot, np.arctan2)


# sin(πx) / (πx) is the spherical Bessel function j_0 of πx; the recurrence of the j_n gives each
# derivative without a division by x (Abramowitz & Stegun, 10.1.20).
def _spherical_bessel(n: int, z: Array) -> Array:
    small = np.where(np.abs(z) < n + 1, z, 0)
    z2, term = small * small, np.ones_like(z)
    series = term
    for k in range(1, 30):
        term = term * (-z2 / (2 * k * (2 * n + 2 * k + 1)))
        series = series + term
    near = series * small**n / math.prod(range(1, 2 * n + 2, 2))
    far = np.where((np.abs(z) < n + 1) | np.isinf(z), n + 1, z)
    before, here = np.cos(far) / far, np.sin(far) / far
    for m in range(n):
        before, here = here, (2 * m + 1) / far * here - before
    return np.where(np.abs(z) < n + 1, near, np.where(np.isinf(z), 0, here))


spherical_bessel: Callable[[int, Array], Array] = derivative(
    _spherical_bessel,
    z=lambda g, n, z: (
        g
        * (
            n / (2 * n + 1) * spherical_bessel(max(n - 1, 0), z)
            - (n + 1) / (2 * n + 1) * spherical_bessel(n + 1, z)
        )
    ),
)
composed(np.sinc, lambda x: spherical_bessel(0, x * math.pi))
