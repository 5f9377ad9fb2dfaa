"""Sums of products as one product: a A + b B + c = [a, b, 1] [A; B; c].

For a single sequence a step's product takes hardly longer than the call, so each call that it saves
counts: with the rows [h_{t−1}, x_t, 1] of all steps in one array, a product is all that is left of
x_t W_xh + h_{t−1} W_hh + b_h. A term that is no product has the identity as its matrix. On the way
back likewise ∂L/∂h_t = δ_{t+1} Wᵀ + g_t = [δ_{t+1}, g_t] [Wᵀ; I], g_t being what the loss adds.

The price is that more is multiplied in the loop, so only one row and small matrices are joined.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tinygrad_rnn.compiler.emitter.batch import is_view
from tinygrad_rnn.compiler.frontend.trace import Carried, Trace
from tinygrad_rnn.compiler.frontend.tracer import Value, filled
from tinygrad_rnn.compiler.passes.assembly import assembled
from tinygrad_rnn.compiler.passes.rewrite import ordered, reached, total, unread

PRODUCT = 32768
"""Bytes of the matrices that a joined product may multiply by in every step instead of once before
the loop. Measured per step: tanh(x W + h U + b) with 8 kB of them 0.64 µs instead of 0.79, with
32 kB 1.35 and 1.38, with 128 kB 3.4 and 3.2."""

IDENTITY = 16384
"""The same for an identity, which only saves a sum: with 4 kB 0.57 µs instead of 0.73, with 16 kB
0.74 and 0.81, with 32 kB 1.13 and 0.93."""


def is_row(value: Any) -> bool:
    """Whether a value has one axis, or a first axis of length one."""
    return isinstance(value, Value) and (
        value.ndim == 1 or (value.ndim == 2 and value.shape[0] == 1)
    )


def is_product_of_row(term: Any, fixed: Any) -> bool:
    """Whether a term is a row times a matrix that is the same in all steps."""
    if not isinstance(term, Value) or term.function is not np.matmul or not is_row(term):
        return False
    row, matrix = term.args
    return (
        isinstance(row, Value)
        and isinstance(matrix, Value)
        and row.ndim == term.ndim
        and matrix.ndim == 2
        and not fixed(row)
        and fixed(matrix)
        and row.dtype == matrix.dtype == term.dtype
    )


def joined(
    value: Value,
    heavy: list[Any],
    light: list[Any],
    fixed: Any,
    used_once: Any,
    new: dict[Value, Value],
) -> list[Any] | None:
    """The terms of a sum with those joined that can be; None, if that would save nothing.

    heavy, light: the terms that depend on the state, and those that do not. fixed: whether a value
    is the same in all steps. used_once: whether nobody else wants it. new: what becomes of the
    values.
    """
    products = [term for term in heavy if is_product_of_row(term, fixed) and used_once(term)]
    if not is_row(value) or not products or any(term.dtype != value.dtype for term in products):
        return None
    rest = [term for term in heavy if term not in products]
    pairs = [term.args for term in products] + joined_light(value, light, fixed, new)
    if len(pairs) == len(products):
        rest += light
    if len(pairs) < 2:
        return None
    pairs = [(new.get(row, row), new.get(matrix, matrix)) for row, matrix in pairs]
    row = concatenated([row for row, _ in pairs], -1)
    matrix = concatenated([matrix for _, matrix in pairs], 0)
    product = Value(np.matmul(row.sample, matrix.sample), "", np.matmul, (row, matrix))
    return [product, *(new.get(term, term) if isinstance(term, Value) else term for term in rest)]


def joined_light(value: Value, light: list[Any], fixed: Any, new: dict[Value, Value]) -> list[Any]:
    """All terms that do not depend on the state as rows and matrices; none, if that is dear."""
    width, size = value.shape[-1], value.dtype.itemsize
    pairs = [pair_of(term, value, fixed) for term in light]
    if all(pairs) and sum(len(matrix.sample) for _, matrix in pairs) * width * size <= PRODUCT:
        return pairs
    if light and width * width * size <= IDENTITY:
        term = total([new.get(t, t) if isinstance(t, Value) else t for t in light])
        if isinstance(term, Value) and term.shape == value.shape and term.dtype == value.dtype:
            return [(term, identity(width, value.dtype))]
    return []


def pair_of(term: Any, value: Value, fixed: Any) -> Any:
    """A term that does not depend on the state as a row and a matrix; None if it is none."""
    if not isinstance(term, Value) or term.dtype != value.dtype:
        return None
    if is_product_of_row(term, fixed):
        return term.args
    width = value.shape[-1]
    if fixed(term) and term.shape in ((width,), (1, width)):
        one = (*value.shape[:-1], 1), 1, value.dtype
        shape = (1, width)
        matrix = Value(np.reshape(term.sample, shape), term.name, np.reshape, (term, shape))
        return Value(filled(*one), "", filled, one), matrix if term.ndim == 1 else term
    return None


def identity(width: int, dtype: Any) -> Value:
    return Value(np.eye(width, dtype=dtype), "", np.eye, (width,), {"dtype": dtype})


def concatenated(parts: list[Value], axis: int) -> Value:
    sample = np.concatenate([part.sample for part in parts], axis)
    return Value(sample, "", np.concatenate, (tuple(parts), axis))


def carry(trace: Trace) -> None:
    """Take the product off the gradient of each state, so that it can be joined, in the step
    before, with what the loss adds there. Rewrites the trace in place."""
    given = [v for v in trace.state_gradients if v is not None]
    values = ordered([*given, *trace.added.values()])
    changing = reached(values, [*trace.inputs, *trace.states, *trace.adjoints])
    outputs, pairs = unread(trace), zip(trace.states, trace.adjoints, strict=True)
    linked = reached(values, [adjoint for state, adjoint in pairs if state not in outputs])
    taken: set[Value] = set()
    gradients = [*values, *(v for v in trace.parameter_gradients if v is not None)]
    pieces = {p for v in ordered(gradients) if v.function is assembled for p in v.args[3]}
    for n, gradient in enumerate(trace.state_gradients):
        adjoint = trace.adjoints[n]
        if gradient is None or adjoint is None or not is_row(gradient):
            continue
        terms = terms_of(gradient)
        for term in terms:
            if not is_product_of_row(term, lambda v: v not in changing):
                continue
            row, matrix = term.args
            width = gradient.shape[-1]
            dear = width * width * gradient.dtype.itemsize > IDENTITY
            rest = [other for other in terms if other is not term]
            if row in taken or row in pieces or is_view(row) or dear or len(rest) < len(terms) - 1:
                continue
            if row not in linked:  # known before the loop, and the product as well
                continue
            taken.add(row)
            added = trace.added.get(n)
            beside, below, alone = adjoint, identity(width, gradient.dtype), False
            if (
                added is not None
                and is_product_of_row(added, lambda v: v not in changing)
                and added.args[1].sample.nbytes <= PRODUCT
                and trace.loss_alone
                and not rest
            ):
                beside, below, alone = *added.args, True
                trace.added[n] = beside
            trace.carried[n] = Carried(row, concatenated([matrix, below], 0), beside, alone)
            trace.state_gradients[n] = total(rest) if rest else None
            break


def terms_of(value: Any) -> list[Any]:
    if isinstance(value, Value) and value.function is np.add:
        return [term for side in value.args for term in terms_of(side)]
    return [value]
