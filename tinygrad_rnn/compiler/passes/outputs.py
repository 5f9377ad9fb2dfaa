"""Outputs: parts of the state that no step reads, such as the loss at each step.

The recurrence can do without them, so they are computed for all steps at once, after the loop;
and the gradients that come from them are known before the loop back begins.
"""

from __future__ import annotations

import numpy as np

from tinygrad_rnn.compiler.emitter.batch import source
from tinygrad_rnn.compiler.emitter.dependence import Dependence
from tinygrad_rnn.compiler.frontend.trace import Trace
from tinygrad_rnn.compiler.passes.rewrite import unread


def gather(trace: Trace) -> None:
    """Take what a step's outputs add to ∂L/∂h_t, E_t, off the loop: the gradient that enters the
    step is then the caller's and E_t together. Rewrites the trace in place.
    """
    if not unread(trace):
        return
    known = Dependence(trace, windows=False)
    for n, (state, adjoint) in enumerate(zip(trace.states, trace.adjoints, strict=True)):
        if adjoint is None or state in known.outputs or known.uses[adjoint] != 1:
            continue
        total = next((v for v in known.order if adjoint in v.operands), adjoint)
        if total.function is not np.add or total.kwargs:
            continue
        added = next((v for v in total.operands if v is not adjoint), adjoint)
        if (
            known.depends[added] >= {"o"}
            and "g" not in known.depends[added]
            and known.outside(source(added))
            and known.uses[added] == 1
            and added.shape == total.shape == adjoint.shape
            and added.dtype == total.dtype == adjoint.dtype
        ):
            total.function, total.args, total.name = None, (), adjoint.name
            trace.adjoints[n], trace.added[n] = total, added
