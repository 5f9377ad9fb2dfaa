"""The pass `fuse_products`: a A + b B + c = [a, b, 1] [A; B; c].

For a single sequence a step's product takes hardly longer than the call itself, so each saved call
counts. The rows [h_{t−1}, x_t, 1] of all steps lie in one array. Then x_t W_xh + h_{t−1} W_hh + b_h
is one product. A term that is no product has the identity as its matrix.

The cost is more arithmetic in the loop. So only single rows and small matrices are joined. In the
same way the products of a gradient, δ Wᵀ + ε Uᵀ, are one.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, TypeGuard

import numpy as np

from tinygrad_rnn.compiler.ir import StepGraph, Value
from tinygrad_rnn.compiler.operations import filled
from tinygrad_rnn.compiler.passes.assemble import concatenated
from tinygrad_rnn.compiler.passes.hoist_sums import sums_of_loops
from tinygrad_rnn.compiler.passes.rewrite import alike, call, exchanged, total, transformed

LIMIT = 24576
"""Bytes of the matrices that a joined product may multiply by in every step beside those of the
state. Measured per step, joined and not: for x W in tanh(x W + h U + b) 0.64 µs and 0.79 with 8 kB,
1.35 and 1.38 with 32 kB; for an identity, which only saves a sum, 0.57 and 0.73 with 4 kB, 0.74 and
0.81 with 16 kB, 1.13 and 0.93 with 32 kB."""


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


def fuse_products(graph: StepGraph) -> StepGraph:
    """Join the products in the sums of the loop, where this saves calls."""
    sums = sums_of_loops(graph)

    def joined(value: Value, fresh: Value, new: dict[Value, Value]) -> Value | None:
        heavy, light = sums.get(value, ([], []))
        products = [t for t in heavy if is_product_of_row(graph, t) and graph.uses[t] == 1]
        if not is_row(value) or not products:
            return None
        rest = [term for term in heavy if term not in products]
        pairs = [term.args for term in products] + light_pairs(graph, value, light)
        if light and len(pairs) == len(products):
            rest.append(total(light))
        if len(pairs) < 2:
            return None
        rows, matrices = zip(*exchanged(pairs, new), strict=True)
        product = call(np.matmul, concatenated(rows, -1), concatenated(matrices, 0))
        result: Value = total([product, *exchanged(rest, new)])
        return replace(result, name=value.name)

    return transformed(graph, joined)


def light_pairs(graph: StepGraph, value: Value, light: list[Any]) -> list[Any]:
    """The terms of a sum that do not depend on the state, as rows and matrices; no terms if joining
    them costs too much."""
    if not light:
        return []
    together, identity = total(light), call(np.eye, value.shape[-1], dtype=value.dtype)
    whole: Any = (together, identity) if alike(together, value) else None
    for pairs in ([pair_of(graph, value, term) for term in light], [whole]):
        if all(pairs) and sum(matrix.nbytes for _, matrix in pairs) <= LIMIT:
            return pairs
    return []


def pair_of(graph: StepGraph, value: Value, term: Any) -> Any:
    """A term that does not depend on the state, as a row and a matrix; None if it has no such
    form."""
    if not isinstance(term, Value):
        return None
    if is_product_of_row(graph, term):
        return term.args
    width = value.shape[-1]
    if not graph.depends[term] and term.shape in ((width,), (1, width)):
        one = call(filled, (*value.shape[:-1], 1), 1, value.dtype)
        return one, term if term.ndim == 2 else call(np.reshape, term, (1, width), name=term.name)
    return None
