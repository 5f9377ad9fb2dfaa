"""Walking over the values of a trace, and exchanging some of them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np

from tinygrad_rnn.compiler.frontend.tracer import Value, mapped

if TYPE_CHECKING:
    from tinygrad_rnn.compiler.frontend.trace import Trace

GROUPS = ("results", "state_gradients", "input_gradients", "parameter_gradients")
"""The outputs of a trace."""


def ordered(outputs: list[Value]) -> list[Value]:
    """All values that the outputs depend on, each after its operands. Iterative."""
    done: dict[Value, None] = {}
    waiting: list[tuple[Value, bool]] = [(v, False) for v in reversed(outputs)]
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


def rewritten(value: Value, new: dict[Value, Value]) -> Value:
    """The value with its operands exchanged; itself, if they are the same."""
    if all(new[v] is v for v in value.operands):
        return value
    args, kwargs = mapped((value.args, value.kwargs), lambda leaf: exchanged(leaf, new))
    return Value(value.sample, value.name, value.function, args, kwargs)


def exchanged(leaf: Any, new: dict[Value, Value]) -> Any:
    if isinstance(leaf, slice):
        return slice(*(exchanged(part, new) for part in (leaf.start, leaf.stop, leaf.step)))
    return new[leaf] if isinstance(leaf, Value) else leaf


def identity(leaf: Any) -> Any:
    """What makes two arguments the same."""
    if isinstance(leaf, tuple | list):
        return (type(leaf), *map(identity, leaf))
    if isinstance(leaf, dict):
        return tuple((key, identity(part)) for key, part in leaf.items())
    if isinstance(leaf, Value | np.ndarray):
        return id(leaf)
    return (type(leaf), repr(leaf))


def reached(values: list[Value], start: Iterable[Value | None]) -> set[Value]:
    """The values among these, in order, that depend on one of `start`; those included."""
    found = {value for value in start if value is not None}
    for value in values:
        if any(operand in found for operand in value.operands):
            found.add(value)
    return found


def computed(function: Any, left: Any, right: Any) -> Value:
    samples = [v.sample if isinstance(v, Value) else v for v in (left, right)]
    return Value(function(*samples), "", function, (left, right))


def total(terms: list[Any]) -> Any:
    result = terms[0]
    for term in terms[1:]:
        result = computed(np.add, result, term)
    return result


def unread(trace: Trace) -> set[Value]:
    """The parts of the state that no step reads: outputs."""
    groups = (getattr(trace, group) for group in GROUPS)
    read = ordered([v for group in groups for v in group if v is not None])
    return set(trace.states) - set(read)


def recurring(trace: Trace) -> list[Value]:
    """What the next state is computed from."""
    outputs = unread(trace)
    pairs = zip(trace.states, trace.results, strict=True)
    return ordered([result for state, result in pairs if state not in outputs])
