"""The fast path through the engine, for ufuncs of one or two operands and for plain indexing.

It does the same as `apply`, without loops and lists. One compiled expression makes the edges. With
batch size 1, a recurrent network spends more time here than in NumPy.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import numpy as np

from tinygrad_rnn.engine.apply import has_its_own_way, not_of_floats
from tinygrad_rnn.engine.graph import Node
from tinygrad_rnn.engine.recording import current_mark
from tinygrad_rnn.engine.rules import Rule
from tinygrad_rnn.engine.tensor import Tensor

FAST_PATHS: dict[Callable[..., Any], Callable[..., Any]] = {}
"""The functions with a fast path. `operators.py` fills it from the table, and keeps it current."""

DOUBLE, SINGLE = np.dtype(np.float64), np.dtype(np.float32)

USUAL = frozenset({np.ndarray, float, int, np.float64, np.float32})
"""Types of plain operands."""

_new = object.__new__


def fast_path(function: Any, rule: Rule) -> Callable[..., Any] | None:
    """The fast path for a function of the table, or None if it has none."""
    if function is operator.getitem:
        return binary(rule)
    if not isinstance(function, np.ufunc) or function.nout != 1 or function.nin > 2:
        return None
    if not all(pullback for _, pullback in rule.arguments):
        return None
    return unary(rule) if function.nin == 1 else binary(rule)


def unary(rule: Rule) -> Callable[[Any], Tensor]:
    """`x -> function(x)`, recorded."""
    function, compute = rule.function, rule.compute

    def edges(*values: Any) -> Any:  # compiled at the first call: most ufuncs are never called
        nonlocal edges
        edges = rule.edges_for((2,))
        return edges(*values)

    def call(x: Any) -> Tensor:
        a = x._data
        result = _new(Tensor)
        y = result._data = compute(a)
        mark = current_mark()
        if x._requires_grad and mark is not None:
            result._requires_grad = True
            result._node = Node(function, edges(x, a, y), y.shape, y.dtype, mark)
        else:
            result._requires_grad = False
            result._node = None
        if mark is not None and mark.watch is not None:
            mark.watch.value(result, function, (x,), {})
        return result

    return call


def numbers_of(operand: Any) -> Any:
    """A list of numbers as the array that NumPy reads it as: a rule computes with it."""
    return np.asarray(operand) if isinstance(operand, list | tuple) else operand


def binary(rule: Rule) -> Callable[[Any, Any], Any]:
    """`(x1, x2) -> function(x1, x2)`, recorded; either may be a plain array or number."""
    function, compute = rule.function, rule.compute
    is_ufunc = isinstance(function, np.ufunc)
    edges_of: list[Any] = [None] * 9  # by 3 times the kind of x1 plus the kind of x2

    def compile_first(kind: int) -> Callable[..., Any]:
        def edges(*values: Any) -> Any:
            edges_of[kind] = rule.edges_for(divmod(kind, 3))
            return edges_of[kind](*values)

        return edges

    for kind in range(9):
        if 2 in divmod(kind, 3):
            edges_of[kind] = compile_first(kind)

    def call(x1: Any, x2: Any) -> Any:
        kind = 0
        a1, a2 = x1, x2
        if type(x1) is Tensor:
            a1 = x1._data
            kind = 6 if x1._requires_grad else 3
        elif type(x1) not in USUAL:
            if has_its_own_way(type(x1)):
                return NotImplemented
            a1 = x1 = numbers_of(x1)
        if type(x2) is Tensor:
            a2 = x2._data
            kind += 2 if x2._requires_grad else 1
        elif type(x2) not in USUAL:
            if has_its_own_way(type(x2)):
                return NotImplemented
            if is_ufunc:  # not an index
                a2 = x2 = numbers_of(x2)
        result = _new(Tensor)
        y = result._data = compute(a1, a2)
        mark = current_mark()
        edges = edges_of[kind]
        if edges is not None and mark is not None:
            dtype = y.dtype
            if dtype is not SINGLE and dtype is not DOUBLE and dtype.kind != "f":  # complex
                return not_of_floats(function, y)
            result._requires_grad = True
            result._node = Node(function, edges(x1, x2, a1, a2, y), y.shape, dtype, mark)
        else:
            result._requires_grad = False
            result._node = None
        if mark is not None and mark.watch is not None:
            mark.watch.value(result, function, (x1, x2), {})
        return result

    return call
