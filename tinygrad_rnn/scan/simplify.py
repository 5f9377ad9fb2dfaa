"""A trace made shorter before it is sorted: the same call once, sums regrouped, parts assembled.

Each is a law of arithmetic and not of recurrent networks:
- two equal calls on equal arguments are one;
- in a sum, what does not depend on the state is added up first, so that it can leave the loop;
- g·a·b is g·(a·b), and g − g·a is g·(1 − a): what multiplies a gradient is then one factor,
  which does not need the gradient and can leave the loop;
- the parts of a gradient that slicing scatters into zeros are one array, each in its place.
"""

from __future__ import annotations

import operator
from collections import Counter
from typing import Any

import numpy as np

from tinygrad_rnn.derivatives.indexing import is_basic
from tinygrad_rnn.scan.trace import Trace
from tinygrad_rnn.scan.traced import Value, added_at, filled, mapped, placed

GROUPS = ("results", "state_gradients", "input_gradients", "parameter_gradients")


def assembled(shape: Any, dtype: Any, indices: Any, parts: Any) -> Any:
    """An array put together from its parts, zero where there is none."""
    total = np.zeros(shape, dtype)
    for index, part in zip(indices, parts, strict=True):
        total[index] = part
    return total


def simplify(trace: Trace) -> None:
    """Rewrite the outputs of the trace in place."""
    outputs = [v for group in GROUPS for v in getattr(trace, group) if v is not None]
    for law in (once, assembling, once, regrouping, factoring, once):
        new = law(outputs, trace)
        for group in GROUPS:
            values = [v if v is None else new[v] for v in getattr(trace, group)]
            setattr(trace, group, values)
        outputs = [v for group in GROUPS for v in getattr(trace, group) if v is not None]


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


def once(outputs: list[Value], trace: Trace) -> dict[Value, Value]:
    new: dict[Value, Value] = {}
    known: dict[Any, Value] = {}
    for value in ordered(outputs):
        if value.function is None:
            new[value] = value
            continue
        fresh = rewritten(value, new)
        same = known.setdefault(
            (fresh.function, identity(fresh.args), identity(fresh.kwargs)), fresh
        )
        same.name = same.name or value.name
        new[value] = same
    return new


def is_zeros(value: Any) -> bool:
    return isinstance(value, Value) and value.function is filled and value.args[1] == 0


def assembling(outputs: list[Value], trace: Trace) -> dict[Value, Value]:
    new: dict[Value, Value] = {}
    for old in ordered(outputs):
        value = rewritten(old, new) if old.function is not None else old
        if value.function is np.add:
            left, right = value.args
            for part, zeros in ((left, right), (right, left)):
                if (
                    isinstance(zeros, Value)
                    and zeros.function is operator.getitem
                    and is_zeros(zeros.args[0])
                    and isinstance(part, Value)
                    and part.shape == value.shape
                ):
                    value = part
                    break
            else:
                if is_assembled(left) and is_assembled(right) and disjoint(left, right):
                    value = assembly(
                        value, left.args[2] + right.args[2], [*left.args[3], *right.args[3]]
                    )
        elif value.function is placed and is_zeros(value.args[0]) and is_basic(value.args[1]):
            part = value.args[2]
            if isinstance(part, Value):
                value = assembly(value, (value.args[1],), [part])
        new[old] = value
    return new


def assembly(value: Value, indices: tuple[Any, ...], parts: list[Value]) -> Value:
    args = (value.shape, value.dtype, tuple(indices), parts)
    return Value(value.sample, value.name, assembled, args)


def is_assembled(value: Any) -> bool:
    return isinstance(value, Value) and value.function is assembled


def disjoint(left: Value, right: Value) -> bool:
    """Whether no place is in both: counted, for slices may overlap in many ways."""
    counts = np.zeros(left.shape, np.int8)
    for value in (left, right):
        for index in value.args[2]:
            counts[index] += 1
    return bool(counts.max(initial=0) <= 1)


def covers(value: Value) -> bool:
    """Whether the parts of an assembly leave no place open."""
    counts = np.zeros(value.shape, np.int8)
    for index in value.args[2]:
        counts[index] += 1
    return bool(counts.min(initial=1) >= 1)


