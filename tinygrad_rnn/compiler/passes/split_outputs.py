"""The pass `split_outputs`. Outputs are parts of the state that no step reads, such as the loss.

The recurrence does not need the outputs, so they are computed for all steps at once, after the
loop. Their gradients are known before the backward loop begins.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from tinygrad_rnn.compiler.ir import StepGraph, Value
from tinygrad_rnn.compiler.passes.rewrite import alike, exchange
from tinygrad_rnn.compiler.schedule import schedule
from tinygrad_rnn.compiler.views import source


def split_outputs(graph: StepGraph) -> StepGraph:
    """Move the contribution E_t of a step's outputs to ∂L/∂h_t out of the loop. The gradient that
    enters the step is then the sum of the caller's gradient and E_t.
    """
    if not graph.unread:
        return graph
    before = schedule(graph).backward.before
    new: dict[Value, Value] = {}
    adjoints, output_grads = list(graph.adjoints), dict(graph.output_grads)
    for n, (state, adjoint) in enumerate(zip(graph.states, graph.adjoints, strict=True)):
        if adjoint is None or state in graph.unread or graph.uses[adjoint] != 1:
            continue
        total = next((v for v in graph.order if adjoint in v.operands), adjoint)
        if total.function is not np.add or total.kwargs:
            continue
        (added,) = (v for v in total.args if v is not adjoint)
        if alike(added, adjoint) and source(added) in before:
            given = Value(total.shape, total.dtype, adjoint.name)
            new[total] = adjoints[n] = given
            output_grads[n] = added
    return exchange(replace(graph, adjoints=tuple(adjoints), output_grads=output_grads), new)
