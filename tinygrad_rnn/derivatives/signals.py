"""Sampled functions: slopes, interpolation, convolution, polynomials, Bessel functions."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any

import numpy as np

from tinygrad_rnn.derivatives.shapes import as_array
from tinygrad_rnn.engine.graph import Array
from tinygrad_rnn.engine.table import composed, convention, derivative, known, places_of, plain


def _gradient(f: Array, *varargs: Any, axis: Any = None, edge_order: int = 1) -> Any:
    n = np.ndim(f)
    axes = list(range(n)) if axis is None else [i % n for i in np.atleast_1d(axis).tolist()]
    steps: Any = varargs if len(varargs) > 1 else (varargs or (1.0,)) * len(axes)
    slopes = [_slope(f, h, along, edge_order) for h, along in zip(steps, axes, strict=True)]
    return slopes[0] if len(slopes) == 1 else tuple(slopes)


def _slope(f: Array, h: Any, axis: int, edge_order: int) -> Array:
    """Second-order differences inside; at the edges differences of the order asked for."""
    f = np.moveaxis(f, axis, -1)
    n = np.shape(f)[-1]
    if n < edge_order + 1:
        raise ValueError(
            f"np.gradient needs at least {edge_order + 1} values along the axis, but there are {n}"
        )
    widths = h * np.ones(n - 1) if np.ndim(h) == 0 else h[1:] - h[:-1]
    rises = (f[..., 1:] - f[..., :-1]) / widths
    before, after = widths[:-1], widths[1:]
    inside = (rises[..., :-1] * after + rises[..., 1:] * before) / (before + after)
    first, last = rises[..., :1], rises[..., -1:]
    if edge_order == 2:
        bend = (rises[..., 1:] - rises[..., :-1]) / (before + after)
        first = first - bend[..., :1] * widths[:1]
        last = last + bend[..., -1:] * widths[-1:]
    slopes = np.concatenate([first, inside, last], axis=-1).astype(f.dtype)
    return np.moveaxis(slopes, -1, axis)


def _interp(
    x: Array, xp: Array, fp: Array, left: Any = None, right: Any = None, period: Any = None
) -> Array:
    xp, fp = as_array(xp), as_array(fp)
    if period is not None:
        # The knots of one period in order, and one more at each side.
        x, xp, left, right = x % period, xp % period, None, None
        order = np.argsort(plain(xp))
        xp, fp = _picked(xp, order), _picked(fp, order)
        xp = np.concatenate([xp[-1:] - period, xp, xp[:1] + period])
        fp = np.concatenate([fp[-1:], fp, fp[:1]])
    at, knots = places_of(x), places_of(xp)
    i = np.clip(np.searchsorted(knots, at, side="right") - 1, 0, len(knots) - 2)
    from_x, from_y = _picked(xp, i), _picked(fp, i)
    share = (x - from_x) / (_picked(xp, i + 1) - from_x)
    inside = from_y + (_picked(fp, i + 1) - from_y) * share
    inside = np.where(at < knots[0], fp[0] if left is None else left, inside)
    result = np.where(at > knots[-1], fp[-1] if right is None else right, inside)
    return result.astype(np.float64)


def _picked(values: Array, places: Array) -> Array:
    """values[places], also if only the places are unknown."""
    if known(places) or not known(values):
        return np.take(values, places)
    return places.__array_function__(np.take, (), (values, places), {})


def _convolve(a: Array, v: Array, mode: str = "full") -> Array:
    if np.shape(a)[0] < np.shape(v)[0]:
        a, v = v, a
    n, m = np.shape(a)[0], np.shape(v)[0]
    windows = np.arange(n + m - 1)[:, None] + np.arange(m)
    full = np.matmul(np.pad(a, m - 1)[windows], np.flip(v))
    start, length = {
        "full": (0, n + m - 1),
        "same": ((m - 1) // 2, n),
        "valid": (m - 1, n - m + 1),
    }[mode]
    return full[start : start + length]


def _correlate(a: Array, v: Array, mode: str = "valid") -> Array:
    if np.shape(a)[0] < np.shape(v)[0]:
        return np.flip(_convolve(v, np.flip(a), mode))
    return _convolve(a, np.flip(v), mode)


def _polyval(p: Array, x: Array) -> Array:
    return functools.reduce(lambda y, c: y * x + c, [p[i] for i in range(len(p))])


def _vander(x: Array, N: int | None = None, increasing: bool = False) -> Array:
    powers = np.arange(np.shape(x)[0] if N is None else N)
    return np.power(x[:, None], powers if increasing else powers[::-1])


def _add_polynomials(a1: Array, a2: Array) -> Array:
    a1, a2 = np.atleast_1d(as_array(a1)), np.atleast_1d(as_array(a2))
    size = max(np.shape(a1)[0], np.shape(a2)[0])
    return np.pad(a1, (size - np.shape(a1)[0], 0)) + np.pad(a2, (size - np.shape(a2)[0], 0))


def _multiply_polynomials(a1: Array, a2: Array) -> Array:
    def significant(a: Array) -> Array:
        first = np.flatnonzero(plain(a))
        return a[first[0] :] if first.size else np.zeros(1)

    return np.convolve(significant(as_array(a1)), significant(as_array(a2)))


def _differentiate_polynomial(p: Array, m: int = 1) -> Array:
    for _ in range(m):
        n = np.shape(p)[0] - 1
        p = p[:-1] * np.arange(n, 0, -1)
    return p


def _integrate_polynomial(p: Array, m: int = 1, k: Any = None) -> Array:
    constants = np.zeros(m) if k is None else as_array(k)
    constants = np.broadcast_to(constants, (m,)) if np.ndim(constants) == 0 else constants
    for i in range(m):
        n = np.shape(p)[0]
        p = np.concatenate([p / np.arange(n, 0, -1), constants[i : i + 1]])
    return p


def _fit_polynomial(x: Array, y: Array, deg: int, rcond: Any = None, w: Any = None) -> Array:
    """Least squares in the powers of x, each column scaled to length 1."""
    x, y = as_array(x), as_array(y)
    powers = np.vander(x, deg + 1)
    if w is not None:
        w = as_array(w)
        powers, y = powers * w[:, None], y * (w if np.ndim(y) == 1 else w[:, None])
    scale = np.sqrt(np.sum(np.square(powers), axis=0))
    rcond = np.shape(x)[0] * np.finfo(plain(x).dtype).eps if rcond is None else rcond
    coefficients = np.linalg.lstsq(powers / scale, y, rcond)[0]
    return coefficients / (scale if np.ndim(y) == 1 else scale[:, None])


def _polynomial_of_roots(seq_of_zeros: Array) -> Array:
    roots = as_array(seq_of_zeros)
    if np.ndim(roots) != 1:
        raise TypeError("np.poly of a matrix has no derivative here; pass its eigenvalues")
    p = np.ones(1, roots.dtype)
    for i in range(np.shape(roots)[0]):
        p = np.pad(p, (0, 1)) - roots[i] * np.pad(p, (1, 0))
    return p


composed(np.poly, _polynomial_of_roots)
composed(np.polyadd, _add_polynomials)
composed(np.polysub, lambda a1, a2: _add_polynomials(a1, -as_array(a2)))
composed(np.polymul, _multiply_polynomials)
composed(np.polyder, _differentiate_polynomial)
composed(np.polyint, _integrate_polynomial)
composed(np.polyfit, _fit_polynomial)
composed(np.gradient, _gradient)
composed(np.interp, _interp)
composed(np.convolve, _convolve)
composed(np.correlate, _correlate)
composed(np.polyval, _polyval)
composed(np.vander, _vander)
derivative(np.unwrap, lambda g, discont, axis, period: g)
convention("at a knot, the slope to its right", np.interp)


# I_n(x) = 1/π ∫ exp(x cos θ) cos nθ dθ over (0, π), which the trapezoidal rule finds to all digits;
# its derivative is (I_{n−1} + I_{n+1}) / 2 (Abramowitz & Stegun, 9.6.19 and 9.6.26).
def _modified_bessel(n: int, x: Array) -> Array:
    largest = np.max(np.abs(x), initial=0) if known(x) else OVERFLOW
    points = 48 + 10 * math.isqrt(int(largest) + 1)
    angles = np.arange(1, points) * (math.pi / points)
    terms = np.exp(x[..., None] * np.cos(angles)) * np.cos(n * angles)
    ends = (np.exp(x) + (-1) ** n * np.exp(-x)) / 2
    return ((np.sum(terms, axis=-1) + ends) / points).astype(x.dtype)


OVERFLOW = 710
"""From about here on, the exponential overflows."""

modified_bessel: Callable[[int, Array], Array] = derivative(
    _modified_bessel,
    x=lambda g, n, x: g * (modified_bessel(abs(n - 1), x) + modified_bessel(n + 1, x)) / 2,
)
derivative(np.i0, lambda g, x: g * modified_bessel(1, x))
