"""The pass `split_outputs`. Outputs are parts of the state that no step reads, such as the loss.

The recurrence does not need the outputs, so they are computed for all steps at once, after the
loop. Their gradients are known before the backward loop begins.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np

from tinygrad_rnn.compiler.dependence import Dependence
from tinygrad_rnn.compiler.ir import Depends, StepGraph, Value
from tinygrad_rnn.compiler.passes.rewrite import exchange
from tinygrad_rnn.compiler.views import source


def split_outputs(graph: StepGraph) -> StepGraph:
    """Move the contribution E_t of a step's outputs to ∂L/∂h_t out of the loop. The gradient that
    enters the step is then the sum of the caller's gradient and E_t.
    """
    known = Dependence(graph)
    uses: Counter[Value] = known.uses
    new: dict[Value, Value] = {}
    adjoints, output_grads = list(graph.adjoints), dict(graph.output_grads)
    for n, (state, adjoint) in enumerate(zip(graph.states, graph.adjoints, strict=True)):
        if adjoint is None or state in known.unread or uses[adjoint] != 1:
            continue
        total = next((v for v in known.order if adjoint in v.operands), adjoint)
        if total.function is not np.add or total.kwargs:
            continue
        added = next((v for v in total.operands if v is not adjoint), adjoint)
        depends = known.depends.get(added, Depends.NOTHING)
        if (
            Depends.OUTPUT_GRADIENT in depends
            and Depends.GRADIENT not in depends
            and known.at_once(source(added))
            and uses[added] == 1
            and added.shape == total.shape == adjoint.shape
            and added.dtype == total.dtype == adjoint.dtype
        ):
            given = Value(total.shape, total.dtype, adjoint.name)
            new[total] = adjoints[n] = given
            output_grads[n] = added
    if not new:
        return graph
    return exchange(replace(graph, adjoints=tuple(adjoints), output_grads=output_grads), new)
