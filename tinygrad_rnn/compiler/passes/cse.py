"""Common-subexpression elimination: equal calls on equal arguments become one call."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from tinygrad_rnn.compiler.ir import StepGraph, Value
from tinygrad_rnn.compiler.passes.rewrite import identity, ordered, rewritten, substituted


def cse(graph: StepGraph) -> StepGraph:
    """Make each call once. It takes the first name among its duplicates."""
    order = ordered(graph.outputs())
    names: dict[int, str] = {}
    keyed(order, names)  # a name may come with the last of equal calls
    return substituted(graph, keyed(order, names))


def keyed(order: list[Value], names: dict[int, str]) -> dict[Value, Value]:
    """For each value, the value that replaces it. names: the names of the calls in order; the
    function fills it."""
    new: dict[Value, Value] = {}
    known: dict[Any, Value] = {}
    places: dict[Value, int] = {}
    for value in order:
        if value.function is None:
            new[value] = value
            continue
        fresh = rewritten(value, new)
        key = (fresh.function, identity(fresh.args), identity(fresh.kwargs))
        same = known.get(key)
        if same is None:
            places[fresh] = place = len(known)
            names[place] = names.get(place) or fresh.name
            if names[place] != fresh.name:
                fresh = replace(fresh, name=names[place])
                places[fresh] = place
            known[key] = same = fresh
        elif value.name and not names[places[same]]:
            names[places[same]] = value.name
        new[value] = same
    return new
