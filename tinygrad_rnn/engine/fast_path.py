"""The fast path: functions of one Tensor, ufuncs of two operands, and plain indexing.

It does the same as `apply`, without loops and lists. One compiled expression makes the edges. With
batch size 1, a recurrent network spends more time here than in NumPy.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from tinygrad_rnn.engine.apply import PLAIN, takes_precedence
from tinygrad_rnn.engine.recording import current_mark
from tinygrad_rnn.engine.rules import Rule
from tinygrad_rnn.engine.tensor import Tensor, recorded, untracked

USUAL = frozenset({np.ndarray, float, int, np.float64, np.float32})
"""Types of plain operands."""

INDICES = PLAIN | {tuple}
"""Types of plain indices."""


def fast_path(rule: Rule) -> Callable[..., Any] | None:
    """The fast path for the function of a rule, or None if it has none."""
    function = rule.function
    if function is operator.getitem:
        return binary(rule)
    if not isinstance(function, np.ufunc):
        pullback = rule.arguments[0][1]
        is_plain = pullback is not None and not pullback.takes_a_sequence and not rule.variadic
        return unary(rule) if is_plain else None
    if function.nout != 1 or function.nin > 2 or not all(p for _, p in rule.arguments):
        return None
    return unary(rule) if function.nin == 1 else binary(rule)


def unary(rule: Rule) -> Callable[[Any], Any]:
    """`x -> function(x)` for a Tensor, recorded."""
    function, compute = rule.function, rule.compute

    edges = None  # compiled at the first call: most functions are never called

    def call(x: Any) -> Any:
        nonlocal edges
        a = x._data
        y = compute(a)
        mark = current_mark()
        if x._requires_grad and mark is not None:
            if edges is None:
                edges = rule.edges_for((2,))
            result = recorded(y, function, edges(x, a, y), mark)
        else:
            result = untracked(y)
        if mark is not None and mark.watch is not None:
            mark.watch.value(result, function, (x,), {})
        return result

    return call


def numbers_of(operand: Any) -> Any:
    """Convert a list of numbers to an array, as NumPy does. Pull-backs compute with it."""
    return np.asarray(operand) if isinstance(operand, list | tuple) else operand


def binary(rule: Rule) -> Callable[[Any, Any], Any]:
    """`(x1, x2) -> function(x1, x2)`, recorded; either may be a plain array or number."""
    function, compute = rule.function, rule.compute
    usual = USUAL if isinstance(function, np.ufunc) else INDICES

    def first(kind: int, *values: Any) -> Any:  # compiled at the first call of each kind
        edges_of[kind] = rule.edges_for(divmod(kind, 3))
        return edges_of[kind](*values)

    # By 3 times the kind of x1 plus the kind of x2; None if neither needs a gradient.
    edges_of: list[Any] = [partial(first, n) if 2 in divmod(n, 3) else None for n in range(9)]

    def call(x1: Any, x2: Any) -> Any:
        kind = 0
        a1, a2 = x1, x2
        if type(x1) is Tensor:
            a1 = x1._data
            kind = 6 if x1._requires_grad else 3
        elif type(x1) not in usual:
            if takes_precedence(type(x1)):
                return NotImplemented
            a1 = x1 = numbers_of(x1)
        if type(x2) is Tensor:
            a2 = x2._data
            kind += 2 if x2._requires_grad else 1
        elif type(x2) not in usual:
            if takes_precedence(type(x2)):
                return NotImplemented
            a2 = x2 = numbers_of(x2)
        y = compute(a1, a2)
        mark = current_mark()
        edges = edges_of[kind]
        if edges is not None and mark is not None:
            result = recorded(y, function, edges(x1, x2, a1, a2, y), mark)
        else:
            result = untracked(y)
        if mark is not None and mark.watch is not None:
            mark.watch.value(result, function, (x1, x2), {})
        return result

    return call
