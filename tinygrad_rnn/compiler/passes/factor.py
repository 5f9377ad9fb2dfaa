"""The pass `factor`: g·a·b becomes g·(a·b), with one factor that can leave the loop.

Likewise g − g·a becomes g·(1 − a), and g·a + (−g·b) becomes g·(a − b). The factor does not depend
on the gradient g. So it can be computed for all steps at once.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tinygrad_rnn.compiler.ir import StepGraph, Value
from tinygrad_rnn.compiler.passes.rewrite import (
    call,
    ordered,
    reached,
    transformed,
    uses_of,
)


def factor(graph: StepGraph) -> StepGraph:
    """Rewrite gradients as one gradient times one factor, where the intermediate values have no
    other use. All regrouped values have the gradient's shape and dtype, so a mask of integers is
    left alone."""
    uses, adjoint = uses_of(graph), reached(ordered(graph.outputs()), graph.adjoints)
    factors: dict[Value, tuple[Value, Any]] = {}  # for a product: the gradient and its factor

    def found(value: Value, new: dict[Value, Value]) -> tuple[Value, Any] | None:
        """A gradient and its factor, of which the value is the product."""

        def opened(part: Any) -> tuple[Value, Any]:
            """The same of an operand, 1 for no factor. It is split only if this is its only use."""
            return factors[part] if part in factors and uses[part] <= 1 else (new[part], None)

        args = value.args
        if value not in adjoint or value.kwargs or not all(plain(arg, value) for arg in args):
            return None
        if value.function is np.negative:
            base, factor = opened(args[0])
            return None if factor is None else (base, call(np.negative, factor))
        if value.function is np.multiply:
            g, a = args[::-1] if args[1] in adjoint else args
            base, factor = opened(g)
            return base, new[a] if factor is None else call(np.multiply, factor, new[a])
        if value.function in (np.add, np.subtract) and all(arg in adjoint for arg in args):
            (base, a), (other, b) = map(opened, args)
            if base is other and not (a is None and b is None):
                a, b = (1 if part is None else part for part in (a, b))
                return base, combined(value.function, a, b)
        return None

    def regrouped(value: Value, fresh: Value, new: dict[Value, Value]) -> Value | None:
        pair = found(value, new)
        if pair is None:
            return None
        factors[value] = pair
        return call(np.multiply, *pair, name=value.name)

    return transformed(graph, regrouped)


def combined(function: Any, a: Any, b: Any) -> Value:
    """a ± b, and a − b for a + (−b)."""
    if function is np.add:
        for one, other in ((a, b), (b, a)):
            if isinstance(other, Value) and other.function is np.negative:
                return call(np.subtract, one, other.args[0])
    return call(function, a, b)


def plain(part: Any, whole: Value) -> bool:
    return isinstance(part, Value) and part.shape == whole.shape and part.dtype == whole.dtype
