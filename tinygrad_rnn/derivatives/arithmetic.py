"""Arithmetic, powers, extremes of two, rounding, comparisons."""

from __future__ import annotations

from typing import Any

import numpy as np

from tinygrad_rnn.engine.graph import Array
from tinygrad_rnn.engine.table import composed, constant, convention, derivative, plain, refused

derivative(np.add, lambda g: g, lambda g: g)
derivative(np.subtract, lambda g: g, lambda g: -g)
derivative(np.multiply, lambda g, x2: g * x2, lambda g, x1: g * x1)
derivative(np.true_divide, lambda g, x2: g / x2, lambda g, y, x2: -g * y / x2)
derivative(np.reciprocal, lambda g, y: -g * y * y)
derivative(np.negative, lambda g: -g)
derivative(np.positive, lambda g: g)
derivative(np.square, lambda g, x: 2 * g * x)
derivative(np.absolute, lambda g, x: g * np.sign(x))
derivative(np.fabs, lambda g, x: g * np.sign(x))
convention("the gradient at 0 is 0", np.absolute, np.fabs)


# Powers.
def _power_base(g: Array, x1: Array, x2: Array) -> Array:
    # x ** 0 is the constant 1. At x = 0 the formula 0 * x ** -1 would give 0 * inf.
    return g * x2 * np.power(x1, np.where(x2 == 0, 0, x2 - 1).astype(g.dtype))


def _power_exponent(g: Array, y: Array, x1: Array) -> Array:
    return g * y * np.log(np.where(x1 == 0, 1, x1))


derivative(np.power, _power_base, _power_exponent)
derivative(np.float_power, _power_base, _power_exponent)
convention(
    "by the exponent: 0 at base 0, NaN for negative bases, where there is none",
    np.power,
    np.float_power,
)


# Maximum and minimum. Their pull-backs are indicator functions, which have no derivative.
def _share(larger: Array, equal: Array, g: Array) -> Array:
    return np.where(equal, 0.5, larger).astype(g.dtype)


derivative(
    np.maximum,
    lambda g, x1, x2: g * _share(x1 > x2, x1 == x2, g),
    lambda g, x1, x2: g * _share(x2 > x1, x1 == x2, g),
)
derivative(
    np.minimum,
    lambda g, x1, x2: g * _share(x1 < x2, x1 == x2, g),
    lambda g, x1, x2: g * _share(x2 < x1, x1 == x2, g),
)
derivative(
    np.fmax,
    lambda g, x1, x2: g * _share((x1 > x2) | np.isnan(x2), x1 == x2, g),
    lambda g, x1, x2: g * _share((x2 > x1) | np.isnan(x1), x1 == x2, g),
)
derivative(
    np.fmin,
    lambda g, x1, x2: g * _share((x1 < x2) | np.isnan(x2), x1 == x2, g),
    lambda g, x1, x2: g * _share((x2 < x1) | np.isnan(x1), x1 == x2, g),
)
convention("at a tie the two share the gradient equally", np.maximum, np.minimum, np.fmax, np.fmin)


def _clip(a: Array, low: Array, high: Array) -> Array:
    return np.clip(a, low, high)


clip = derivative(
    _clip,
    lambda g, a, low, high: g * ((a >= low) & (a <= high)),
    lambda g, a, low, high: g * ((a < low) & (low <= high)),
    lambda g, a, low, high: g * ((a > high) | (low > high)),
)
convention("at a bound the gradient is the array's", clip)


def _clip_with_defaults(
    a: Array,
    a_min: Any = None,
    a_max: Any = None,
    *,
    min: Any = None,  # noqa: A002
    max: Any = None,  # noqa: A002
) -> Array:
    low, high = min if a_min is None else a_min, max if a_max is None else a_max
    return clip(a, -np.inf if low is None else low, np.inf if high is None else high)


composed(np.clip, _clip_with_defaults)
derivative(
    np.where,
    None,
    lambda g, condition: np.where(condition, g, 0),
    lambda g, condition: np.where(condition, 0, g),
)


def _numbers(x: Array, nan: float, posinf: float | None, neginf: float | None) -> Array:
    return np.nan_to_num(x, nan=nan, posinf=posinf, neginf=neginf)


numbers = derivative(_numbers, lambda g, x: np.where(np.isfinite(x), g, 0))
composed(
    np.nan_to_num,
    lambda x, nan=0.0, posinf=None, neginf=None: numbers(x, nan, posinf, neginf),
)
derivative(np.conjugate, lambda g: g)
derivative(np.real, lambda g: g)


# Steps: constant wherever they are continuous.
def _zero(g: Array) -> Array:
    return np.zeros_like(g)


for step in (np.sign, np.floor, np.ceil, np.trunc, np.rint, np.fix, np.spacing):
    derivative(step, _zero)
derivative(np.round, lambda g, decimals: _zero(g))
derivative(np.around, lambda g, decimals: _zero(g))
derivative(np.floor_divide, _zero, _zero)
derivative(np.imag, _zero)
derivative(np.angle, lambda g, deg: _zero(g))
derivative(np.heaviside, _zero, lambda g, x1: np.where(x1 == 0, g, 0))
derivative(np.copysign, lambda g, x1, x2: g * (np.sign(x1) * np.copysign(1, x2)), _zero)
derivative(np.nextafter, lambda g: g, _zero)
derivative(np.ldexp, lambda g, x2: np.ldexp(g, x2))
convention(
    "the gradient is 0, also at the steps",
    *(np.sign, np.floor, np.ceil, np.trunc, np.rint, np.fix, np.spacing),
    *(np.round, np.around, np.floor_divide, np.heaviside, np.imag, np.angle),
)
convention("the gradient at 0 is 0", np.copysign)

# Remainders. They are discontinuous at the multiples of the divisor.
derivative(np.remainder, lambda g: g, lambda g, x1, x2: -g * np.floor_divide(x1, x2))
derivative(np.fmod, lambda g: g, lambda g, y, x1, x2: -g * np.rint((x1 - y) / x2))


def _frexp(x: Array) -> tuple[Array, Array]:
    exponent = np.frexp(plain(x))[1]
    return np.ldexp(x, -exponent), exponent


composed(np.frexp, _frexp)
composed(np.divmod, lambda x1, x2: (np.floor_divide(x1, x2), np.remainder(x1, x2)))
composed(np.modf, lambda x: (np.fmod(x, 1), np.trunc(x)))
convention(
    "at the jumps, the derivative of the branch taken", np.remainder, np.fmod, np.divmod, np.modf
)

constant(np.equal, np.not_equal, np.less, np.less_equal, np.greater, np.greater_equal)
constant(np.logical_and, np.logical_or, np.logical_not, np.logical_xor)
constant(np.isnan, np.isfinite, np.isinf, np.isneginf, np.isposinf, np.signbit)
constant(np.isclose, np.allclose, np.array_equal, np.array_equiv, np.all, np.any)
constant(np.isreal, np.iscomplex, np.isrealobj, np.iscomplexobj)

refused(
    "computes with complex values, which have no derivatives here",
    *(getattr(np.fft, f) for f in np.fft.__all__ if not f.endswith(("shift", "freq"))),
    *(np.linalg.eig, np.linalg.eigvals, np.roots),
    *(np.emath.sqrt, np.emath.log, np.emath.power, np.emath.arccos, np.emath.arcsin),
)
