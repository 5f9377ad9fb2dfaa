"""The short way through the engine, for ufuncs of one or two operands.

It does what `apply` does, written out: no loop, no list, and the edges made by one compiled
expression. A recurrent network of batch size 1 spends its time here and not in NumPy.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from tinygrad_rnn.derivatives.rules import Rule
from tinygrad_rnn.derivatives.table import RULES
from tinygrad_rnn.graph import Node, recording
from tinygrad_rnn.tensor import STRAIGHT, Tensor, not_of_floats

DOUBLE, SINGLE = np.dtype(np.float64), np.dtype(np.float32)

_new = object.__new__


def unary(rule: Rule) -> Callable[[Any], Tensor]:
    """`x -> function(x)`, recorded."""
    function, compute, edges = rule.function, rule.compute, rule.edges_for((2,))

    def call(x: Any) -> Tensor:
        a = x.data
        result = _new(Tensor)
        y = result.data = compute(a)
        mark = recording.mark
        if x._requires_grad and mark is not None:
            result._requires_grad = True
            result._node = Node(function, edges(x, a, y), y.shape, y.dtype, mark)
        else:
            result._requires_grad = False
            result._node = None
        return result

    return call


def binary(rule: Rule) -> Callable[[Any, Any], Tensor]:
    """`(x1, x2) -> function(x1, x2)`, recorded; either may be a plain array or number."""
    function, compute = rule.function, rule.compute
    edges = {3 * a + b: rule.edges_for((a, b)) for a in range(3) for b in range(3) if 2 in (a, b)}

    def call(x1: Any, x2: Any) -> Tensor:
        kind = 0
        a1, a2 = x1, x2
        if type(x1) is Tensor:
            a1 = x1.data
            kind = 6 if x1._requires_grad else 3
        if type(x2) is Tensor:
            a2 = x2.data
            kind += 2 if x2._requires_grad else 1
        result = _new(Tensor)
        y = result.data = compute(a1, a2)
        mark = recording.mark
        if kind in edges and mark is not None:
            dtype = y.dtype
            usual = dtype is SINGLE or dtype is DOUBLE
            if not usual and dtype.kind != "f":  # a complex operand
                return not_of_floats(function, y)  # type: ignore[no-any-return]
            result._requires_grad = True
            edges_of = edges[kind]
            result._node = Node(function, edges_of(x1, x2, a1, a2, y), y.shape, dtype, mark)
        else:
            result._requires_grad = False
            result._node = None
        return result

    return call


def install() -> None:
    """Take the short way wherever there is one, also for Python's operators.

    NumPy's mixin, which supplies the other operators, goes through the ufunc's dispatch, half a
    microsecond longer; and it takes `loss += x` for writing into `loss`, not for a new value.
    """
    for function, rule in RULES.items():
        if (
            isinstance(function, np.ufunc)
            and function.nout == 1
            and all(p for _, p in rule.arguments)
        ):
            STRAIGHT[function] = (unary if function.nin == 1 else binary)(rule)
    for name, ufunc in {
        "add": np.add,
        "sub": np.subtract,
        "mul": np.multiply,
        "truediv": np.true_divide,
        "floordiv": np.floor_divide,
        "mod": np.remainder,
        "pow": np.power,
        "matmul": np.matmul,
    }.items():
        call = STRAIGHT[ufunc]
        setattr(Tensor, f"__{name}__", call)
        setattr(Tensor, f"__i{name}__", call)
        setattr(Tensor, f"__r{name}__", lambda x2, x1, call=call: call(x1, x2))


install()
