"""Emit ∂L/∂h_t at the head of the backward loop, and ∂L/∂h_0 after it.

d: the draft of the program.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from tinygrad_rnn.compiler.ir import OWN, Buffer, Instr, Ref, Storage, Value, When
from tinygrad_rnn.compiler.lowering.draft import Draft, at_one_step, seen
from tinygrad_rnn.compiler.operations import copy, over_lanes, with_end
from tinygrad_rnn.compiler.views import at_all_steps, columns, first_axis, is_view

FEW = 256
"""Up to this many numbers a step, a view of the caller's array costs more than a copy."""


def given_whole(d: Draft, adjoint: Value, seed: Buffer, end: Buffer) -> None:
    """The gradient of an output, including the gradient that enters behind the last step."""
    made = d.buffer(f"{seed.name}_all", adjoint.shape, adjoint.dtype, Storage.RESULT, 0)
    d.places[adjoint] = at_one_step(made)
    given = at_all_steps(at_one_step(seed)), Ref(end)
    d.ways[1].before.append(Instr(with_end, given, at_all_steps(d.places[adjoint])))


def given_gradient(d: Draft, n: int) -> Ref:
    """∂L/∂h_t of all steps without the link's part: the caller's gradient, if there is one, plus
    the contribution of the step's outputs, if it has outputs."""
    given = at_all_steps(at_one_step(d.seeds[n]))
    if n not in d.graph.output_grads:
        return given

    def made() -> Ref:
        value, lines = d.graph.output_grads[n], d.ways[1].before
        here = d.whole(value, 1)
        if is_view(value) or here.views or here.buffer.storage not in OWN:
            new = d.buffer(f"{d.seeds[n].name}_here", value.shape, value.dtype, Storage.SCRATCH, 0)
            lines.append(Instr(copy, (here,), at_all_steps(at_one_step(new))))
            here = at_all_steps(at_one_step(new))
        if not d.graph.loss_alone:
            lines.append(Instr(np.add, (here, given), here, guard=given))
        return here

    return d.once(("given", n), made)


def left(d: Draft, n: int, when: When, offset: int) -> Ref:
    """The place of δ in the rows [δ_{t+1}, g_t]."""
    row, buffer = d.graph.fused_adjoints[n].row, d.fused[n]
    return Ref(
        buffer, when, offset, (columns(0, row.shape[-1], buffer.shape[-1]),), name=d.hint(row)
    )


def begin_fused(d: Draft, n: int) -> None:
    """Make the rows [δ_{t+1}, g_t], and fill them before the loop."""
    fused, lines = d.graph.fused_adjoints[n], d.ways[1].before
    row, appended = fused.row, fused.appended
    width = row.shape[-1] + appended.shape[-1]
    hint = f"{d.hint(row)}_dL_d{d.state_names[n]}"
    made = d.buffer(hint, (*row.shape[:-1], width), row.dtype, Storage.SCRATCH, 1)
    d.fused[n] = made
    right = Ref(made, When.STEP, 1, (columns(row.shape[-1], width, width),))
    is_appended = d.graph.output_grads.get(n) is appended
    given = d.whole(appended, 1) if is_appended else given_gradient(d, n)
    lines.append(Instr(copy, (given,), at_all_steps(right)))
    end = Ref(d.ends[n])
    lines.append(Instr(copy, (end if fused.is_complete else 0,), left(d, n, When.LAST, 1)))
    if d.links[n] is None and not fused.is_complete:
        here = replace(right, when=When.LAST)
        lines.append(Instr(np.add, (here, end), here, guard=end))


def head(d: Draft, adjoint: Value) -> None:
    """∂L/∂h_t as it enters a step: the sum of the loss at t and of the link from the step after
    it."""
    graph, n = d.graph, d.graph.adjoints.index(adjoint)
    lines, link = d.ways[1], d.links[n]
    fused, windows = n in graph.fused_adjoints, graph.windows
    loss: Ref | None = None
    if not fused and not (link is not None and nothing_is_given(d, n)):
        loss = loss_of_step(d, n, adjoint)
    if windows and loss is not None:
        loss = replace(loss, seeded=True)
    if not fused and link is None and adjoint not in d.s.saved and not windows:
        assert loss is not None
        d.places[adjoint] = replace(loss, name=adjoint.name)
        return
    out = d.place_for(adjoint, at_once=False, writes=True)
    if fused:
        matrix = d.constant(graph.fused_adjoints[n].matrix, 1)
        row = Ref(d.fused[n], When.STEP, 1)
        lines.loop.append(Instr(np.dot, (row, matrix), out))
        if link is not None:
            lines.loop.append(Instr(np.add, (out, Ref(link)), out))
    elif link is not None and loss is not None:
        lines.loop.append(Instr(np.add, (Ref(link), loss), out))
    else:
        given = loss if loss is not None else Ref(link) if link is not None else 0
        lines.loop.append(Instr(copy, (given,), out))


def loss_of_step(d: Draft, n: int, adjoint: Value) -> Ref:
    """The contribution of the loss at a step to the gradient of the state."""
    lines, end, alone = d.ways[1].before, Ref(d.ends[n]), d.links[n] is None
    seed = replace(at_one_step(d.seeds[n]), name=d.seeds[n].name)
    if n in d.graph.output_grads:
        here = replace(given_gradient(d, n), when=When.STEP)
    elif not (alone and not d.graph.windows) and not (adjoint.ndim and adjoint.size <= FEW):
        return seed
    else:
        hint = f"{seed.name}_here"
        made = d.buffer(hint, adjoint.shape, adjoint.dtype, Storage.SCRATCH, 0)
        here = at_one_step(made, seed.name)
        lines.append(Instr(copy, (at_all_steps(seed),), at_all_steps(here)))
    if alone and not d.graph.windows:
        last = replace(here, when=When.LAST)
        lines.append(Instr(np.add, (last, end), last, guard=end))
    return here


def nothing_is_given(d: Draft, n: int) -> bool:
    """Whether the gradient of a state comes only from the steps after it."""
    outputs = (i for i, state in enumerate(d.graph.states) if state in d.s.unread)
    given = n in (*d.graph.output_grads, *outputs) or n == len(d.graph.states) - 1
    return d.graph.loss_alone and not given and not d.graph.windows


def of_states(d: Draft) -> tuple[list[Ref | None], list[Instr], list[Instr]]:
    """The gradients of the states that enter the first step."""
    graph = d.graph
    entry: list[Instr] = []
    block_entry: list[Instr] = []
    found: list[Ref | None] = []
    for n, state in enumerate(graph.states):
        link, fused = d.links[n], graph.fused_adjoints.get(n)
        if link is None and fused is None:
            found.append(None)
            continue
        out = d.result(f"d{d.state_names[n]}_0", state)
        found.append(out)
        if fused is None:
            assert link is not None
            lines = [Instr(over_lanes if graph.windows else np.copy, (Ref(link),), out)]
        else:
            first, rows = left(d, n, When.FIRST, 0), fused.matrix.shape[0]
            above = first_axis(0, fused.row.shape[-1], rows)
            lines = [Instr(np.matmul, (first, seen(d.constant(fused.matrix, 1), above)), out)]
            if link is not None:
                lines.append(Instr(np.add, (out, Ref(link)), out))
        entry += lines
        complete = fused is not None and fused.is_complete
        block_entry += [Instr(np.copy, (first,), out)] if complete else lines
    return found, entry, block_entry
