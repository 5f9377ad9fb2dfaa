"""Sums and products in another order, so that less of them is left in the loop."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np

from tinygrad_rnn.compiler.frontend.trace import Trace
from tinygrad_rnn.compiler.frontend.tracer import Value
from tinygrad_rnn.compiler.passes.joining import joined
from tinygrad_rnn.compiler.passes.rewrite import (
    computed,
    ordered,
    reached,
    recurring,
    rewritten,
    total,
)


def regrouping(outputs: list[Value], trace: Trace) -> dict[Value, Value]:
    """a + b + c with what does not depend on the state first: it is then one term in the loop; or,
    where that is less work, products joined to one."""
    values = ordered(outputs)
    uses = Counter(id(v) for value in values for v in value.operands)
    uses.update(id(v) for v in outputs)
    needed, ahead = set(recurring(trace)), set(ordered(trace.results))
    state, adjoint = reached(values, trace.states), reached(values, trace.adjoints)
    changing = reached(values, [*trace.inputs, *trace.states, *trace.adjoints])
    inner = {
        id(v)
        for value in values
        if value.function is np.add
        for v in value.operands
        if v.function is np.add and uses[id(v)] == 1
    }
    new: dict[Value, Value] = {}
    for value in values:
        fresh = rewritten(value, new) if value.function is not None else value
        loops = value in state - adjoint and (value in needed or value not in ahead)
        if value.function is np.add and loops and id(value) not in inner:
            terms = terms_of(value, uses)
            light = [t for t in terms if not among(t, state)]
            heavy = [t for t in terms if among(t, state)]
            joint = joined(
                value, heavy, light, lambda v: v not in changing, lambda v: uses[id(v)] == 1, new
            )
            if joint is not None:
                fresh = total(joint)
                fresh.name = value.name
            elif light and heavy and len(terms) > 2:
                together = total([new.get(t, t) if isinstance(t, Value) else t for t in light])
                if value.name and isinstance(together, Value) and not together.name:
                    together.name = f"{value.name}_x"
                loop = total([new[t] for t in heavy])
                fresh = Value(value.sample, value.name, np.add, (loop, together))
        new[value] = fresh
    return new


def terms_of(value: Value, uses: Counter[int]) -> list[Any]:
    """The terms of a sum, opened as far as nobody else wants the partial sums."""
    terms = []
    for term in value.args:
        if isinstance(term, Value) and term.function is np.add and uses[id(term)] == 1:
            terms += terms_of(term, uses)
        else:
            terms.append(term)
    return terms


def factoring(outputs: list[Value], trace: Trace) -> dict[Value, Value]:
    """Gradients as one gradient times one factor, as far as nobody wants what is in between."""
    values = ordered(outputs)
    uses = Counter(v for value in values for v in value.operands)
    uses.update(outputs)
    adjoint = reached(values, trace.adjoints)
    new: dict[Value, Value] = {}
    factors: dict[Value, tuple[Value, Any]] = {}  # of a product: the gradient and its factor

    def opened(value: Any) -> tuple[Any, Any]:
        """A gradient and its factor; None for 1. Opened only if this is its only use."""
        return factors.get(value, (new[value], None)) if uses[value] <= 1 else (new[value], None)

    for value in values:
        fresh = rewritten(value, new) if value.function is not None else value
        if value in adjoint and value.function is np.negative and plain(value.args[0], value):
            base, factor = opened(value.args[0])
            if factor is not None:
                factor = Value(-factor.sample, "", np.negative, (factor,))
                fresh = Value(value.sample, value.name, np.multiply, (base, factor))
                factors[value] = base, factor
        elif value in adjoint and value.function in (np.multiply, np.add, np.subtract):
            left, right = value.args
            found = None
            if value.function is np.multiply:
                g, a = (right, left) if among(right, adjoint) else (left, right)
                if plain(g, value) and isinstance(a, Value) and a.shape == value.shape:
                    base, factor = opened(g)
                    factor = new[a] if factor is None else computed(np.multiply, factor, new[a])
                    found = base, factor
            elif all(among(v, adjoint) and plain(v, value) for v in (left, right)):
                (base, a), (other, b) = factor_pair(left, right, new, opened)
                if base is other and not (a is None and b is None):
                    one = [1 if part is None else part for part in (a, b)]
                    found = base, combined(value.function, *one)
            if found is not None:
                fresh = Value(value.sample, value.name, np.multiply, found)
                factors[value] = found
        new[value] = fresh
    return new


def combined(function: Any, a: Any, b: Any) -> Value:
    """a ± b, and a − b for a + (−b)."""
    if function is np.add:
        for one, other in ((a, b), (b, a)):
            if isinstance(other, Value) and other.function is np.negative:
                return computed(np.subtract, one, other.args[0])
    return computed(function, a, b)


def factor_pair(left: Value, right: Value, new: Any, opened: Any) -> Any:
    """Both sides of a sum as gradient and factor; each side may be the other's gradient itself."""
    a, b = opened(left), opened(right)
    if a[0] is new[right]:
        return a, (new[right], None)
    if b[0] is new[left]:
        return (new[left], None), b
    return a, b


def among(leaf: Any, values: set[Value]) -> bool:
    """Whether an argument, which may be a plain number or array, is one of the values."""
    return isinstance(leaf, Value) and leaf in values


def plain(part: Any, whole: Value) -> bool:
    return isinstance(part, Value) and part.shape == whole.shape and part.dtype == whole.dtype
