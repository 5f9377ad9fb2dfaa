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
from tinygrad_rnn.compiler.operations import JOINING, added_at, assembled, filled, placed
from tinygrad_rnn.compiler.passes.rewrite import alike, transformed
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
            if (
                isinstance(zeros, Value)
                and zeros.function is operator.getitem
                and is_zeros(zeros.args[0])
                and alike(part, value)
            ):
                return part
        if is_assembled(left) and is_assembled(right) and disjoint(left, right):
            parts = [*left.args[3], *right.args[3]]
            return assembly(value, left.args[2] + right.args[2], parts)
    if value.function is placed and is_zeros(value.args[0]) and is_basic(value.args[1]):
        _, index, part = value.args
        if isinstance(part, Value):
            return assembly(value, (entry(index, part.shape),), [part])
    return None


def assembly(value: Value, indices: tuple[Any, ...], parts: Sequence[Value]) -> Value:
    args = (value.shape, value.dtype, indices, list(parts))
    return Value(value.shape, value.dtype, value.name, assembled, args)


def of_joined(value: Value) -> Value | None:
    """A concatenation or a stack of arrays of one dtype."""
    parts, *given = value.args
    axis = given[0] if given else value.kwargs.get("axis", 0)
    if len(given) > 1 or value.kwargs.keys() - {"axis"} or axis is None:
        return None
    if not isinstance(parts, tuple | list):
        return None
    if not all(isinstance(part, Value) and part.dtype == value.dtype for part in parts):
        return None
    axis %= value.ndim
    if value.function is np.concatenate:
        return replace(concatenated(parts, axis), name=value.name)
    each = (slice(None),) * axis
    indices = tuple((*each, number, Ellipsis) for number in range(len(parts)))
    return assembly(value, indices, parts)


def concatenated(parts: Sequence[Value], axis: int) -> Value:
    """Arrays of one dtype, side by side along an axis."""
    first, *_ = parts
    axis %= first.ndim
    before = (Ellipsis,) if axis == first.ndim - 1 else (slice(None),) * axis
    ends = [0, *itertools.accumulate(part.shape[axis] for part in parts)]
    indices = tuple(
        (*before, slice(start or None, stop if stop < ends[-1] else None))
        for start, stop in itertools.pairwise(ends)
    )
    shape = (*first.shape[:axis], ends[-1], *first.shape[axis + 1 :])
    return assembly(Value(shape, first.dtype), indices, parts)


def row_of_parts(value: Value) -> list[Value] | None:
    """The parts of a value that are side by side along its last axis; None for any other value."""
    if value.function is not assembled:
        return None
    parts: list[Value] = value.args[3]
    if any(part.ndim != value.ndim for part in parts):
        return None
    is_row = value.args[2] == concatenated(parts, -1).args[2]
    return parts if is_row else None


def entry(index: Any, shape: tuple[int, ...]) -> tuple[Any, ...]:
    """An index as a tuple that gives an array even where the result has no axes."""
    index = index if isinstance(index, tuple) else (index,)
    return index if shape or Ellipsis in index else (*index, Ellipsis)


def is_assembled(value: Any) -> bool:
    return isinstance(value, Value) and value.function is assembled


def is_zeros(value: Any) -> bool:
    return isinstance(value, Value) and value.function is filled and value.args[1] == 0


def is_sum_at(value: Value) -> bool:
    return value.function is added_at and is_zeros(value.args[0])


def disjoint(left: Value, right: Value) -> bool:
    """Whether no place is in both assemblies. The places are marked, because slices can overlap in
    many ways."""
    return not np.any(filled_places(left) & filled_places(right))


def covers(value: Value) -> bool:
    """Whether the parts of an assembly fill all of its places."""
    return bool(np.all(filled_places(value)))


def filled_places(value: Value) -> Array:
    places = np.zeros(value.shape, bool)
    for index in value.args[2]:
        places[index] = True
    return places
