"""Freezing: from the trace of a cell, which grows while the cell runs, to the step graph."""

from __future__ import annotations

from typing import Any

import numpy as np

from tinygrad_rnn.compiler.frontend.trace import Trace
from tinygrad_rnn.compiler.frontend.values import Value as Traced
from tinygrad_rnn.compiler.ir import StepGraph, Value, mapped, ordered

GROUPS = (
    *("inputs", "states", "parameters", "results", "adjoints"),
    *("state_gradients", "input_gradients", "parameter_gradients"),
)
"""The fields that a trace and a step graph have in common."""


def frozen(trace: Trace, loss_alone: bool = False, windows: bool = False) -> StepGraph:
    """The trace as a step graph, with shapes and dtypes in place of the sample's numbers."""
    new: dict[Any, Any] = {}

    def of(leaf: Any) -> Any:
        return new[leaf] if isinstance(leaf, Traced) else leaf

    groups = {name: getattr(trace, name) for name in GROUPS}
    for value in ordered([v for values in groups.values() for v in values if v is not None]):
        several = None
        if isinstance(value.sample, tuple | list):
            several = tuple((np.shape(part), np.asarray(part).dtype) for part in value.sample)
        args, kwargs = mapped((tuple(value.args), dict(value.kwargs)), of)
        shape, dtype = (value.shape, value.dtype) if several is None else several[0]
        new[value] = Value(shape, dtype, value.name, value.function, args, kwargs, several)
    new[None] = None
    fields: dict[str, Any] = {
        name: tuple([new[v] for v in values]) for name, values in groups.items()
    }
    return StepGraph(**fields, loss_alone=loss_alone, windows=windows)
