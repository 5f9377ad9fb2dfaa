"""Common-subexpression elimination: equal calls on equal arguments become one call."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from tinygrad_rnn.compiler.ir import StepGraph, Value, mapped
from tinygrad_rnn.compiler.passes.rewrite import exchanged, transformed


def cse(graph: StepGraph) -> StepGraph:
    """Make each call once. It takes the first name among its duplicates."""
    calls: dict[Any, Value] = {}
    first: dict[Value, Value] = {}  # of the duplicates of each value
    names: dict[Value, str] = {}
    for value in graph.order:
        args = exchanged((value.args, value.kwargs), first)
        key = value if value.function is None else (value.function, identity(args))
        first[value] = same = calls.setdefault(key, value)
        names[same] = names.get(same) or value.name

    def merged(value: Value, fresh: Value, new: dict[Value, Value]) -> Value:
        if first[value] is not value:
            return new[first[value]]
        return fresh if fresh.name == names[value] else replace(fresh, name=names[value])

    return transformed(graph, merged)


def identity(args: Any) -> str:
    """A key that is equal for equal arguments."""

    def of(leaf: Any) -> Any:
        return id(leaf) if isinstance(leaf, Value | np.ndarray) else (type(leaf), leaf)

    return repr(mapped(args, of))
