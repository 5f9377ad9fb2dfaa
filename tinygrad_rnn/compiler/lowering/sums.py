"""Emit the gradients of inputs and parameters, after the backward loop. d: the draft of the
program."""

from __future__ import annotations

import numpy as np

from tinygrad_rnn.compiler.ir import Instr, Ref, Storage, Value
from tinygrad_rnn.compiler.lowering.calls import summed
from tinygrad_rnn.compiler.lowering.draft import Draft, at_one_step
from tinygrad_rnn.compiler.operations import copy
from tinygrad_rnn.compiler.views import at_all_steps


def of_input(d: Draft, gradient: Value | None) -> Ref | None:
    """The gradient of the inputs of all steps, in an array that the caller keeps."""
    if gradient is None:
        return None
    made = d.buffer("dx", gradient.shape, gradient.dtype, Storage.RETURNED, 0)
    out = at_all_steps(at_one_step(made))
    d.ways[1].after.append(Instr(copy, (d.whole(gradient, 1),), out))
    return out


def of_parameters(d: Draft) -> list[Ref | None]:
    """The gradients of the parameters, each in an array of its own."""
    found: list[Ref | None] = []
    for parameter, call in zip(d.parameters, d.s.sums, strict=True):
        if call is None:
            found.append(None)
            continue
        out = d.result(f"d{parameter.name}", call.value)
        known = summed(d, call, out)
        if known is not out:  # as for a second bias
            d.ways[1].after.append(Instr(np.copy, (known,), out))
        found.append(out)
    return found
