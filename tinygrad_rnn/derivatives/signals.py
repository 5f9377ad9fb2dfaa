"""Sampled functions: slopes, interpolation, convolution, polynomials, Bessel functions."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any

import numpy as np

from tinygrad_rnn.derivatives.shapes import as_array, axes_of, in_dtype
from tinygrad_rnn.engine.graph import Array
from tinygrad_rnn.engine.table import composed, convention, derivative, known, places_of, plain


def _gradient(f: Array, *varargs: Any, axis: Any = None, edge_order: int = 1) -> Any:
    axes = axes_of(axis, np.ndim(f))
    steps = [as_array(step) for step in varargs or (1.0,)]
    if len(steps) == 1 and np.ndim(steps[0]) == 0:
        steps *= len(axes)
    if len(steps) != len(axes):
        raise TypeError(
            f"np.gradient needs one spacing, or one for each of the {len(axes)} axes, but there "
            f"are {len(steps)}"
        )
    slopes = [_slope(f, h, along, edge_order) for h, along in zip(steps, axes, strict=True)]
    return tuple(slopes) if len(slopes) > 1 else slopes[0]


def _slope(f: Array, h: Any, axis: int, edge_order: int) -> Array:
    """Second-order differences inside; at the edges differences of the order asked for."""
    f = np.moveaxis(f, axis, -1)
    n = np.shape(f)[-1]
    if edge_order not in (1, 2):
        raise ValueError(f"edge_order must be 1 or 2, not {edge_order}")
    if n < edge_order + 1:
        raise ValueError(
            f"np.gradient needs at least {edge_order + 1} values along the axis, but there are {n}"
        )
    if np.shape(h) not in ((), (n,)):
        raise ValueError(f"there are {n} values along the axis, but places of shape {np.shape(h)}")
    widths = np.broadcast_to(h, n - 1) if np.ndim(h) == 0 else h[1:] - h[:-1]
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
    x, xp, fp = (in_dtype(as_array(values), np.float64) for values in (x, xp, fp))  # as NumPy does
    if np.ndim(xp) != 1 or np.shape(xp) != np.shape(fp):
        raise ValueError(
            f"np.interp needs one value for each knot, but xp has the shape {np.shape(xp)} and fp "
            f"has {np.shape(fp)}"
        )
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
    return np.where(at > knots[-1], fp[-1] if right is None else right, inside)


def _picked(values: Array, places: Array) -> Array:
    """values[places], also if only the places are unknown."""
    if known(places) or not known(values):
        return np.take(values, places)
    return places.__array_function__(np.take, (), (values, places), {})


def _sequence(values: Any) -> Array:
    """The values as an array; ValueError unless it has one axis."""
    array = as_array(values)
    if np.ndim(array) != 1:
        raise ValueError(f"a sequence of numbers is needed, not the shape {np.shape(array)}")
    return array


def _one_or_more(values: Any) -> Array:
    return _sequence(np.atleast_1d(as_array(values)))


def _convolve(a: Array, v: Array, mode: Any) -> Array:
    return np.convolve(a, v, mode)


def _other_factors(g: Array, other: Array, size: int, mode: str) -> Array:
    """The gradient of one sequence of a convolution, which has `size` entries: the sums of g times
    the entries of the other sequence, over the products that there are.

    A product with a zero beyond an end would carry a NaN to where none belongs.
    """
    less = min(len(other), size)
    first = {"full": 0, "same": (less - 1) // 2, "valid": less - 1}[mode]
    start = len(other) - 1 - first
    return np.correlate(g, other, "full")[start : start + size]


convolve: Callable[..., Array] = derivative(
    _convolve,
    lambda g, v, shape_of_a, mode: _other_factors(g, v, shape_of_a[0], mode),
    lambda g, a, shape_of_v, mode: _other_factors(g, a, shape_of_v[0], mode),
)


def _convolve_sequences(a: Array, v: Array, mode: Any = "full") -> Array:
    a, v = _one_or_more(a), _one_or_more(v)
    if 0 in (len(a), len(v)):
        raise ValueError(
            f"neither sequence may be empty, but they have {len(a)} and {len(v)} entries"
        )
    return convolve(a, v, mode)


def _correlate(a: Array, v: Array, mode: Any = "valid") -> Array:
    a, v = _sequence(a), _sequence(v)
    if len(a) < len(v):
        return np.flip(np.convolve(v, np.flip(a), mode))
    return np.convolve(a, np.flip(v), mode)


def _polyval(p: Array, x: Array) -> Array:
    return functools.reduce(lambda y, c: y * x + c, as_array(p), np.zeros_like(as_array(x)))


def _vander(x: Array, N: int | None = None, increasing: bool = False) -> Array:
    x = _sequence(x)
    if N is not None and N < 0:
        raise ValueError(f"np.vander needs a number N of columns from 0 on, not {N}")
    powers = np.arange(len(x) if N is None else N)
    return np.power(x[:, None], powers if increasing else powers[::-1])


def _add_polynomials(a1: Array, a2: Array) -> Array:
    a1, a2 = _one_or_more(a1), _one_or_more(a2)
    size = max(len(a1), len(a2))
    return np.pad(a1, (size - len(a1), 0)) + np.pad(a2, (size - len(a2), 0))


def _multiply_polynomials(a1: Array, a2: Array) -> Array:
    def significant(a: Array) -> Array:
        first = np.flatnonzero(plain(a))
        return a[first[0] if first.size else -1 :]

    return np.convolve(significant(_one_or_more(a1)), significant(_one_or_more(a2)))


def _differentiate_polynomial(p: Array, m: int = 1) -> Array:
    p = _sequence(p)
    if m < 0:
        raise ValueError(f"the order m of the derivative must be at least 0, not {m}")
    for _ in range(m):
        p = p[:-1] * np.arange(len(p) - 1, 0, -1)
    return p


def _integrate_polynomial(p: Array, m: int = 1, k: Any = None) -> Array:
    p, constants = _sequence(p), _one_or_more(0.0 if k is None else k)
    if m < 0:
        raise ValueError(f"the order m of the integral must be at least 0, not {m}")
    constants = np.broadcast_to(constants, m) if len(constants) == 1 else constants
    if len(constants) < m:
        raise ValueError(f"{m} integrals need as many constants k, but there are {len(constants)}")
    for i in range(m):
        p = np.concatenate([p / np.arange(len(p), 0, -1), constants[i : i + 1]])
    return p


def _fit_polynomial(x: Array, y: Array, deg: int, rcond: Any = None, w: Any = None) -> Array:
    """Least squares in the powers of x, each column scaled to length 1."""
    x, y = as_array(x), as_array(y)
    if deg < 0 or np.shape(x) != np.shape(y)[:1]:
        raise ValueError(
            f"np.polyfit needs a degree from 0 on and as many x as y, but deg is {deg} and the "
            f"shapes are {np.shape(x)} and {np.shape(y)}"
        )
    powers = np.vander(x, deg + 1)
    if w is not None:
        w = as_array(w)
        if np.shape(w) != np.shape(x):
            raise ValueError(f"np.polyfit needs {len(x)} weights, not the shape {np.shape(w)}")
        powers, y = powers * w[:, None], y * (w if np.ndim(y) == 1 else w[:, None])
    scale = np.sqrt(np.sum(np.square(powers), axis=0))
    coefficients = np.linalg.lstsq(powers / scale, y, rcond)[0]
    return coefficients / (scale if np.ndim(y) == 1 else scale[:, None])


def _polynomial_of_roots(seq_of_zeros: Array) -> Array:
    roots = as_array(seq_of_zeros)
    if np.ndim(roots) != 1:
        raise TypeError("np.poly of a matrix has no derivative here; pass its eigenvalues")
    p = np.ones(1, roots.dtype)
    for root in roots:
        p = np.convolve(p, np.stack([np.ones_like(root), -root]))
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
composed(np.convolve, _convolve_sequences)
composed(np.correlate, _correlate)
composed(np.polyval, _polyval)
composed(np.vander, _vander)
derivative(np.unwrap, lambda g, discont, axis, period: g)
convention("at a knot, the slope to its right", np.interp)


# I_n(x) = 1/π ∫ exp(x cos θ) cos nθ dθ over (0, π), which the trapezoidal rule finds to all digits;
# its derivative is (I_{n−1} + I_{n+1}) / 2 (Abramowitz & Stegun, 9.6.19 and 9.6.26).
def _modified_bessel(n: int, x: Array) -> Array:
    angles = np.arange(1, POINTS) * (math.pi / POINTS)
    terms = np.exp(x[..., None] * np.cos(angles)) * np.cos(n * angles)
    ends = (np.exp(x) + (-1) ** n * np.exp(-x)) / 2
    return (np.sum(terms / POINTS, axis=-1) + ends / POINTS).astype(x.dtype)


POINTS = 160
"""As many as |x| = 710 needs. Beyond, the exponential overflows."""

modified_bessel: Callable[[int, Array], Array] = derivative(
    _modified_bessel,
    x=lambda g, n, x: g * (modified_bessel(abs(n - 1), x) + modified_bessel(n + 1, x)) / 2,
)
derivative(np.i0, lambda g, x: g * modified_bessel(1, x))
