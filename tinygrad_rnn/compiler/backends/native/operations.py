"""Elementwise calls as LLVM instructions on any number of lanes, by the names of NumPy's
functions."""

from __future__ import annotations

from collections.abc import Callable

from tinygrad_rnn.compiler.backends.native import functions
from tinygrad_rnn.compiler.backends.native.text import Function, Value, constant


def operation(f: Function, kind: str, args: list[Value]) -> Value:
    """One elementwise call, on any number of lanes."""
    return OPERATIONS[kind](f, *args)


def _binary(name: str) -> Callable[..., Value]:
    return lambda f, a, b: f.binary(name, a, b)


def _compare(name: str) -> Callable[..., Value]:
    return lambda f, a, b: f.compare(name, a, b)


def _extreme(name: str) -> Callable[..., Value]:
    """The maximum or the minimum of two values; NaN if one of them is NaN."""

    def rule(f: Function, a: Value, b: Value) -> Value:
        first = f.binary("or", f.compare(name, a, b), f.compare("uno", a, a))
        return f.select(first, a, b)

    return rule


def _negated(f: Function, a: Value) -> Value:
    return f.binary("xor", a, 1) if a.type.lanes == 1 else f.op(a.type, f"xor {a}, splat (i1 true)")


OPERATIONS: dict[str, Callable[..., Value]] = {
    "add": _binary("fadd"),
    "subtract": _binary("fsub"),
    "multiply": _binary("fmul"),
    "divide": _binary("fdiv"),
    "negative": lambda f, a: f.op(a.type, f"fneg {a}"),
    "absolute": lambda f, a: f.intrinsic("fabs", a),
    "square": lambda f, a: f.binary("fmul", a, a),
    "reciprocal": lambda f, a: f.binary("fdiv", constant(a.type, 1.0), a),
    "sqrt": lambda f, a: f.intrinsic("sqrt", a),
    "tanh": functions.tanh,
    "exp": functions.exp,
    "log": functions.log,
    "maximum": _extreme("ogt"),
    "minimum": _extreme("olt"),
    "greater": _compare("ogt"),
    "greater_equal": _compare("oge"),
    "less": _compare("olt"),
    "less_equal": _compare("ole"),
    "equal": _compare("oeq"),
    "not_equal": _compare("une"),
    "logical_and": _binary("and"),
    "logical_or": _binary("or"),
    "logical_not": _negated,
    "copy": lambda f, a: a,
    "where": lambda f, condition, a, b: f.select(condition, a, b),
}
