"""Joining arrays, splitting, repeating and padding them."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.lib.array_utils import normalize_axis_index

from tinygrad_rnn.derivatives.shapes import along, as_array, at_least, in_dtype, on_axis
from tinygrad_rnn.engine.graph import Array
from tinygrad_rnn.engine.table import certain, composed, computed_by, derivative, plain


# Joining.
def _slot(g: Array, i: int, axis: int) -> Array:
    return g[i] if axis == 0 else g[along(axis % g.ndim, i)]


def _part(g: Array, i: int, shape_of_arrays: Any, axis: int | None) -> Array:
    part = slice(shape_of_arrays.start(i, axis), shape_of_arrays.start(i + 1, axis))
    if axis is None:
        return g[part].reshape(shape_of_arrays[i])
    return g[along(axis % g.ndim, part)]


def _stack(arrays: Sequence[Array], axis: int = 0) -> Array:
    # NumPy's own function checks every array. The states of a sequence are all alike.
    if axis == 0 and set(map(type, arrays)) == {np.ndarray}:
        shapes = {array.shape for array in arrays}
        if len(shapes) == 1 and shapes != {()}:
            return np.concatenate(arrays).reshape(len(arrays), *arrays[0].shape)
    return np.stack(arrays, axis)


derivative(np.stack, _slot)
computed_by(np.stack, _stack)
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
    return np.concatenate([as_array(arr), as_array(values)], axis=axis)


def _insert(arr: Array, obj: Any, values: Any, axis: int | None = None) -> Array:
    arr, axis = on_axis(as_array(arr), axis)
    values = as_array(values)
    n = np.shape(arr)[axis]
    places = np.arange(n)[obj] if isinstance(obj, slice) else np.asarray(obj)
    places = places if places.size else places.astype(int)
    if places.ndim != 1 and (places.ndim or places.dtype == bool):
        raise ValueError(f"np.insert needs a sequence of places, not the shape {places.shape}")
    places = np.flatnonzero(places) if places.dtype == bool else places
    values = np.reshape(values, (1,) * (np.ndim(arr) - np.ndim(values)) + np.shape(values))
    if places.ndim == 0:
        values = np.moveaxis(values, 0, axis)
    count = np.shape(values)[axis] if places.size == 1 else len(places)
    shape = (*np.shape(arr)[:axis], count, *np.shape(arr)[axis + 1 :])
    values = np.broadcast_to(in_dtype(values, arr.dtype), shape)
    new = n + np.arange(count)
    order = np.insert(np.arange(n), places, new)
    return np.take(np.concatenate([arr, values], axis=axis), order, axis=axis)


composed(np.hstack, _hstack)
composed(np.vstack, lambda tup: np.concatenate(_raised(tup, 2)))
composed(np.dstack, lambda tup: np.concatenate(_raised(tup, 3), axis=2))
composed(np.column_stack, _column_stack)
composed(np.block, _block)
composed(np.append, _append)
composed(np.insert, _insert)


# Splitting.
def _array_split(ary: Array, indices_or_sections: Any, axis: int = 0) -> list[Array]:
    axis = normalize_axis_index(axis, np.ndim(ary))
    n = np.shape(ary)[axis]
    if np.ndim(indices_or_sections) == 0:
        if indices_or_sections < 1:
            raise ValueError(f"an array is split into at least 1 part, not {indices_or_sections}")
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
            f"{indices_or_sections} equal parts; np.array_split makes unequal ones"
        )
    return _array_split(ary, indices_or_sections, axis)


def _vsplit(ary: Array, indices_or_sections: Any) -> list[Array]:
    if np.ndim(ary) < 2:
        raise ValueError(f"np.vsplit needs at least 2 axes, but the shape is {np.shape(ary)}")
    return _split(ary, indices_or_sections, 0)


composed(np.array_split, _array_split)
composed(np.split, _split)
composed(
    np.hsplit,
    lambda ary, indices_or_sections: _split(ary, indices_or_sections, 1 if np.ndim(ary) > 1 else 0),
)
composed(np.vsplit, _vsplit)
composed(np.dsplit, lambda ary, indices_or_sections: _split(ary, indices_or_sections, 2))
composed(
    getattr(np, "unstack", None),
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
    a, axis = on_axis(np.atleast_1d(a), axis)
    places = np.repeat(np.arange(np.shape(a)[axis]), repeats)
    return np.take(a, places, axis=axis)


def _resize(a: Array, new_shape: Any) -> Array:
    return np.take(a, np.resize(np.arange(np.size(a)), new_shape))


def _linspace(
    start: Array,
    stop: Array,
    num: int = 50,
    endpoint: bool = True,
    retstep: bool = False,
    axis: int = 0,
) -> Any:
    """From start to stop in equal steps, the steps along the axis."""
    if num < 0:
        raise ValueError(f"num must be at least 0, not {num}")
    start, stop = as_array(start), as_array(stop)
    way, parts = stop - start, num - 1 if endpoint else num
    count = np.arange(num, dtype=np.result_type(plain(start), plain(stop), float(num)))
    count = np.reshape(count, (num, *(1,) * np.ndim(way)))
    step = way / parts if parts > 0 else np.nan
    # NumPy's own order of operations, so that every value is bitwise that of NumPy.
    if parts > 0 and certain(np.all(plain(step) != 0)):
        values = count * step + start
    else:
        values = count / max(parts, 1) * way + start
    if endpoint and num > 1:
        values = np.concatenate([values[:-1], np.broadcast_to(stop, np.shape(way))[None]])
    values = np.moveaxis(values, 0, axis)
    return (values, step) if retstep else values


def _logspace(
    start: Array,
    stop: Array,
    num: int = 50,
    endpoint: bool = True,
    base: Any = 10.0,
    *,
    axis: int = 0,
) -> Array:
    base = as_array(base)
    if np.ndim(base) > 0:
        shape = np.broadcast_shapes(np.shape(start), np.shape(stop), np.shape(base))
        start, stop, base = (np.broadcast_to(x, shape) for x in (start, stop, base))
        base = np.expand_dims(base, axis)
    return np.power(base, _linspace(start, stop, num, endpoint, axis=axis))


def _geomspace(
    start: Array, stop: Array, num: int = 50, endpoint: bool = True, *, axis: int = 0
) -> Array:
    start, stop = (in_dtype(as_array(x), np.float64) for x in (start, stop))
    sign = np.sign(plain(start))
    if np.any(sign * np.sign(plain(stop)) <= 0):
        raise ValueError(
            "np.geomspace needs a start and a stop of the same sign, neither of them 0"
        )
    logs = _linspace(np.log10(np.abs(start)), np.log10(np.abs(stop)), num, endpoint)
    values = np.power(10.0, logs) * sign
    inside = values[1:-1] if endpoint else values[1:]
    ends = [np.broadcast_to(end, np.shape(values)[1:])[None] for end in (start, stop)]
    parts = [ends[0][:num], inside, ends[1][: endpoint * (num - 1)]]
    return np.moveaxis(np.concatenate(parts), 0, axis)


composed(np.linspace, _linspace)
composed(np.logspace, _logspace)
composed(np.geomspace, _geomspace)
composed(np.tile, _tile)
composed(np.repeat, _repeat)
composed(np.resize, _resize)


# Padding.
def _pad_constant(array: Array, pad_width: Any, constant_values: Any) -> Array:
    return np.pad(array, pad_width, constant_values=constant_values)


def _unpad(g: Array, pad_width: Any) -> Array:
    widths = zip(pad_width, g.shape, strict=True)
    return g[tuple(slice(before, n - after) for (before, after), n in widths)]


pad_constant = derivative(_pad_constant, _unpad)


def _pad_with(array: Array, widths: Sequence[Any], values: Array) -> Array:
    """Pad one axis after the other with blocks of the values, which may need a gradient."""
    for axis, pair in enumerate(widths):
        before, after = np.shape(array)[:axis], np.shape(array)[axis + 1 :]
        first, last = (
            np.broadcast_to(in_dtype(value, array.dtype), (*before, width, *after))
            for value, width in zip(values[axis], pair, strict=True)
        )
        array = np.concatenate([first, array, last], axis=axis)
    return array


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
        given = {normalize_axis_index(axis, n): pair for axis, pair in pad_width.items()}
        widths = [tuple(np.broadcast_to(given.get(i, 0), 2).tolist()) for i in range(n)]
    else:
        widths = [tuple(pair) for pair in np.broadcast_to(pad_width, (n, 2)).tolist()]
    if mode == "constant":
        constant_values = as_array(constant_values)
        if constant_values is plain(constant_values):
            return pad_constant(array, tuple(widths), constant_values)
        return _pad_with(array, widths, np.broadcast_to(constant_values, (n, 2)))
    if mode not in ("edge", "reflect", "symmetric", "wrap") or reflect_type != "even":
        raise TypeError(
            f"np.pad with mode={mode!r} and reflect_type={reflect_type!r} has no derivative in the "
            f"table; the modes constant, edge, reflect, symmetric and wrap have one, with "
            f"reflect_type='even'"
        )
    for axis, (before, after) in enumerate(widths):
        if before or after:
            places = np.pad(np.arange(np.shape(array)[axis]), (before, after), mode=mode)
            array = np.take(array, places, axis=axis)
    return array


composed(np.pad, _pad)
