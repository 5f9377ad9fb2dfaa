"""The pass `factor`: g·a·b becomes g·(a·b), with one factor that can leave the loop.

Likewise g − g·a becomes g·(1 − a), and g·a + (−g·b) becomes g·(a − b). The factor does not depend
on the gradient g. So it can be computed for all steps at once.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np

from tinygrad_rnn.compiler.ir import StepGraph, Value
from tinygrad_rnn.compiler.passes.rewrite import (
    among,
    call,
    ordered,
    reached,
    rewritten,
    substituted,
)


def factor(graph: StepGraph) -> StepGraph:
    """Rewrite gradients as one gradient times one factor, where the intermediate values have no
    other use. All regrouped values have the gradient's shape and dtype, so a mask of integers is
    left alone."""
    outputs = graph.outputs()
    values = ordered(outputs)
    uses = Counter(v for value in values for v in value.operands)
    uses.update(outputs)
    adjoint = reached(values, graph.adjoints)
    new: dict[Value, Value] = {}
    factors: dict[Value, tuple[Value, Any]] = {}  # for a product: the gradient and its factor

    def opened(value: Any) -> tuple[Any, Any]:
        """A gradient and its factor, None for 1. A value is split only if this is its only use."""
        return factors.get(value, (new[value], None)) if uses[value] <= 1 else (new[value], None)

    for value in values:
        fresh = rewritten(value, new) if value.function is not None else value
        regrouped = value in adjoint and not value.kwargs
        if regrouped and value.function is np.negative and plain(value.args[0], value):
            base, factor = opened(value.args[0])
            if factor is not None:
                factor = call(np.negative, factor)
                fresh = call(np.multiply, base, factor, name=value.name)
                factors[value] = base, factor
        elif regrouped and value.function in (np.multiply, np.add, np.subtract):
            left, right = value.args
            found = None
            if value.function is np.multiply:
                g, a = (right, left) if among(right, adjoint) else (left, right)
                if plain(g, value) and plain(a, value):
                    base, factor = opened(g)
                    factor = new[a] if factor is None else call(np.multiply, factor, new[a])
                    found = base, factor
            elif all(among(v, adjoint) and plain(v, value) for v in (left, right)):
                (base, a), (other, b) = opened(left), opened(right)
                if base is other and not (a is None and b is None):
                    one = [1 if part is None else part for part in (a, b)]
                    found = base, combined(value.function, *one)
            if found is not None:
                fresh = call(np.multiply, *found, name=value.name)
                factors[value] = found
        new[value] = fresh
    return substituted(graph, new)


def combined(function: Any, a: Any, b: Any) -> Value:
    """a ± b, and a − b for a + (−b)."""
    if function is np.add:
        for one, other in ((a, b), (b, a)):
            if isinstance(other, Value) and other.function is np.negative:
                return call(np.subtract, one, other.args[0])
    return call(function, a, b)


def plain(part: Any, whole: Value) -> bool:
    return isinstance(part, Value) and part.shape == whole.shape and part.dtype == whole.dtype
