"""Batching over time: the call for all steps at once in place of a call for one step.

Arrays of all steps have time as their first axis. A rule gives the call for all steps, or None
where there is none. Without a rule the call stays in the loop.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.lib.array_utils import normalize_axis_tuple

from tinygrad_rnn.compiler.ir import AtOnce, Operand, T, Value, View
from tinygrad_rnn.compiler.operations import (
    OUT_LAST,
    REDUCTIONS,
    assembled,
    astype,
    filled,
    is_elementwise,
)
from tinygrad_rnn.compiler.views import aligned

Varies = Callable[[Value], bool]


MANY = 32
"""Beside this many rows, a vector is copied once to as many rows. NumPy then processes each step in
one piece, not row by row."""


def batched(value: Value, varies: Varies) -> AtOnce | None:
    """The call for all steps. varies: whether an operand differs from step to step."""
    function = value.function
    rule = _elementwise if is_elementwise(function) else RULES.get(function)
    if rule is None or (value.kwargs and rule is not _reduction):
        return None
    return rule(value, varies)


def rows(value: Value) -> tuple[View, ...]:
    """The view of the rows of all steps under one another."""
    return (View("reshape", (-1, value.shape[-1])),) if value.ndim > 1 else ()


def _aligned(value: Value, ndim: int, varies: Varies) -> Operand:
    """A value as an operand beside those of `ndim` axes a step."""
    return Operand(value, aligned(value.shape, ndim) if varies(value) else ())


def _elementwise(value: Value, varies: Varies) -> AtOnce | None:
    if any(isinstance(part, list | tuple) for part in value.args):
        return None

    def operand(leaf: Any) -> Any:
        if not isinstance(leaf, Value):
            return leaf
        is_row = leaf.ndim > 0 and leaf.shape == value.shape[1:] and not varies(leaf)
        if is_row and value.shape[0] >= MANY:
            return Operand(leaf, spread=value.shape)
        return _aligned(leaf, value.ndim, varies)

    return AtOnce(value, value.function, tuple(map(operand, value.args)))


def _matmul(value: Value, varies: Varies) -> AtOnce | None:
    left, right = value.args
    if not (isinstance(left, Value) and isinstance(right, Value)):
        return None
    if varies(left) and not varies(right) and right.ndim == 2 and 0 not in right.shape:
        pair = Operand(left, rows(left)), Operand(right)
        return AtOnce(value, np.matmul, pair, out_views=rows(value))
    if varies(right) and right.ndim == 1:
        if varies(left) or left.ndim != 2:
            return None
        return AtOnce(
            value, np.matmul, (Operand(right), Operand(left, (View("transpose", (1, 0)),)))
        )
    if varies(left) and left.ndim == 1 and right.ndim > 1:
        return None
    ndim = max(left.ndim, right.ndim)
    return AtOnce(value, np.matmul, tuple(_aligned(v, ndim, varies) for v in (left, right)))


def _indexed(value: Value, varies: Varies) -> AtOnce | None:
    array, index = value.args
    if isinstance(array, Value) and varies(array):
        return None
    if isinstance(index, Value) and varies(index) and index.dtype.kind != "b":
        return AtOnce(value, operator.getitem, (Operand(array), Operand(index)))
    return None


def _reshaped(value: Value, varies: Varies) -> AtOnce | None:
    if len(value.args) > 2:
        return None
    return AtOnce(value, np.reshape, (Operand(value.args[0]), (T, *value.shape)))


def _reduction(value: Value, varies: Varies) -> AtOnce | None:
    array, *given = value.args
    options = {"axis": given[0] if given else None, **value.kwargs}
    if len(given) > 1 or options.keys() - {"axis", "keepdims", "ddof"}:
        return None
    if not isinstance(array, Value):
        return None
    axis = options["axis"]
    axes = range(array.ndim) if axis is None else normalize_axis_tuple(axis, array.ndim)
    options["axis"] = tuple(n + 1 for n in axes)
    return AtOnce(value, value.function, (Operand(array),), options)


def _cross_entropies(value: Value, varies: Varies) -> AtOnce | None:
    """A value that is the same at all steps is spread over them, except the ones used for sums."""
    if not all(isinstance(leaf, Value) for leaf in value.args):
        return None

    def operand(leaf: Value) -> Operand:
        whole = varies(leaf) or leaf.function is filled
        return Operand(leaf, () if whole else (View("broadcast", (T, *leaf.shape)),))

    return AtOnce(value, value.function, tuple(map(operand, value.args)))


def _assembled(value: Value, varies: Varies) -> AtOnce:
    shape, dtype, indices, parts = value.args
    places = tuple((slice(None), *index) for index in indices)
    return AtOnce(value, assembled, ((T, *shape), dtype, places, [Operand(p) for p in parts]))


RULES: dict[Any, Callable[[Value, Varies], AtOnce | None]] = {
    np.matmul: _matmul,
    operator.getitem: _indexed,
    assembled: _assembled,
    **dict.fromkeys((np.where, astype), _elementwise),
    **dict.fromkeys((np.reshape, np.expand_dims, np.squeeze), _reshaped),
    **dict.fromkeys(OUT_LAST, _cross_entropies),
    **dict.fromkeys(REDUCTIONS, _reduction),
}
