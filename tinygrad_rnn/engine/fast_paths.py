"""The short way through the engine, for ufuncs of one or two operands and for plain indexing.

It does what `apply` does, written out: no loop, no list, and the edges made by one compiled
expression. A recurrent network of batch size 1 spends its time here and not in NumPy.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import numpy as np

from tinygrad_rnn.engine.graph import Node, recording
from tinygrad_rnn.engine.rules import Rule
from tinygrad_rnn.engine.table import ON_ENTRY, RULES
from tinygrad_rnn.engine.tensor import STRAIGHT, Tensor, apply, not_of_floats

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
            node = x._node
            result._node = Node(function, edges(x, a, y), node.shape, y.dtype, mark)
        else:
            result._requires_grad = False
            result._node = None
        return result

    return call


def binary(rule: Rule) -> Callable[[Any, Any], Tensor]:
    """`(x1, x2) -> function(x1, x2)`, recorded; either may be a plain array or number."""
    function, compute = rule.function, rule.compute
    kinds = [(a, b) for a in range(3) for b in range(3)]
    edges_of = [rule.edges_for(pair) if 2 in pair else None for pair in kinds]

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
        edges = edges_of[kind]
        if edges is not None and mark is not None:
            dtype = y.dtype
            if dtype is not SINGLE and dtype is not DOUBLE and dtype.kind != "f":  # complex
                return not_of_floats(function, y)  # type: ignore[no-any-return]
            result._requires_grad = True
            result._node = Node(function, edges(x1, x2, a1, a2, y), y.shape, dtype, mark)
        else:
            result._requires_grad = False
            result._node = None
        return result

    return call


def tanh(x: Any) -> Any:
    """`np.tanh`, which goes straight to the short way, and asks NumPy only for what is no Tensor:
    a third of what a small `np.tanh` costs is NumPy's asking."""
    short_way = STRAIGHT.get(np.tanh) if type(x) is Tensor else None
    return np.tanh(x) if short_way is None else short_way(x)


OPERATORS: dict[Callable[..., Any], str] = {
    np.add: "add",
    np.subtract: "sub",
    np.multiply: "mul",
    np.true_divide: "truediv",
    np.floor_divide: "floordiv",
    np.remainder: "mod",
    np.power: "pow",
    np.matmul: "matmul",
}


def shorten(function: Any, rule: Rule) -> None:
    """Take the short way for a function where there is one, also for Python's operator.

    NumPy's mixin, which supplies the other operators, goes through the ufunc's dispatch, half a
    microsecond longer; and it takes `loss += x` for writing into `loss`, not for a new value.
    """
    if function is operator.getitem:
        install(function, binary(rule))
    if not isinstance(function, np.ufunc) or function.nout != 1 or function.nin > 2:
        return
    if all(pullback for _, pullback in rule.arguments):
        install(function, (unary if function.nin == 1 else binary)(rule))
    else:
        STRAIGHT.pop(function, None)
        as_operator(function, long_way(function))


def install(function: Callable[..., Any], call: Callable[..., Any]) -> None:
    """Let `call` be the short way for a function, also for Python's operator."""
    STRAIGHT[function] = call
    as_operator(function, call)


def as_operator(function: Callable[..., Any], call: Callable[[Any, Any], Any]) -> None:
    """Let `call` be what Python's operator for a ufunc does to Tensors, if it has one."""
    if function in OPERATORS:
        name = OPERATORS[function]
        setattr(Tensor, f"__{name}__", call)
        setattr(Tensor, f"__i{name}__", call)
        setattr(Tensor, f"__r{name}__", lambda x2, x1: call(x1, x2))


def long_way(function: Any) -> Callable[[Any, Any], Any]:
    """An operator for a function that has no pull-back for one of its operands."""
    return lambda x1, x2: apply(function, (x1, x2))


for _function, _rule in RULES.items():
    shorten(_function, _rule)
ON_ENTRY.append(shorten)
