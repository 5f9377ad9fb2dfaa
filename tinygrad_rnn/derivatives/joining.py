"""Joining arrays, splitting, repeating and padding them."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from tinygrad_rnn.derivatives.shapes import along, at_least
from tinygrad_rnn.engine.graph import Array
from tinygrad_rnn.engine.signatures import newer
from tinygrad_rnn.engine.table import RULES, composed, derivative, plain


# Joining.
def _slot(g: Array, i: int, axis: int) -> Array:
    return g[i] if axis == 0 else g[(slice(None),) * (axis % g.ndim) + (i,)]


def _part(g: Array, i: int, shape_of_arrays: Any, axis: int | None) -> Array:
    part = slice(shape_of_arrays.start(i, axis), shape_of_arrays.start(i + 1, axis))
    if axis is None:
        return g[part].reshape(shape_of_arrays[i])
    return g[(slice(None),) * (axis % g.ndim) + (part,)]


def _stack(arrays: Sequence[Array], axis: int = 0) -> Array:
    # NumPy's own asks every array several questions; the states of a sequence are all alike.
    if axis == 0 and set(map(type, arrays)) == {np.ndarray}:
        shapes = {array.shape for array in arrays}
        if len(shapes) == 1 and shapes != {()}:
            return np.concatenate(arrays).reshape(len(arrays), *arrays[0].shape)
    return np.stack(arrays, axis)


derivative(np.stack, _slot)
RULES[np.stack].compute = _stack
derivative(np.concatenate, _part)


def _raised(arrays: Any, n: int) -> list[Array]:
    return [at_least(n)(a) for a in arrays]


def _hstack(tup: Any) -> Array:
    arrays = _raised(tup, 1)
    return np.concatenate(arrays, axis=0 if np.ndim(arrays[0]) == 1 else 1)


def _column_stack(tup: Any) -> Array:
    columns = [np.reshape(a, (-1, 1)) if np.ndim(a) < 2 else a for a in tup]
    return np.concatenate(columns, axis=1)


def _block(arrays: Any) -> Array:
    def depth(part: Any) -> int:
        return 1 + max(map(depth, part)) if isinstance(part, list) else 0

    def size(part: Any) -> int:
        return max(map(size, part)) if isinstance(part, list) else np.ndim(part)

    levels = depth(arrays)
    n = max(levels, size(arrays))

    def join(part: Any, level: int) -> Array:
        if isinstance(part, list):
            return np.concatenate([join(p, level - 1) for p in part], axis=n - level)
        return np.reshape(part, (1,) * (n - np.ndim(part)) + np.shape(part))

    return join(arrays, levels)


def _append(arr: Array, values: Array, axis: int | None = None) -> Array:
    if axis is None:
        return np.concatenate([np.reshape(arr, (-1,)), np.reshape(values, (-1,))])
    return np.concatenate([arr, values], axis=axis)


composed(np.hstack, _hstack)
composed(np.vstack, lambda tup: np.concatenate(_raised(tup, 2), axis=0))
composed(np.dstack, lambda tup: np.concatenate(_raised(tup, 3), axis=2))
composed(np.column_stack, _column_stack)
composed(np.block, _block)
composed(np.append, _append)


# Splitting.
def _array_split(ary: Array, indices_or_sections: Any, axis: int = 0) -> list[Array]:
    axis %= np.ndim(ary)
    n = np.shape(ary)[axis]
    if np.ndim(indices_or_sections) == 0:
        whole, rest = divmod(n, int(indices_or_sections))
        sizes = [whole + 1] * rest + [whole] * (int(indices_or_sections) - rest)
        ends = np.cumsum([0, *sizes]).tolist()
    else:
        ends = [0, *indices_or_sections, n]
    return [ary[along(axis, slice(start, end))] for start, end in itertools.pairwise(ends)]


def _split(ary: Array, indices_or_sections: Any, axis: int = 0) -> list[Array]:
    if np.ndim(indices_or_sections) == 0 and np.shape(ary)[axis] % indices_or_sections:
        raise ValueError(
            f"the axis {axis} of shape {np.shape(ary)} cannot be split into "
            f"{indices_or_sections} equal parts; array_split makes unequal ones"
        )
    return _array_split(ary, indices_or_sections, axis)


composed(np.array_split, _array_split)
composed(np.split, _split)
composed(
    np.hsplit,
    lambda ary, indices_or_sections: _split(ary, indices_or_sections, 1 if np.ndim(ary) > 1 else 0),
)
composed(np.vsplit, lambda ary, indices_or_sections: _split(ary, indices_or_sections, 0))
composed(np.dsplit, lambda ary, indices_or_sections: _split(ary, indices_or_sections, 2))
composed(
    newer("unstack"),
    lambda x, axis=0: tuple(x[along(axis % np.ndim(x), i)] for i in range(np.shape(x)[axis])),
)


# Repeating.
def _tile(A: Array, reps: Any) -> Array:
    reps = tuple(int(r) for r in np.atleast_1d(reps))
    n = max(len(reps), np.ndim(A))
    reps, shape = (1,) * (n - len(reps)) + reps, (1,) * (n - np.ndim(A)) + np.shape(A)
    spread = np.reshape(A, tuple(k for length in shape for k in (1, length)))
    pairs = list(zip(reps, shape, strict=True))
    spread = np.broadcast_to(spread, tuple(k for pair in pairs for k in pair))
    return np.reshape(spread, tuple(r * k for r, k in pairs))


def _repeat(a: Array, repeats: Any, axis: int | None = None) -> Array:
    if axis is None:
        a, axis = np.reshape(a, (-1,)), 0
    places = np.repeat(np.arange(np.shape(a)[axis]), repeats)
    return np.take(a, places, axis=axis)


def _resize(a: Array, new_shape: Any) -> Array:
    places = np.resize(np.arange(math.prod(np.shape(a))), new_shape)
    return np.take(np.reshape(a, (-1,)), places, axis=0)


def _linspace(
    start: Array,
    stop: Array,
    num: int = 50,
    endpoint: bool = True,
    retstep: bool = False,
    axis: int = 0,
) -> Any:
    """From start to stop in equal steps, the steps along the axis."""
    step = (stop - start) / (num - 1 if endpoint else num)
    shape = (num, *(1,) * np.ndim(plain(step)))
    dtype = np.result_type(plain(start), plain(stop), 1.0)
    places = np.moveaxis(start + np.reshape(np.arange(num, dtype=dtype), shape) * step, 0, axis)
    return (places, step) if retstep else places


composed(np.linspace, _linspace)
composed(np.tile, _tile)
composed(np.repeat, _repeat)
composed(np.resize, _resize)


# Padding.
def _pad_constant(array: Array, pad_width: Any, constant_values: Any) -> Array:
    return np.pad(array, pad_width, mode="constant", constant_values=constant_values)


def _unpad(g: Array, pad_width: Any) -> Array:
    widths = zip(pad_width, g.shape, strict=True)
    return g[tuple(slice(before, n - after) for (before, after), n in widths)]


pad_constant = derivative(_pad_constant, _unpad)


def _pad(
    array: Array,
    pad_width: Any,
    mode: Any = "constant",
    *,
    constant_values: Any = 0,
    reflect_type: str = "even",
) -> Array:
    n = np.ndim(array)
    if isinstance(pad_width, dict):
        pairs: Sequence[Any] = [pad_width.get(i, pad_width.get(i - n, 0)) for i in range(n)]
        widths = [tuple(np.broadcast_to(pair, 2).tolist()) for pair in pairs]
    else:
        widths = [tuple(pair) for pair in np.broadcast_to(pad_width, (n, 2)).tolist()]
    if mode == "constant":
        return pad_constant(array, tuple(widths), constant_values)
    if mode not in ("edge", "reflect", "symmetric", "wrap") or reflect_type != "even":
        raise TypeError(
            f"pad with mode={mode!r} and reflect_type={reflect_type!r} has no derivative in the "
            f"table; there are constant, edge, reflect, symmetric and wrap, with 'even'"
        )
    for axis, (before, after) in enumerate(widths):
        if before or after:
            places = np.pad(np.arange(np.shape(array)[axis]), (before, after), mode=mode)
            array = np.take(array, places, axis=axis)
    return array


composed(np.pad, _pad)
