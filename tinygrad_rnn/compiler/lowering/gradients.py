"""Emit ∂L/∂h_t at the head of the backward loop, and the gradients that the function returns.

d: the draft of the program.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from tinygrad_rnn.compiler.ir import CONTINUED, OWN, Instr, Ref, Storage, Value, View, When
from tinygrad_rnn.compiler.lowering.calls import summed
from tinygrad_rnn.compiler.lowering.draft import Draft, at_one_step, seen
from tinygrad_rnn.compiler.operations import copy, entered, over_lanes, with_end, with_given
from tinygrad_rnn.compiler.views import at_all_steps, columns, span

FEW = 256
"""Up to this many numbers a step, a view of the caller's array costs more than a copy."""


def seed(d: Draft, n: int) -> Ref:
    """∂L/∂h_t of all steps without the link's part: the contribution of the step's outputs, what
    the caller gives, and, where there is no link, what enters behind the last step."""

    def bound(function: object, *args: Ref) -> Ref:
        name = f"{d.seeds[n].name}_all"
        made = d.buffer(name, d.seeds[n].shape, args[0].dtype, Storage.RESULT, 0)
        d.ways[1].before.append(Instr(function, args, at_all_steps(at_one_step(made))))  # type: ignore[arg-type]
        return at_all_steps(at_one_step(made))

    def made() -> Ref:
        found = given = at_all_steps(at_one_step(d.seeds[n], d.seeds[n].name))
        if n in d.graph.output_grads:
            found = d.whole(d.graph.output_grads[n], 1)
            found = found if d.graph.loss_alone else bound(with_given, found, given)
        return found if d.links[n] or d.graph.windows else bound(with_end, found, Ref(d.ends[n]))

    return d.once(("seed", n), made)


def left(d: Draft, n: int, when: When, offset: int) -> Ref:
    """The place of δ in the rows [δ_{t+1}, g_t]."""
    row, buffer = d.graph.fused_adjoints[n].row, d.fused[n]
    view = columns(0, row.shape[-1], buffer.shape[-1])
    return Ref(buffer, when, offset, (view,), name=d.hint(row))


def begin_fused(d: Draft, n: int) -> None:
    """Make the rows [δ_{t+1}, g_t], and fill them before the loop."""
    fused, lines = d.graph.fused_adjoints[n], d.ways[1].before
    row, appended = fused.row, fused.appended
    width = row.shape[-1] + appended.shape[-1]
    hint = f"{d.hint(row)}_dL_d{d.state_names[n]}"
    made = d.buffer(hint, (*row.shape[:-1], width), row.dtype, Storage.SCRATCH, 1)
    d.fused[n] = made
    right = Ref(made, When.ALL, 1, (columns(row.shape[-1], width, width),))
    given = d.whole(appended, 1) if fused.is_complete else seed(d, n)
    lines.append(Instr(copy, (given,), at_all_steps(replace(right, when=When.STEP))))
    end = Ref(d.ends[n]) if fused.is_complete else 0
    lines.append(Instr(copy, (end,), left(d, n, When.LAST, 1)))


def head(d: Draft, adjoint: Value) -> None:
    """∂L/∂h_t as it enters a step: the sum of the loss at t and of the link from the step after
    it."""
    graph, lines, n = d.graph, d.ways[1].loop, d.graph.adjoints.index(adjoint)
    fused = graph.fused_adjoints.get(n)
    terms = [Ref(link) for link in (d.links[n],) if link is not None]
    if fused is None and not (terms and nothing_is_given(d, n)):
        loss = replace(loss_of_step(d, n, adjoint), seeded=graph.windows)
        if not terms and adjoint not in d.s.saved and not graph.windows:
            d.places[None, adjoint] = replace(loss, name=adjoint.name)
            return
        terms.append(loss)
    out = d.place_for(adjoint, 1, at_once=False, writes=True)
    if fused is not None:
        row = Ref(d.fused[n], When.STEP, 1)
        lines.append(Instr(np.dot, (row, d.place(fused.matrix, 1)), out))
        lines += [Instr(np.add, (out, link), out) for link in terms]
    else:
        lines.append(Instr(np.add if terms[1:] else copy, tuple(terms), out))


def loss_of_step(d: Draft, n: int, adjoint: Value) -> Ref:
    """The contribution of the loss at a step to the gradient of the state."""
    given = seed(d, n)
    if given.buffer.storage not in OWN and adjoint.ndim and adjoint.size <= FEW:
        hint = f"{d.seeds[n].name}_here"
        made = d.buffer(hint, adjoint.shape, adjoint.dtype, Storage.SCRATCH, 0)
        here = at_one_step(made, d.seeds[n].name)
        d.ways[1].before.append(Instr(copy, (given,), at_all_steps(here)))
        return here
    return replace(given, when=When.STEP)


def nothing_is_given(d: Draft, n: int) -> bool:
    """Whether the gradient of a state comes only from the steps after it."""
    outputs = (i for i, state in enumerate(d.graph.states) if state in d.graph.unread)
    given = n in (*d.graph.output_grads, *outputs) or n == len(d.graph.states) - 1
    return d.graph.loss_alone and not given and not d.graph.windows


def of_state(d: Draft, n: int) -> Ref | None:
    """The gradient of a state that enters the first step."""
    graph, link, lines = d.graph, d.links[n], d.ways[1].after
    fused = graph.fused_adjoints.get(n)
    if link is None and fused is None:
        return None
    out = d.result(f"d{d.state_names[n]}_0", graph.states[n])
    if fused is None:
        assert link is not None
        lines.append(Instr(over_lanes if graph.windows else np.array, (Ref(link),), out))
        return out
    above = View("index", (span(0, fused.row.shape[-1], fused.matrix.shape[0]),))
    args = left(d, n, When.FIRST, 0), seen(d.place(fused.matrix, 1), above)
    if fused.is_complete:
        lines.append(Instr(entered, (*args, CONTINUED), out))
    else:
        lines.append(Instr(np.dot, args, out))
    if link is not None:
        lines.append(Instr(np.add, (out, Ref(link)), out))
    return out


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
        name = f"d{parameter.name}"
        place = summed(d, call, name)
        if place in found:  # as for a second bias
            known, place = place, d.result(name, call.value)
            d.ways[1].after.append(Instr(np.copy, (known,), place))
        found.append(place)
    return found
