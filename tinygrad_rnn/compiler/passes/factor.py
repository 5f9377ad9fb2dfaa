"""The pass `factor`: g·a·b becomes g·(a·b), with one factor that can leave the loop.

Likewise g − g·a becomes g·(1 − a), and g·a + g·b becomes g·(a + b). The factor does not depend
on the gradient g. So it can be computed for all steps at once.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tinygrad_rnn.compiler.ir import Depends, StepGraph, Value
from tinygrad_rnn.compiler.passes.rewrite import alike, call, transformed


def factor(graph: StepGraph) -> StepGraph:
    """Rewrite gradients as one gradient times one factor, where the intermediate values have no
    other use. All regrouped values have the gradient's shape and dtype, so a mask of integers is
    left alone."""
    adjoint = {v for v, causes in graph.depends.items() if Depends.GRADIENT in causes}
    factors: dict[Value, tuple[Value, Any]] = {}  # for a product: the gradient and its factor

    def regrouped(value: Value, fresh: Value, new: dict[Value, Value]) -> Value | None:
        function: Any = value.function

        def opened(part: Any) -> tuple[Value, Any]:
            """A gradient and its factor, None for 1. It is split only if this is its only use."""
            return factors[part] if part in factors and graph.uses[part] <= 1 else (new[part], None)

        def product(base: Value, factor: Any) -> Value:
            factors[value] = base, factor
            return call(np.multiply, base, factor, name=value.name)

        args = value.args
        if value not in adjoint or value.kwargs or not all(alike(arg, value) for arg in args):
            return None
        if function is np.negative:
            base, a = opened(args[0])
            return None if a is None else product(base, call(function, a))
        if function is np.multiply:
            g, b = args[::-1] if args[1] in adjoint else args
            base, a = opened(g)
            return product(base, new[b] if a is None else call(function, a, new[b]))
        if function in (np.add, np.subtract) and adjoint.issuperset(args):
            (base, a), (other, b) = map(opened, args)
            if base is other and not (a is None and b is None):
                a, b = (1 if part is None else part for part in (a, b))
                return product(base, call(function, a, b))
        return None

    return transformed(graph, regrouped)
