"""The pass `fuse_sums`: of the terms of a sum, a loop adds up as few as possible.

What the loop does not carry is one term. Forward this is all that does not depend on the state,
backward all that does not depend on its gradient. For x W + h U + b, and for g + E + E' where a
loss has two outputs, this is one sum less in every step: 3 to 5 % of a training step of 2 to 8
rows.

For a single sequence a step's product takes hardly longer than the call itself, so each saved call
counts. Then a A + b B + c = [a, b, 1] [A; B; c]: the rows [h_{t−1}, x_t, 1] of all steps lie in one
array, and x_t W_xh + h_{t−1} W_hh + b_h is one product. So is δ Wᵀ + ε Uᵀ in a gradient. A term
that is no product has the identity as its matrix. The cost is more arithmetic in the loop. So only
single rows and small matrices are joined.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, TypeGuard

import numpy as np

from tinygrad_rnn.compiler.ir import Depends, StepGraph, Value, ordered
from tinygrad_rnn.compiler.operations import filled
from tinygrad_rnn.compiler.passes.assemble import concatenated
from tinygrad_rnn.compiler.passes.rewrite import (
    alike,
    call,
    exchanged,
    terms_of,
    total,
    transformed,
)

LIMIT = 24576
"""Bytes of the matrices that a joined product may multiply by in every step beside those of the
state. Measured per step, joined and not: for x W in tanh(x W + h U + b) 0.64 µs and 0.79 with 8 kB,
1.35 and 1.38 with 32 kB; for an identity, which only saves a sum, 0.57 and 0.73 with 4 kB, 0.74 and
0.81 with 16 kB, 1.13 and 0.93 with 32 kB."""


def fuse_sums(graph: StepGraph) -> StepGraph:
    """Join the products of each sum in a loop; where there are none, add up first what the loop
    does not carry."""
    carried: dict[Value, Depends] = {}  # by the loop of each value
    back = ordered(filter(None, graph.state_gradients))
    for values, flag in ((graph.recurring, Depends.STATE), (back, Depends.GRADIENT)):
        carried |= {value: flag for value in values if flag in graph.depends[value]}

    def fused(value: Value, fresh: Value, new: dict[Value, Value]) -> Value | None:
        heavy, light = parted(graph, value, carried[value]) if value in carried else ([], [])
        products = [t for t in heavy if is_product_of_row(graph, t) and graph.uses[t] == 1]
        pairs = [term.args for term in products] if is_row(value) else []
        beside = light_pairs(graph, value, light) if pairs else []
        if len(pairs + beside) > 1:
            rows, matrices = zip(*exchanged(pairs + beside, new), strict=True)
            product = call(np.matmul, concatenated(rows, -1), concatenated(matrices, 0))
            heavy = [product, *(term for term in heavy if term not in products)]
            light = [] if beside else light
        elif len(light) < 2:
            return None
        terms = exchanged(heavy, new)
        if light:
            together = total(exchanged(light, new))
            if value.name and len(light) > 1:
                together = replace(together, name=f"{value.name}_x")
            terms.append(together)
        result: Value = total(terms)
        return replace(result, name=value.name)

    return transformed(graph, fused)


def parted(graph: StepGraph, value: Value, carried: Depends) -> tuple[list[Any], list[Any]]:
    """The terms of a sum that depend on what its loop carries, and the others. Partial sums are
    expanded if they have no other use. Only terms of the sum's own dtype may change their order: a
    sum of masks would overflow, or stay a truth value, in its own dtype."""

    def is_heavy(term: Any) -> bool:
        return isinstance(term, Value) and carried in graph.depends[term]

    terms = terms_of(value, lambda part: graph.uses[part] == 1 and part.dtype == value.dtype)
    if any(getattr(term, "dtype", value.dtype) != value.dtype for term in terms):
        return [], []
    return [t for t in terms if is_heavy(t)], [t for t in terms if not is_heavy(t)]


def is_row(value: Any) -> TypeGuard[Value]:
    """Whether a value has one axis, or a first axis of length one."""
    return isinstance(value, Value) and (
        value.ndim == 1 or (value.ndim == 2 and value.shape[0] == 1)
    )


def is_product_of_row(graph: StepGraph, term: Any) -> bool:
    """Whether a term is a row times a matrix that is the same in all steps."""
    if not isinstance(term, Value) or term.function is not np.matmul or not is_row(term):
        return False
    row, matrix = term.args
    return (
        isinstance(row, Value)
        and isinstance(matrix, Value)
        and row.ndim == term.ndim
        and matrix.ndim == 2
        and bool(graph.depends[row])
        and not graph.depends[matrix]
        and row.dtype == matrix.dtype == term.dtype
    )


def light_pairs(graph: StepGraph, value: Value, light: list[Any]) -> list[Any]:
    """The terms of a sum that the loop does not carry, as rows and matrices; none if joining them
    costs too much."""
    if not light:
        return []
    pairs = [pair_of(graph, value, term) for term in light]
    if all(pairs) and sum(matrix.nbytes for _, matrix in pairs) <= LIMIT:
        return pairs
    together, width = total(light), value.shape[-1]
    if alike(together, value) and width * width * value.dtype.itemsize <= LIMIT:
        return [(together, call(np.eye, width, dtype=value.dtype))]
    return []


def pair_of(graph: StepGraph, value: Value, term: Any) -> Any:
    """A term that the loop does not carry, as a row and a matrix; None if it has no such form."""
    if not isinstance(term, Value):
        return None
    if is_product_of_row(graph, term):
        return term.args
    width = value.shape[-1]
    if not graph.depends[term] and term.shape in ((width,), (1, width)):
        one = call(filled, (*value.shape[:-1], 1), 1, value.dtype)
        return one, term if term.ndim == 2 else call(np.reshape, term, (1, width), name=term.name)
    return None
