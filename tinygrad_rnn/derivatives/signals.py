"""Sampled functions: slopes, interpolation, convolution, polynomials, Bessel functions."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any

import numpy as np

from tinygrad_rnn.engine.graph import Array
from tinygrad_rnn.engine.table import composed, convention, derivative, plain


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
        raise ValueError(f"a slope needs {edge_order + 1} values along the axis, and there are {n}")
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


def _interp(x: Array, xp: Array, fp: Array, left: Any = None, right: Any = None) -> Array:
    at, knots = np.asarray(plain(x)), np.asarray(plain(xp))
    i = np.clip(np.searchsorted(knots, at, side="right") - 1, 0, len(knots) - 2)
    share = (x - xp[i]) / (xp[i + 1] - xp[i])
    inside = fp[i] + (fp[i + 1] - fp[i]) * share
    inside = np.where(at < knots[0], fp[0] if left is None else left, inside)
    result = np.where(at > knots[-1], fp[-1] if right is None else right, inside)
    return result.astype(np.float64)


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
    points = 48 + 10 * math.isqrt(int(np.max(np.abs(x)) if x.size else 0) + 1)
    angles = np.arange(1, points) * (math.pi / points)
    terms = np.exp(x[..., None] * np.cos(angles)) * np.cos(n * angles)
    ends = (np.exp(x) + (-1) ** n * np.exp(-x)) / 2
    return ((np.sum(terms, axis=-1) + ends) / points).astype(x.dtype)


modified_bessel: Callable[[int, Array], Array] = derivative(
    _modified_bessel,
    x=lambda g, n, x: g * (modified_bessel(abs(n - 1), x) + modified_bessel(n + 1, x)) / 2,
)
derivative(np.i0, lambda g, x: g * modified_bessel(1, x))
