"""Lowering: each call of a schedule becomes an instruction, and each value gets a buffer.

Every computed value has a buffer of its own. What has to be somewhere else, too, is copied there: a
result to the states of all steps, a part to its row [h_{t−1}, x_t, 1]. `coalesce` then takes the
copies away, and `allocate` lets buffers share memory.
"""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np

from tinygrad_rnn.compiler.ir import Instr, Phase, Program, Ref, Schedule, Storage, When
from tinygrad_rnn.compiler.lowering import gradients
from tinygrad_rnn.compiler.lowering.calls import emit
from tinygrad_rnn.compiler.lowering.draft import Draft, at_one_step
from tinygrad_rnn.compiler.operations import copy
from tinygrad_rnn.compiler.views import at_all_steps


def lower(schedule: Schedule, title: str = "") -> Program:
    """The program of a schedule, each value with a buffer of its own."""
    d = Draft(schedule)
    graph = d.graph
    forward(d)
    result = backward(d)
    instrs = itertools.chain(d.setup, *d.ways[0], *d.ways[1])
    used = {ref.buffer for i in instrs for ref in (*i.reads(), *i.writes())}
    used |= {*d.initial, *d.inputs, *d.parameters, *d.ends, *d.seeds, *filter(None, d.links)}
    used |= {place.buffer for place in d.after}
    program = Program(
        title=title,
        buffers=tuple(b for b in d.buffers if b in used),
        setup=tuple(d.setup),
        forward=d.sections(0, tuple(map(at_all_steps, d.after))),
        backward=d.sections(1, result),
        initial=d.initial,
        inputs=d.inputs,
        parameters=d.parameters,
        ends=d.ends,
        seeds=d.seeds,
        links=d.links,
        windows=graph.windows,
        outputs=frozenset(n for n, v in enumerate(graph.states) if v in d.graph.unread),
        output_grads=frozenset(graph.output_grads),
        differentiated=tuple(adjoint is not None for adjoint in graph.adjoints),
    )
    return with_kept(program)


def with_kept(program: Program) -> Program:
    """The program with the storage `KEPT` for what is set up, and for what `backward` reads of
    `forward`."""
    set_up, ahead = (
        {out.buffer for instr in instrs for out in instr.writes()}
        for instrs in (program.setup, program.forward.all())
    )
    kept = {ref.buffer for instr in program.backward.all() for ref in instr.reads()} & ahead
    new = {
        b: replace(b, storage=Storage.KEPT)
        if b in kept | set_up and b.storage in (Storage.SCRATCH, Storage.RESULT)
        else b
        for b in program.buffers
    }
    return program.rewritten(tuple(new.values()), lambda ref: replace(ref, buffer=new[ref.buffer]))


def forward(d: Draft) -> None:
    """Emit the sections of the function `forward`."""
    lines, way = d.ways[0], d.s.forward
    # These come first. The last state of a block may be given as the first of the next one, in the
    # same array.
    for place, initial in zip(d.before, d.initial, strict=True):
        lines.before.append(Instr(copy, (Ref(initial),), Ref(place.buffer, When.FIRST)))
    for phase in (Phase.CONSTANT, Phase.BEFORE, Phase.LOOP):
        for value in way.of(phase):
            emit(d, value, 0, phase)
    results = list(zip(d.graph.states, d.graph.results, d.after, strict=True))
    for state, result, after in results:
        if state not in d.graph.unread:
            lines.loop.append(Instr(copy, (d.place(result, 0),), after))
    for value in way.after:
        emit(d, value, 0, Phase.AFTER)
    for state, result, after in results:
        if state in d.graph.unread:
            lines.after.append(Instr(copy, (d.whole(result, 0),), at_all_steps(after)))


def backward(d: Draft) -> tuple[Ref | None, ...]:
    """Emit the sections of the function `backward`. Returns its return values."""
    graph, lines, way = d.graph, d.ways[1], d.s.backward
    for n, (state, adjoint) in enumerate(zip(graph.states, graph.adjoints, strict=True)):
        if adjoint is not None and state in d.graph.unread and not graph.windows:
            d.places[None, adjoint] = replace(gradients.seed(d, n), when=When.STEP)
    for phase in (Phase.CONSTANT, Phase.BEFORE):
        for value in way.of(phase):
            emit(d, value, 1, phase)
    for n in graph.fused_adjoints:
        gradients.begin_fused(d, n)
    for adjoint in way.loop:
        if adjoint.function is None:
            gradients.head(d, adjoint)
    for n, link in enumerate(d.links):
        if link is not None and not graph.windows:
            lines.before.append(Instr(copy, (Ref(d.ends[n]),), Ref(link)))
    for value in way.loop:
        if value.function is not None:
            emit(d, value, 1, Phase.LOOP)
    for value in way.loop:
        if value in d.s.saved and d.is_lane_sum(value):
            made = d.buffer(d.hint(value), value.shape, value.dtype, Storage.SCRATCH, 0)
            here = d.lane_sums[value] = at_one_step(made, value.name)
            lines.before.append(Instr(copy, (0,), at_all_steps(here)))
            lines.loop.append(Instr(np.add, (here, d.place(value, 1)), here))
    for n, fused in graph.fused_adjoints.items():
        lines.loop.append(Instr(copy, (d.place(fused.row, 1),), gradients.left(d, n, When.STEP, 0)))
    for gradient, link in zip(graph.state_gradients, d.links, strict=True):
        if gradient is not None and link is not None:
            lines.loop.append(Instr(copy, (d.place(gradient, 1),), Ref(link)))
    for value in way.after:
        emit(d, value, 1, Phase.AFTER)
    inputs = [gradients.of_input(d, gradient) for gradient in graph.input_gradients]
    parameters = gradients.of_parameters(d)
    return (*(gradients.of_state(d, n) for n in range(len(d.links))), *inputs, *parameters)