def regrouping(outputs: list[Value], trace: Trace) -> dict[Value, Value]:
    """a + b + c with what does not depend on the state first: it is then one term in the loop."""
    values = ordered(outputs)
    uses = Counter(id(v) for value in values for v in value.operands)
    uses.update(id(v) for v in outputs)
    state = set(trace.states)
    for value in values:
        if any(v in state for v in value.operands):
            state.add(value)
    adjoint = {v for v in trace.adjoints if v is not None}
    for value in values:
        if any(v in adjoint for v in value.operands):
            adjoint.add(value)
    inner = {
        id(v)
        for value in values
        if value.function is np.add
        for v in value.operands
        if v.function is np.add and uses[id(v)] == 1
    }
    new: dict[Value, Value] = {}
    for value in values:
        fresh = rewritten(value, new) if value.function is not None else value
        if value.function is np.add and value in state - adjoint and id(value) not in inner:
            terms = terms_of(value, uses)
            light = [t for t in terms if t not in state]
            heavy = [t for t in terms if t in state]
            if light and heavy and len(terms) > 2:
                together = total([new.get(t, t) if isinstance(t, Value) else t for t in light])
                loop = total([new[t] for t in heavy])
                fresh = Value(value.sample, value.name, np.add, (loop, together))
        new[value] = fresh
    return new


def factoring(outputs: list[Value], trace: Trace) -> dict[Value, Value]:
    """Gradients as one gradient times one factor, as far as nobody wants what is in between."""
    values = ordered(outputs)
    uses = Counter(v for value in values for v in value.operands)
    uses.update(outputs)
    adjoint = {v for v in trace.adjoints if v is not None}
    for value in values:
        if any(v in adjoint for v in value.operands):
            adjoint.add(value)
    new: dict[Value, Value] = {}
    factors: dict[Value, tuple[Value, Any]] = {}  # of a product: the gradient and its factor

    def opened(value: Any) -> tuple[Any, Any]:
        """A gradient and its factor; None for 1. Opened only if this is its only use."""
        return factors.get(value, (new[value], None)) if uses[value] <= 1 else (new[value], None)

    for value in values:
        fresh = rewritten(value, new) if value.function is not None else value
        if value in adjoint and value.function in (np.multiply, np.add, np.subtract):
            left, right = value.args
            found = None
            if value.function is np.multiply:
                g, a = (right, left) if right in adjoint else (left, right)
                if plain(g, value) and isinstance(a, Value) and a.shape == value.shape:
                    base, factor = opened(g)
                    factor = new[a] if factor is None else computed(np.multiply, factor, new[a])
                    found = base, factor
            elif all(v in adjoint and plain(v, value) for v in (left, right)):
                (base, a), (other, b) = factor_pair(left, right, new, opened)
                if base is other and not (a is None and b is None):
                    one = [1 if part is None else part for part in (a, b)]
                    found = base, computed(value.function, *one)
            if found is not None:
                fresh = Value(value.sample, value.name, np.multiply, found)
                factors[value] = found
        new[value] = fresh
    return new


def factor_pair(left: Value, right: Value, new: Any, opened: Any) -> Any:
    """Both sides of a sum as gradient and factor; each side may be the other's gradient itself."""
    a, b = opened(left), opened(right)
    if a[0] is new[right]:
        return a, (new[right], None)
    if b[0] is new[left]:
        return (new[left], None), b
    return a, b


def plain(part: Any, whole: Value) -> bool:
    return isinstance(part, Value) and part.shape == whole.shape and part.dtype == whole.dtype


def computed(function: Any, left: Any, right: Any) -> Value:
    samples = [v.sample if isinstance(v, Value) else v for v in (left, right)]
    return Value(function(*samples), "", function, (left, right))


def terms_of(value: Value, uses: Counter[int]) -> list[Any]:
    """The terms of a sum, opened as far as nobody else wants the partial sums."""
    terms = []
    for term in value.args:
        if isinstance(term, Value) and term.function is np.add and uses[id(term)] == 1:
            terms += terms_of(term, uses)
        else:
            terms.append(term)
    return terms


def total(terms: list[Any]) -> Any:
    result = terms[0]
    for term in terms[1:]:
        result = computed(np.add, result, term)
    return result


def is_sum_at(value: Value) -> bool:
    return value.function is added_at and is_zeros(value.args[0])
