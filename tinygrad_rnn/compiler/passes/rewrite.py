"""Helpers for passes: walk over the values of a step graph, and replace some of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Protocol, TypeVar

import numpy as np

from tinygrad_rnn.compiler.ir import FusedAdjoint, StepGraph, Value, mapped


class Node(Protocol):
    """A value of a step graph, or of a trace."""

    @property
    def operands(self) -> Sequence[Any]: ...


N = TypeVar("N", bound=Node)

OUTPUTS = (
    *("results", "state_gradients", "input_gradients", "parameter_gradients"),
    *("output_grads", "fused_adjoints"),
)
"""The fields of a step graph that have its outputs."""


def ordered(outputs: Iterable[N]) -> list[N]:
    """All values that the outputs depend on, in topological order. Iterative."""
    done: dict[N, None] = {}
    waiting: list[tuple[N, bool]] = [(v, False) for v in reversed(list(outputs))]
    while waiting:
        value, ready = waiting.pop()
        if value in done:
            continue
        if ready:
            done[value] = None
        else:
            waiting.append((value, True))
            waiting += [(v, False) for v in reversed(value.operands) if v not in done]
    return list(done)


def rewritten(value: Value, new: Mapping[Value, Value]) -> Value:
    """The value with its operands replaced; the value itself, if they do not change."""
    if all(new[v] is v for v in value.operands):
        return value
    args, kwargs = mapped((value.args, dict(value.kwargs)), lambda leaf: exchanged(leaf, new))
    return replace(value, args=args, kwargs=kwargs)


def exchanged(leaf: Any, new: Mapping[Value, Value]) -> Any:
    return new.get(leaf, leaf) if isinstance(leaf, Value) else leaf


def substituted(graph: StepGraph, new: Mapping[Value, Value]) -> StepGraph:
    """The graph with its outputs replaced. `new` has the rewritten values."""

    def of(leaf: Any) -> Any:
        if isinstance(leaf, FusedAdjoint):
            row, matrix, appended = map(of, (leaf.row, leaf.matrix, leaf.appended))
            return replace(leaf, row=row, matrix=matrix, appended=appended)
        return exchanged(leaf, new)

    return replace(graph, **{name: mapped(getattr(graph, name), of) for name in OUTPUTS})


def transformed(
    graph: StepGraph, rule: Callable[[Value, Value, dict[Value, Value]], Value | None]
) -> StepGraph:
    """The graph with each value rewritten by a rule, operands first.

    rule: takes a value, the same value with rewritten operands, and the rewritten values so far. It
        returns the value to put in its place; None keeps the second.
    """
    new: dict[Value, Value] = {}
    for value in ordered(graph.outputs()):
        fresh = rewritten(value, new)
        new[value] = rule(value, fresh, new) or fresh
    return substituted(graph, new)


def exchange(graph: StepGraph, some: Mapping[Value, Value]) -> StepGraph:
    """The graph with these values replaced, and all values computed from them rebuilt."""
    return transformed(graph, lambda value, fresh, new: some.get(value))


def uses_of(graph: StepGraph) -> Counter[Value]:
    """How often each value is an operand or an output."""
    outputs = graph.outputs()
    return Counter([v for value in ordered(outputs) for v in value.operands] + outputs)


def call(function: Callable[..., Any] | None, *args: Any, name: str = "", **kwargs: Any) -> Value:
    """A new value. Its shape and dtype come from running the call in NumPy on arrays of ones."""
    assert function is not None
    with np.errstate(all="ignore"):
        array = function(*mapped(args, stand_in), **kwargs)
    return Value(np.shape(array), np.asarray(array).dtype, name, function, args, kwargs)


def stand_in(leaf: Any) -> Any:
    """An array of a value's shape and dtype."""
    return np.broadcast_to(np.ones((), leaf.dtype), leaf.shape) if isinstance(leaf, Value) else leaf


def identity(leaf: Any) -> Any:
    """A key that is equal for equal arguments."""
    if isinstance(leaf, tuple | list):
        return (type(leaf), *map(identity, leaf))
    if isinstance(leaf, Mapping):
        return tuple((key, identity(part)) for key, part in leaf.items())
    if isinstance(leaf, Value | np.ndarray):
        return id(leaf)
    if isinstance(leaf, slice):
        return (slice, identity((leaf.start, leaf.stop, leaf.step)))
    return (type(leaf), repr(leaf))


def reached(values: list[Value], start: Iterable[Value | None]) -> set[Value]:
    """The values among these, in order, that depend on one of `start`, and `start` itself."""
    found = {value for value in start if value is not None}
    for value in values:
        if any(operand in found for operand in value.operands):
            found.add(value)
    return found


def total(terms: list[Any]) -> Any:
    result = terms[0]
    for term in terms[1:]:
        result = call(np.add, result, term)
    return result


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


def unread(graph: StepGraph) -> set[Value]:
    """The parts of the state that no step reads, the outputs."""
    return set(graph.states) - set(ordered(graph.outputs()))


def recurring(graph: StepGraph) -> list[Value]:
    """The values from which the next state is computed."""
    outputs = unread(graph)
    pairs = zip(graph.states, graph.results, strict=True)
    return ordered([result for state, result in pairs if state not in outputs])


def among(leaf: Any, values: Iterable[Value]) -> bool:
    """Whether an argument, which may be a plain number or array, is one of the values."""
    return isinstance(leaf, Value) and leaf in values
