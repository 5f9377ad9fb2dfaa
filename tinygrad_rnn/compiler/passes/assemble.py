"""The pass `assemble`: arrays that are put together from parts become one kind of call.

This is a concatenation, a stack, or the sum of parts that slicing has scattered into zeros."""

from __future__ import annotations

import itertools
import operator
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from tinygrad_rnn.compiler.ir import StepGraph, Value
from tinygrad_rnn.compiler.operations import JOINING, assembled, filled, placed
from tinygrad_rnn.compiler.passes.rewrite import alike, transformed
from tinygrad_rnn.compiler.views import as_index, span
from tinygrad_rnn.derivatives.indexing import is_basic
from tinygrad_rnn.engine.graph import Array


def assemble(graph: StepGraph) -> StepGraph:
    """Rewrite concatenations and sums of scattered parts. 0 + part becomes the part. The sum of
    zeros[i] ← a and zeros[j] ← b becomes one array with each part written in its place, if i and j
    are disjoint."""
    return transformed(graph, lambda value, fresh, new: of_parts(fresh))


def of_parts(value: Value) -> Value | None:
    if value.function in JOINING:
        return of_joined(value)
    if value.function is np.add:
        left, right = value.args
        for part, zeros in ((left, right), (right, left)):
            sliced = isinstance(zeros, Value) and zeros.function is operator.getitem
            if sliced and is_zeros(zeros.args[0]) and alike(part, value):
                return part
        if is_assembled(left) and is_assembled(right) and not overlap(left, right):
            return assembly(value, left.args[2] + right.args[2], left.args[3] + right.args[3])
    if value.function is placed:
        zeros, index, part = value.args
        if is_zeros(zeros) and is_basic(index) and isinstance(part, Value):
            return assembly(value, (as_index(index, part.shape),), [part])
    return None


def assembly(value: Value, indices: tuple[Any, ...], parts: Sequence[Value]) -> Value:
    args = (value.shape, value.dtype, indices, list(parts))
    return Value(value.shape, value.dtype, value.name, assembled, args)


def of_joined(value: Value) -> Value | None:
    """A concatenation or a stack of arrays of one dtype."""
    parts, *given = value.args
    options = {"axis": given[0] if given else 0, **value.kwargs}
    if len(given) > 1 or options.keys() != {"axis"} or options["axis"] is None:
        return None
    if not isinstance(parts, tuple | list):
        return None
    if not all(isinstance(part, Value) and part.dtype == value.dtype for part in parts):
        return None
    axis = options["axis"] % value.ndim
    if value.function is np.concatenate:
        return replace(concatenated(parts, axis), name=value.name)
    each = (slice(None),) * axis
    return assembly(value, tuple((*each, n, Ellipsis) for n in range(len(parts))), parts)


def concatenated(parts: Sequence[Value], axis: int) -> Value:
    """Arrays of one dtype, side by side along an axis."""
    first, *_ = parts
    axis %= first.ndim
    before = (Ellipsis,) if axis == first.ndim - 1 else (slice(None),) * axis
    ends = [0, *itertools.accumulate(part.shape[axis] for part in parts)]
    indices = tuple((*before, span(*pair, ends[-1])) for pair in itertools.pairwise(ends))
    shape = (*first.shape[:axis], ends[-1], *first.shape[axis + 1 :])
    return assembly(Value(shape, first.dtype), indices, parts)


def row_of_parts(value: Value) -> list[Value] | None:
    """The parts of a value that are side by side along its last axis; None for any other value."""
    if value.function is not assembled:
        return None
    _, _, indices, parts = value.args
    if any(part.ndim != value.ndim for part in parts):
        return None
    found: list[Value] = parts
    return found if indices == concatenated(parts, -1).args[2] else None


def is_assembled(value: Any) -> bool:
    return isinstance(value, Value) and value.function is assembled


def is_zeros(value: Any) -> bool:
    return isinstance(value, Value) and value.function is filled and value.args[1] == 0


def overlap(left: Value, right: Value) -> bool:
    """Whether a place is in both assemblies."""
    return bool(np.any(places(left) & places(right)))


def covers(value: Value) -> bool:
    """Whether the parts of an assembly fill all of its places."""
    return bool(np.all(places(value)))


def places(value: Value) -> Array:
    """The places of an assembly, marked: slices can overlap in many ways."""
    shape, _, indices, parts = value.args
    marked: Array = assembled(shape, bool, indices, [True] * len(parts))
    return marked
