"""The pass `hoist_sums`: terms that do not depend on the state leave the loop."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np

from tinygrad_rnn.compiler.ir import StepGraph, Value
from tinygrad_rnn.compiler.passes.fuse_products import fused
from tinygrad_rnn.compiler.passes.rewrite import (
    among,
    call,
    ordered,
    reached,
    recurring,
    rewritten,
    substituted,
    total,
)


def hoist_sums_apart(graph: StepGraph) -> StepGraph:
    """`hoist_sums` for a back end with cheap calls: it joins no products."""
    return hoist_sums(graph, join=False)


def hoist_sums(graph: StepGraph, join: bool = True) -> StepGraph:
    """Reorder a + b + c: the terms that do not depend on the state come first and are one term in
    the loop. Where it is less work, products are joined instead. Only terms of the sum's own dtype
    change their order. A sum of masks would overflow, or stay a truth value, in its own dtype."""
    outputs = graph.outputs()
    values = ordered(outputs)
    uses = Counter(v for value in values for v in value.operands)
    uses.update(outputs)
    needed, ahead = set(recurring(graph)), set(ordered(graph.results))
    state, adjoint = reached(values, graph.states), reached(values, graph.adjoints)
    changing = reached(values, [*graph.inputs, *graph.states, *graph.adjoints])
    new: dict[Value, Value] = {}

    def renewed(terms: list[Any]) -> list[Any]:
        return [new.get(t, t) if isinstance(t, Value) else t for t in terms]

    for value in values:
        fresh = rewritten(value, new) if value.function is not None else value
        loops = value in state - adjoint and (value in needed or value not in ahead)
        if value.function is np.add and not value.kwargs and loops:
            terms = terms_of(value, uses)
            light = [t for t in terms if not among(t, state)]
            heavy = [t for t in terms if among(t, state)]
            joint = None
            if join:
                joint = fused(
                    value, heavy, light, lambda v: v not in changing, lambda v: uses[v] == 1, new
                )
            if joint is not None:
                fresh = named(total(joint), value.name)
            elif light and heavy and len(terms) > 2 and of_one_dtype(terms, value):
                together = total(renewed(light))
                if value.name and isinstance(together, Value) and not together.name:
                    together = named(together, f"{value.name}_x")
                fresh = call(np.add, total(renewed(heavy)), together, name=value.name)
        new[value] = fresh
    return substituted(graph, new)


def of_one_dtype(terms: list[Any], value: Value) -> bool:
    arrays = [t for t in terms if isinstance(t, Value | np.ndarray | np.generic)]
    return all(t.dtype == value.dtype for t in arrays)


def named(value: Value, name: str) -> Value:
    """The same call under a name; the value itself, if it is given or an operand of others."""
    return Value(value.shape, value.dtype, name, value.function, value.args, value.kwargs)


def terms_of(value: Value, uses: Counter[Value]) -> list[Any]:
    """The terms of a sum. Partial sums are expanded if they have no other use."""
    terms = []
    for term in value.args:
        if (
            isinstance(term, Value)
            and term.function is np.add
            and not term.kwargs
            and uses[term] == 1
            and term.dtype == value.dtype
        ):
            terms += terms_of(term, uses)
        else:
            terms.append(term)
    return terms
