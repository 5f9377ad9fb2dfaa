"""Batching over time: the call for all steps at once in place of a call for one step.

Arrays of all steps have time as their first axis. A rule gives the call for all steps, or None
where there is none. Without a rule the call stays in the loop.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import numpy as np

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


LARGE = 2**13
"""From this many numbers a step on, writing them costs more than a call."""

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


def rows(width: int) -> tuple[View, ...]:
    """The rows of all steps under one another."""
    return (View("reshape", (-1, width)),)


def _elementwise(value: Value, varies: Varies) -> AtOnce | None:
    if any(isinstance(part, list | tuple) for part in value.args):
        return None

    def operand(leaf: Any) -> Any:
        if not isinstance(leaf, Value):
            return leaf
        if varies(leaf):
            return Operand(leaf, aligned(leaf.shape, value.ndim))
        many = value.ndim == 2 and value.shape[0] >= MANY and leaf.shape == value.shape[1:]
        return Operand(leaf, spread=value.shape if many else None)

    return AtOnce(value, value.function, tuple(map(operand, value.args)), {})


def _matmul(value: Value, varies: Varies) -> AtOnce | None:
    left, right = value.args
    if not (isinstance(left, Value) and isinstance(right, Value)):
        return None
    a, b = Operand(left), Operand(right)
    if varies(left) and not varies(right):
        if (left.ndim, right.ndim) == (2, 2) and 0 not in right.shape:
            # The shorter call fills its result with zeros first.
            function = np.matmul if value.size >= LARGE else np.dot
            inner, outer = left.shape[1], right.shape[1]
            return AtOnce(value, function, (Operand(left, rows(inner)), b), {}, rows(outer))
        if (left.ndim, right.ndim) == (1, 2):
            return AtOnce(value, np.dot, (a, b), {})
        return AtOnce(value, np.matmul, (a, b), {}) if right.ndim <= 2 else None
    if left.ndim >= 2 and right.ndim >= 2:
        if left.ndim == right.ndim or (not varies(left) and left.ndim < right.ndim):
            return AtOnce(value, np.matmul, (a, b), {})
        return None
    if varies(left) or not varies(right):
        return None
    if left.ndim == 1 and right.ndim == 2:
        return AtOnce(value, np.matmul, (a, b), {})
    if left.ndim == 2 and right.ndim == 1:
        return AtOnce(value, np.matmul, (b, Operand(left, (View("transpose", (1, 0)),))), {})
    return None


def _indexed(value: Value, varies: Varies) -> AtOnce | None:
    array, index = value.args
    if isinstance(array, Value) and varies(array):
        return None
    if isinstance(index, Value) and varies(index) and index.dtype.kind != "b":
        return AtOnce(value, operator.getitem, (Operand(array), Operand(index)), {})
    return None


def _reshaped(value: Value, varies: Varies) -> AtOnce | None:
    if len(value.args) > 2:
        return None
    return AtOnce(value, np.reshape, (Operand(value.args[0]), (T, *value.shape)), {})


def _reduction(value: Value, varies: Varies) -> AtOnce | None:
    array = value.args[0]
    axis = value.args[1] if len(value.args) > 1 else value.kwargs.get("axis")
    options = {k: v for k, v in value.kwargs.items() if k != "axis"}
    if options.keys() - {"keepdims", "ddof"} or len(value.args) > 2 or None in options.values():
        return None
    if not isinstance(array, Value):
        return None
    axes = range(array.ndim) if axis is None else axis if isinstance(axis, tuple) else (axis,)
    shifted = tuple(a % array.ndim + 1 for a in axes)
    return AtOnce(value, value.function, (Operand(array),), {"axis": shifted, **options})


def _cross_entropies(value: Value, varies: Varies) -> AtOnce | None:
    def operand(leaf: Any) -> Any:
        """A value that is the same at all steps is spread over them, except the ones used for
        sums."""
        if not isinstance(leaf, Value):
            return np.asarray(leaf)
        if varies(leaf) or leaf.function is filled:
            return Operand(leaf)
        return Operand(leaf, (View("broadcast", (T, *leaf.shape)),))

    args = tuple(map(operand, value.args))
    if any(isinstance(arg, np.ndarray) for arg in args):
        return None
    return AtOnce(value, value.function, args, {})


def _assembled(value: Value, varies: Varies) -> AtOnce:
    shape, dtype, indices, parts = value.args
    places = tuple((slice(None), *index) for index in indices)
    return AtOnce(value, assembled, ((T, *shape), dtype, places, [Operand(p) for p in parts]))


def _converted(value: Value, varies: Varies) -> AtOnce | None:
    return AtOnce(value, astype, (Operand(value.args[0]), value.args[1]), {})


RULES: dict[Any, Callable[[Value, Varies], AtOnce | None]] = {
    np.matmul: _matmul,
    operator.getitem: _indexed,
    np.reshape: _reshaped,
    np.expand_dims: _reshaped,
    np.squeeze: _reshaped,
    np.where: _elementwise,
    astype: _converted,
    assembled: _assembled,
    **dict.fromkeys(OUT_LAST, _cross_entropies),
    **dict.fromkeys(REDUCTIONS, _reduction),
}
