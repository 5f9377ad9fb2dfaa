"""From the trace of a cell, which is written while the cell runs, to the step graph."""

from __future__ import annotations

from typing import Any

import numpy as np

from tinygrad_rnn.compiler.frontend import tracer
from tinygrad_rnn.compiler.frontend.trace import Trace
from tinygrad_rnn.compiler.ir import StepGraph, Value, mapped
from tinygrad_rnn.compiler.operations import can_be_written
from tinygrad_rnn.compiler.passes.rewrite import ordered


def frozen(trace: Trace, loss_alone: bool = False, windows: bool = False) -> StepGraph:
    """The trace as a step graph: shapes and dtypes in the place of sample numbers."""
    new: dict[Any, Value] = {}

    def of(leaf: Any) -> Any:
        return new[leaf] if isinstance(leaf, tracer.Value) else leaf

    def group(values: Any) -> tuple[Any, ...]:
        return tuple(None if v is None else new[v] for v in values)

    given = (trace.inputs, trace.states, trace.parameters, trace.adjoints)
    wanted = (
        trace.results,
        trace.state_gradients,
        trace.input_gradients,
        trace.parameter_gradients,
    )
    everything = [v for values in (*given, *wanted) for v in values if v is not None]
    for value in ordered(everything):
        several = None
        if isinstance(value.sample, tuple | list):
            several = tuple((np.shape(part), np.asarray(part).dtype) for part in value.sample)
        if value.function is not None and not can_be_written(value.function):
            raise tracer.TraceError(
                f"{getattr(value.function, '__name__', value.function)} is no NumPy function, and "
                f"cannot stand in a program of NumPy calls: write it in NumPy, or use tg.unroll"
            )
        args, kwargs = mapped((tuple(value.args), dict(value.kwargs)), of)
        shape, dtype = (value.shape, value.dtype) if several is None else several[0]
        new[value] = Value(shape, dtype, value.name, value.function, args, kwargs, several)
    inputs, states, parameters, adjoints = map(group, given)
    results, state_gradients, input_gradients, parameter_gradients = map(group, wanted)
    return StepGraph(
        inputs=inputs,
        states=states,
        parameters=parameters,
        results=results,
        adjoints=adjoints,
        state_gradients=state_gradients,
        input_gradients=input_gradients,
        parameter_gradients=parameter_gradients,
        loss_alone=loss_alone,
        windows=windows,
    )
