"""Sums over time: the gradient of a parameter is summed over the steps outside of the loop.

    dL/dW_hh = Σ_t h_{t−1}ᵀ δ_t = Hᵀ Δ

H and Δ have the rows of all steps under one another, so T small products become one large one.
"""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import Any

import numpy as np

from tinygrad_rnn.compiler.batching import batched, rows
from tinygrad_rnn.compiler.dependence import GRADIENT, Dependence
from tinygrad_rnn.compiler.ir import AtOnce, Operand, T, Value, View
from tinygrad_rnn.compiler.operations import assembled, filled, scattered
from tinygrad_rnn.compiler.passes.assemble import is_sum_at, row_of_parts
from tinygrad_rnn.compiler.passes.rewrite import call
from tinygrad_rnn.compiler.views import first_axis, is_view, view_of

Factors = tuple[Value | None, Value]
Joint = dict[Factors, Operand]

TURNED = View("transpose", (1, 0))


def time_sum(value: Value, known: Dependence, joint: Joint) -> AtOnce:
    """The sum of a value over the steps; without a function, if only the loop can accumulate it."""
    return outside(value, known, joint) or AtOnce(value, None)


def outside(value: Value, known: Dependence, joint: Joint) -> AtOnce | None:
    """The sum of a value outside of the loop; None if there is none."""
    function, args = value.function, value.args

    def of_terms(function: Any, terms: Sequence[Value], views: Any = (), given: Any = ()) -> Any:
        """A sum made of the sums of other values; None if one of these has no sum."""
        sums = [outside(term, known, joint) for term in terms]
        found = tuple(Operand(term, views) for term in sums if term is not None)
        arrays = (*given, found) if given else found
        return AtOnce(value, function, arrays) if len(found) == len(terms) else None

    if not known.varies(value):
        return AtOnce(value, np.multiply, (T, Operand(value)))
    same = [v for v in value.operands if v.shape == value.shape and v.dtype == value.dtype]
    if function is np.add and len(same) == 2 and not value.kwargs:
        return of_terms(np.add, same)  # type: ignore[no-any-return]
    if function is np.negative and not value.kwargs:
        return of_terms(np.negative, args)  # type: ignore[no-any-return]
    if is_view(value) and function is not operator.getitem:
        return of_terms(np.copy, args[:1], (view_of(value),))  # type: ignore[no-any-return]
    if function is assembled:
        return of_terms(assembled, args[3], given=args[:3])  # type: ignore[no-any-return]
    if is_sum_at(value):
        zeros, index, part = args
        if not isinstance(index, Value) or not isinstance(part, Value) or index.dtype.kind == "b":
            return None
        there = part if known.varies(index) else AtOnce(part, np.sum, (Operand(part),), {"axis": 0})
        return AtOnce(value, scattered, (zeros.shape, zeros.dtype, Operand(index), Operand(there)))
    pair = factors(value)
    if pair is not None and pair in joint:
        return AtOnce(value, np.asarray, (joint[pair],))
    if pair is not None and known.varies(pair[1]):
        first, second = pair
        right = rows_of(second)
        if first is None:
            ones = Operand(args[0], (View("reshape", (-1,)),), spread=(T, *args[0].shape))
            return AtOnce(value, np.dot, (ones, right))
        if first.ndim == 2 and known.varies(first):
            return AtOnce(value, np.matmul, (turned_rows(first), right))
    if function is np.multiply and value.ndim == 2 and not value.kwargs:
        for column, row in (args, args[::-1]):
            a, b = vector_of(column, 1), vector_of(row, 0)
            if a is not None and b is not None and known.varies(a) and known.varies(b):
                return AtOnce(value, np.matmul, (Operand(a, (TURNED,)), Operand(b)))
    in_loop = value in known.looping and GRADIENT in known.depends[value]
    if in_loop or not (is_view(value) or batched(value, known.varies)):
        return None
    return AtOnce(value, np.sum, (Operand(value),), {"axis": 0})


def rows_of(value: Value) -> Operand:
    return Operand(value, rows(value.shape[-1]))


def turned_rows(value: Value) -> Operand:
    """The rows of all steps, as columns."""
    return Operand(value, (*rows(value.shape[-1]), TURNED))


def factors(value: Value) -> Factors | None:
    """The factors a and b of a product aᵀ b of one step. a is None for ones.

    An empty product has none: rows without entries cannot be counted."""
    if value.function is not np.matmul or 0 in value.shape:
        return None
    left, right = value.args
    if not isinstance(left, Value) or not isinstance(right, Value) or right.ndim != 2:
        return None
    if is_ones(left) and left.ndim == 1:
        return None, right
    factor = untransposed(left)
    return None if factor is None else (factor, right)


def joint_products(joined: tuple[Value, ...], order: list[Value]) -> Joint:
    """For products aᵀ b whose a is part of a row: the part of the product of the whole rows. Only
    groups of several products with one b count."""
    pairs = [pair for pair in map(factors, order) if pair is not None]
    joint: Joint = {}
    for row in joined:
        start, place = 0, dict[Value | None, tuple[int, int]]()
        for part in row_of_parts(row) or ():
            stop = start + part.shape[-1]
            place[None if is_ones(part) else part] = start, stop
            start = stop
        found = [pair for pair in pairs if pair[0] in place and pair not in joint]
        for right in {b: None for _, b in found}:
            parts = [part for part, b in found if b is right]
            if len(parts) > 1:
                product = call(np.matmul, call(np.swapaxes, row, -1, -2), right, name="dW_joined")
                whole = AtOnce(product, np.matmul, (turned_rows(row), rows_of(right)))
                for factor in parts:
                    begin, end = place[factor]
                    view = first_axis(begin, end, row.shape[-1])
                    view = View("index", (begin,)) if factor is None else view
                    joint[factor, right] = Operand(whole, (view,))
    return joint


def untransposed(value: Value) -> Value | None:
    """A, if the value is Aᵀ."""
    if value.function is np.swapaxes and value.ndim == 2:
        return value.args[0]  # type: ignore[no-any-return]
    if value.function is np.transpose and value.ndim == 2:
        plain = value.args[1:] in ((), (None,)) and not value.kwargs
        return value.args[0] if plain else None
    return None


def is_ones(value: Any) -> bool:
    return isinstance(value, Value) and value.function is filled and value.args[1] == 1


def vector_of(value: Any, axis: int) -> Value | None:
    """v, if the value is v[:, None] (axis 1) or v[None, :] or v itself (axis 0)."""
    if not isinstance(value, Value):
        return None
    if axis == 0 and value.ndim == 1:
        return value
    if value.ndim == 2 and value.shape[axis] == 1 and is_view(value):
        inner: Value = value.args[0]
        return inner if inner.ndim == 1 and inner.size == value.size else None
    return None
