"""A trace made shorter before it is sorted: the same call once, sums regrouped, parts assembled.

Each is a law of arithmetic and not of recurrent networks:
- two equal calls on equal arguments are one;
- in a sum, what does not depend on the state is added up first, so that it can leave the loop; or
  it is joined to the rest as one product, see `joining.py`;
- g·a·b is g·(a·b), g − g·a is g·(1 − a), and g·a + (−g·b) is g·(a − b): what multiplies a
  gradient is then one factor, which does not need the gradient and can leave the loop;
- the parts of a gradient that slicing scatters into zeros are one array, each in its place.
"""

from __future__ import annotations

from typing import Any

from tinygrad_rnn.compiler.frontend.trace import Trace
from tinygrad_rnn.compiler.frontend.tracer import Value
from tinygrad_rnn.compiler.passes.assembly import assembling
from tinygrad_rnn.compiler.passes.rewrite import GROUPS, identity, ordered, rewritten
from tinygrad_rnn.compiler.passes.sums_and_factors import factoring, regrouping


def simplify(trace: Trace) -> None:
    """Rewrite the outputs of the trace in place."""
    outputs = [v for group in GROUPS for v in getattr(trace, group) if v is not None]
    for law in (once, assembling, once, regrouping, factoring, once):
        new = law(outputs, trace)
        for group in GROUPS:
            values = [v if v is None else new[v] for v in getattr(trace, group)]
            setattr(trace, group, values)
        outputs = [v for group in GROUPS for v in getattr(trace, group) if v is not None]


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
