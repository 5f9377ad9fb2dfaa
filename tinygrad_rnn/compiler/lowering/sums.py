"""Emit the gradients of inputs and parameters, after the backward loop. d: the draft of the
program."""

from __future__ import annotations

import numpy as np

from tinygrad_rnn.compiler.ir import Instr, Ref, Storage, Value
from tinygrad_rnn.compiler.lowering.calls import summed
from tinygrad_rnn.compiler.lowering.draft import Draft
from tinygrad_rnn.compiler.lowering.places import Place
from tinygrad_rnn.compiler.operations import copy


def of_input(d: Draft, gradient: Value | None) -> Ref | None:
    """The gradient of the inputs of all steps, in an array that the caller keeps."""
    if gradient is None:
        return None
    lines = d.ways[1].after
    if not d.varies(gradient):
        given = d.constant(gradient, 1).step()
        made = d.buffer("dx", gradient.shape, gradient.dtype, Storage.RETURNED, 0)
        lines.append(Instr(copy, (given,), Place(made).whole()))
        return Place(made).whole()
    place = d.place(gradient, 1, whole=True)
    if place.buffer.storage is Storage.RETURNED and not place.views:
        return place.whole()
    made = d.buffer("dx", gradient.shape, gradient.dtype, Storage.RESULT, 0)
    lines.append(Instr(np.copy, (place.whole(),), Place(made).whole()))
    return Place(made).whole()


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
