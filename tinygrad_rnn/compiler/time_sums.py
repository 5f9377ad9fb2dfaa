"""Sums over time: the gradient of a parameter is summed over the steps outside of the loop.

    dL/dW_hh = Σ_t h_{t−1}ᵀ δ_t = Hᵀ Δ

H and Δ have the rows of all steps under one another, so T small products become one large one.
"""

from __future__ import annotations

import operator
from collections.abc import Iterable
from typing import Any

import numpy as np

from tinygrad_rnn.compiler.batching import Varies, batched, rows
from tinygrad_rnn.compiler.ir import AtOnce, Operand, T, Value, View
from tinygrad_rnn.compiler.operations import added_at, assembled, filled, scattered
from tinygrad_rnn.compiler.passes.assemble import is_zeros
from tinygrad_rnn.compiler.passes.rewrite import alike
from tinygrad_rnn.compiler.views import view_of

Factors = tuple[Value | None, Value]
Joint = dict[Factors, Operand]

TURNED = View("transpose", (1, 0))
LINEAR = np.add, np.subtract, np.negative


def time_sum(value: Value, varies: Varies, joint: Joint) -> AtOnce:
    """The sum of a value over the steps. What only the loop can compute, the loop accumulates.

    varies: whether a value differs from step to step. joint: the products that are part of a larger
    product.
    """

    def of(value: Value) -> AtOnce:
        function, args, pair = value.function, value.args, factors(value)

        def each(terms: Iterable[Value], *views: View) -> tuple[Operand, ...]:
            return tuple(Operand(of(term), views) for term in terms)

        if not varies(value):
            return AtOnce(value, np.multiply, (T, Operand(value)))
        if function in LINEAR and not value.kwargs and all(alike(arg, value) for arg in args):
            return AtOnce(value, function, each(args))
        view = view_of(value)
        if view is not None and function is not operator.getitem:
            return AtOnce(value, np.copy, each(args[:1], view))
        if function is assembled:
            return AtOnce(value, function, (*args[:3], each(args[3])))
        if is_sum_at_indices(value):
            zeros, index, part = args
            there = Operand(part if varies(index) else of(part))
            return AtOnce(value, scattered, (zeros.shape, zeros.dtype, Operand(index), there))
        if pair in joint:
            return AtOnce(value, np.asarray, (joint[pair],))
        if pair is not None and all(factor is None or varies(factor) for factor in pair):
            first, second = pair
            if first is None:
                ones = Operand(args[0], (View("reshape", (-1,)),), spread=(T, *args[0].shape))
                return AtOnce(value, np.dot, (ones, rows_of(second)))
            return AtOnce(value, np.matmul, (rows_of(first, TURNED), rows_of(second)))
        if view is None and batched(value, varies) is None:
            return AtOnce(value, None)
        return AtOnce(value, np.sum, (Operand(value),), {"axis": 0})

    return of(value)


def is_sum_at_indices(value: Value) -> bool:
    """Whether the value is Σ of rows of a value at each of its indices."""
    known = value.function is added_at and all(isinstance(arg, Value) for arg in value.args)
    return known and is_zeros(value.args[0]) and value.args[1].dtype.kind != "b"


def rows_of(value: Value, *views: View) -> Operand:
    """The rows of all steps under one another, and views of them."""
    return Operand(value, (*rows(value), *views))


def factors(value: Value) -> Factors | None:
    """The factors a and b of a product aᵀ b of one step, each a row or rows. a is None for ones.

    An empty product has none: rows without entries cannot be counted."""
    if 0 in value.shape or value.kwargs or value.function not in (np.matmul, np.multiply):
        return None
    left, right = value.args
    if not isinstance(left, Value) or not isinstance(right, Value):
        return None
    if value.function is np.multiply:  # v[:, None] * w[None, :]
        for column, row in ((left, right), (right, left)):
            a, b = vector_of(column), vector_of(row)
            if column.shape == (*a.shape, 1) and value.shape == a.shape + b.shape:
                return a, b
        return None
    if right.ndim == 2 and left.ndim == 1 and is_ones(left):
        return None, right
    return (left.args[0], right) if view_of(left) == TURNED and right.ndim == 2 else None


def vector_of(value: Value) -> Value:
    """The vector v, if the value is v[:, None] or v[None, :]; otherwise the value."""
    view = view_of(value)
    if view is None or value.args[0].ndim != 1:
        return value
    numbers = np.arange(value.args[0].size)
    return value.args[0] if np.array_equal(view.of(numbers).ravel(), numbers) else value


def joint_products(joined: Iterable[Value], order: list[Value]) -> Joint:
    """For products aᵀ b whose a is part of a row: the part of the product of the whole rows. Only
    groups of several products with one b count."""
    pairs = [pair for pair in map(factors, order) if pair is not None]
    joint: Joint = {}
    for row in joined:
        place: dict[Value | None, View] = {}
        for (_, columns), part in zip(*row.args[2:], strict=True):
            ones = is_ones(part)
            index = columns.start or 0 if ones else columns
            place[None if ones else part] = View("index", (index,))
        found = [pair for pair in pairs if pair[0] in place and pair not in joint]
        for right in {b: None for _, b in found}:
            parts = [part for part, b in found if b is right]
            if len(parts) > 1:
                shape = row.shape[-1], right.shape[-1]
                product = Value(shape, right.dtype, "dW_joined")
                whole = AtOnce(product, np.matmul, (rows_of(row, TURNED), rows_of(right)))
                joint |= {(part, right): Operand(whole, (place[part],)) for part in parts}
    return joint


def is_ones(value: Any) -> bool:
    return isinstance(value, Value) and value.function is filled and value.args[1] == 1
