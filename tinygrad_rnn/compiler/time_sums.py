"""Sums over time: the gradient of a parameter is summed over the steps outside of the loop.

    dL/dW_hh = Σ_t h_{t−1}ᵀ δ_t = Hᵀ Δ

H and Δ have the rows of all steps under one another, so T small products become one large one.
"""

from __future__ import annotations

import operator
from typing import Any

import numpy as np

from tinygrad_rnn.compiler.batching import batched
from tinygrad_rnn.compiler.dependence import GRADIENT, Dependence
from tinygrad_rnn.compiler.ir import TimeSum, Value
from tinygrad_rnn.compiler.operations import assembled, filled
from tinygrad_rnn.compiler.passes.assemble import is_sum_at
from tinygrad_rnn.compiler.passes.fuse_products import row_of_parts
from tinygrad_rnn.compiler.views import is_view

Factors = tuple[Value | None, Value]
Joint = dict[Factors, tuple[Value, int]]


def time_sum(value: Value, known: Dependence, joint: Joint) -> TimeSum:
    """The way to sum a value; "loop" where only the loop can accumulate it."""
    return outside(value, known, joint) or TimeSum("loop", value)


def outside(value: Value, known: Dependence, joint: Joint) -> TimeSum | None:
    """The way to sum a value outside of the loop; None if there is none.

    kinds: "times": T times a value that is the same in all steps. "plus", "negated", "view",
    "assembled": the same of other sums. "scatter": added up at indices. "joint": a part of the
    product of joined rows. "product": Σ_t a_tᵀ b_t. "ones": 1ᵀ B. "outer": Σ_t of a column times a
    row. "axis": NumPy's sum over the axis of time.
    """
    function = value.function
    if not known.varies(value):
        return TimeSum("times", value)
    same = [v for v in value.operands if v.shape == value.shape and v.dtype == value.dtype]
    if function is np.add and len(same) == 2 and not value.kwargs:
        return of_terms("plus", value, same, known, joint)
    if function is np.negative and not value.kwargs:
        return of_terms("negated", value, [value.args[0]], known, joint)
    if is_view(value) and function is not operator.getitem:
        return of_terms("view", value, [value.args[0]], known, joint)
    if is_sum_at(value):
        _, index, part = value.args
        if isinstance(index, Value) and isinstance(part, Value) and index.dtype.kind != "b":
            values = (index, part) if known.varies(index) else (part,)
            return TimeSum("scatter", value, values=values)
        return None
    if function is assembled:
        return of_terms("assembled", value, value.args[3], known, joint)
    pair = factors(value)
    if pair is not None and pair in joint:
        return TimeSum("joint", value, values=(joint[pair][0], pair[1]))
    if function is np.matmul and 0 not in value.shape:
        left, right = value.args
        if isinstance(left, Value) and isinstance(right, Value) and known.varies(right):
            if known.varies(left):
                factor = untransposed(left)
                if factor is not None and factor.ndim == 2 and right.ndim == 2:
                    return TimeSum("product", value, values=(factor, right))
            elif is_ones(left) and (left.ndim, right.ndim) == (1, 2):
                return TimeSum("ones", value, values=(right,))
    if function is np.multiply and value.ndim == 2 and not value.kwargs:
        for column, row in (value.args, value.args[::-1]):
            a, b = vector_of(column, 1), vector_of(row, 0)
            if a is not None and b is not None and known.varies(a) and known.varies(b):
                return TimeSum("outer", value, values=(a, b))
    in_loop = value in known.looping and GRADIENT in known.depends[value]
    if in_loop or not (is_view(value) or batched(value, known.varies)):
        return None
    return TimeSum("axis", value, values=(value,))


def of_terms(
    kind: str, value: Value, terms: Any, known: Dependence, joint: Joint
) -> TimeSum | None:
    """A sum made of the sums of other values; None if one of these has no sum."""
    found = [outside(term, known, joint) for term in terms]
    return None if None in found else TimeSum(kind, value, tuple(t for t in found if t))


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


def joint_products(rows: tuple[Value, ...], order: list[Value]) -> Joint:
    """For products aᵀ b whose a is part of a row, the row and the place of a in it. Only groups of
    several products with one b count: they are parts of one product of all steps."""
    pairs = [pair for pair in map(factors, order) if pair is not None]
    joint: Joint = {}
    for row in rows:
        parts = row_of_parts(row) or []
        place = {None if is_ones(part) else part: n for n, part in enumerate(parts)}
        found = [(part, b) for part, b in pairs if part in place and (part, b) not in joint]
        for part, b in found:
            if sum(other is b for _, other in found) > 1:
                joint[part, b] = row, place[part]
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
