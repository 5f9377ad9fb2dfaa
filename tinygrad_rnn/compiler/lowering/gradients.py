"""Emit ∂L/∂h_t at the head of the backward loop, and ∂L/∂h_0 after it.

d: the draft of the program.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from tinygrad_rnn.compiler.ir import Buffer, Instr, Ref, Storage, Value, When
from tinygrad_rnn.compiler.lowering.draft import Draft
from tinygrad_rnn.compiler.lowering.places import Place, is_contiguous
from tinygrad_rnn.compiler.operations import copy, over_lanes, with_end
from tinygrad_rnn.compiler.views import columns, first_axis, is_view

FEW = 256
"""Up to this many numbers a step, a view of the caller's array costs more than a copy."""


def given_whole(d: Draft, adjoint: Value, seed: Buffer, end: Buffer) -> None:
    """The gradient of an output, including the gradient that enters behind the last step."""
    if adjoint not in d.s.depends or adjoint not in d.s.order:
        return
    made = d.buffer(f"{seed.name}_all", adjoint.shape, adjoint.dtype, Storage.RESULT, 0)
    d.places[adjoint] = Place(made)
    whole = Place(seed).whole()
    d.ways[1].before.append(Instr(with_end, (whole, Ref(end)), d.places[adjoint].whole()))


def given_gradient(d: Draft, n: int) -> Ref:
    """∂L/∂h_t of all steps without the link's part: the caller's gradient, if there is one, plus
    the contribution of the step's outputs, if it has outputs."""
    if n not in d.graph.output_grads:
        return Place(d.seeds[n]).whole()

    def made() -> Ref:
        value, seed, lines = d.graph.output_grads[n], d.seeds[n], d.ways[1].before
        place = d.place(value, 1, whole=True)
        kept = (Storage.SCRATCH, Storage.KEPT)
        if is_view(value) or place.buffer.storage not in kept or place.views:
            new = d.buffer(f"{seed.name}_here", value.shape, value.dtype, Storage.SCRATCH, 0)
            lines.append(Instr(copy, (d.whole(value, 1),), Place(new).whole()))
            place = Place(new)
        here = place.whole()
        if not d.graph.loss_alone:
            given = Place(seed).whole()
            lines.append(Instr(np.add, (here, given), here, guard=given))
        return here

    return d.once(("given", n), made)


def begin_fused(d: Draft, n: int) -> None:
    """Fill the rows [δ_{t+1}, g_t] before the loop."""
    fused, made, lines = d.graph.fused_adjoints[n], d.fused[n], d.ways[1].before
    if d.graph.output_grads.get(n) is fused.appended:
        given = d.whole(fused.appended, 1)
    else:
        given = given_gradient(d, n)
    lines.append(Instr(copy, (given,), d.appended[n].whole()))
    left = columns(0, fused.row.shape[-1], made.shape[-1])
    last = Ref(made, When.LAST, 1, (left,))
    end = Ref(d.ends[n])
    lines.append(Instr(copy, (end if fused.is_complete else 0,), last))
    if d.links[n] is None and not fused.is_complete:
        here = d.appended[n].at(When.LAST, 1)
        lines.append(Instr(np.add, (here, end), here, guard=end))


def head(d: Draft, adjoint: Value) -> None:
    """∂L/∂h_t as it enters a step: the sum of the loss at t and of the link from the step after
    it."""
    graph, n = d.graph, d.graph.adjoints.index(adjoint)
    lines = d.ways[1]
    link = d.links[n]
    fused, windows = n in graph.fused_adjoints, graph.windows
    loss: Ref | None = None
    if not fused and not (link is not None and nothing_is_given(d, n)):
        loss = loss_of_step(d, n, adjoint)
    if windows and loss is not None:
        loss = replace(loss, seeded=True)
    stored = adjoint in d.places
    if not fused and link is None and not stored and not windows:
        assert loss is not None
        d.places[adjoint] = Place(loss.buffer, loss.offset, name=adjoint.name)
        return
    if not stored:
        d.places[adjoint] = d.for_value(adjoint, None, Storage.SCRATCH)
    out = d.places[adjoint].step()
    if fused:
        matrix = d.constant(graph.fused_adjoints[n].matrix, 1).step()
        row = Ref(d.fused[n], When.STEP, 1)
        product = np.dot if is_contiguous(out) else np.matmul
        lines.loop.append(Instr(product, (row, matrix), out))
        if link is not None:
            lines.loop.append(Instr(np.add, (out, Ref(link)), out))
    elif link is not None and loss is not None:
        lines.loop.append(Instr(np.add, (Ref(link), loss), out))
    else:
        given = loss if loss is not None else Ref(link) if link is not None else 0
        lines.loop.append(Instr(copy, (given,), out))


def loss_of_step(d: Draft, n: int, adjoint: Value) -> Ref:
    """The contribution of the loss at a step to the gradient of the state."""
    lines, link, seed, end = d.ways[1], d.links[n], d.seeds[n], Ref(d.ends[n])
    windows = d.graph.windows
    if n in d.graph.output_grads:
        given = given_gradient(d, n)
        if link is None:
            last = replace(given, when=When.LAST)
            lines.before.append(Instr(np.add, (last, end), last, guard=end))
        return replace(given, when=When.STEP)
    if adjoint in d.places and d.places[adjoint].buffer.storage is Storage.RESULT:
        return d.places[adjoint].step()
    if (link is None and not windows) or (adjoint.ndim and adjoint.size <= FEW):
        made = d.buffer(f"{seed.name}_here", adjoint.shape, adjoint.dtype, Storage.SCRATCH, 0)
        here = Place(made, name=seed.name)
        lines.before.append(Instr(copy, (Place(seed).whole(),), here.whole()))
        if link is None and not windows:
            last = here.at(When.LAST, 0)
            lines.before.append(Instr(np.add, (last, end), last, guard=end))
        return here.step()
    return Place(seed).step()


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
            function = over_lanes if graph.windows else np.copy
            lines = [Instr(function, (Ref(link),), out)]
            entry, block_entry = entry + lines, block_entry + lines
            continue
        width = fused.row.shape[-1]
        left = columns(0, width, d.fused[n].shape[-1])
        first = Ref(d.fused[n], When.FIRST, 0, (left,))
        matrix = d.constant(fused.matrix, 1).step()
        above = replace(matrix, views=(first_axis(0, width, fused.matrix.shape[0]),))
        lines = [Instr(np.matmul, (first, above), out)]
        if link is not None:
            lines.append(Instr(np.add, (out, Ref(link)), out))
        entry = entry + lines
        block_entry = block_entry + (
            [Instr(np.copy, (first,), out)] if fused.is_complete else lines
        )
    return found, entry, block_entry
