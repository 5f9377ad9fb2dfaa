"""Helpers for passes: walk over the values of a step graph, and replace some of them."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, TypeGuard

import numpy as np

from tinygrad_rnn.compiler.ir import OUTPUTS, StepGraph, Value, mapped


def exchanged(tree: Any, new: Mapping[Value, Value]) -> Any:
    """The same nesting with some of the values replaced."""
    return mapped(tree, lambda leaf: new.get(leaf, leaf) if isinstance(leaf, Value) else leaf)


def rewritten(value: Value, new: Mapping[Value, Value]) -> Value:
    """The value with its operands replaced; the value itself, if they do not change."""
    if all(new[v] is v for v in value.operands):
        return value
    return replace(value, args=exchanged(value.args, new), kwargs=exchanged(value.kwargs, new))


def substituted(graph: StepGraph, new: Mapping[Value, Value]) -> StepGraph:
    """The graph with its outputs replaced. `new` has the rewritten values."""
    return replace(graph, **{name: exchanged(getattr(graph, name), new) for name in OUTPUTS})


def transformed(
    graph: StepGraph, rule: Callable[[Value, Value, dict[Value, Value]], Value | None]
) -> StepGraph:
    """The graph with each value rewritten by a rule, operands first.

    rule: takes a value, the same value with rewritten operands, and the rewritten values so far. It
        returns the value to put in its place; None keeps the second.
    """
    new: dict[Value, Value] = {}
    for value in graph.order:
        fresh = rewritten(value, new)
        new[value] = rule(value, fresh, new) or fresh
    return substituted(graph, new)


def exchange(graph: StepGraph, some: Mapping[Value, Value]) -> StepGraph:
    """The graph with these values replaced, and all values computed from them rebuilt."""
    return transformed(graph, lambda value, fresh, new: some.get(value))


def call(function: Callable[..., Any], *args: Any, name: str = "", **kwargs: Any) -> Value:
    """A new value. Its shape and dtype come from running the call in NumPy on arrays of ones."""
    with np.errstate(all="ignore"):
        array = function(*mapped(args, stand_in), **kwargs)
    return Value(np.shape(array), np.asarray(array).dtype, name, function, args, kwargs)


def stand_in(leaf: Any) -> Any:
    """An array of a value's shape and dtype."""
    return np.broadcast_to(np.ones((), leaf.dtype), leaf.shape) if isinstance(leaf, Value) else leaf


def total(terms: list[Any]) -> Any:
    return functools.reduce(functools.partial(call, np.add), terms)


def terms_of(value: Any, opens: Callable[[Value], bool] = lambda value: True) -> list[Any]:
    """The terms of a sum; the value alone, if it is none. opens: whether a partial sum is expanded,
    too."""
    if not isinstance(value, Value) or value.function is not np.add or value.kwargs:
        return [value]
    return [
        term
        for part in value.args
        for term in (terms_of(part, opens) if isinstance(part, Value) and opens(part) else [part])
    ]


def alike(leaf: Any, value: Value) -> TypeGuard[Value]:
    """Whether an argument is a value of the same shape and dtype."""
    return isinstance(leaf, Value) and (leaf.shape, leaf.dtype) == (value.shape, value.dtype)
