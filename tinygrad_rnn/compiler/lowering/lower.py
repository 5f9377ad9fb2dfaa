"""Lowering: each value of a schedule gets a place, and each call an instruction.

Every computed value has a buffer of its own, or a place inside another value's buffer. The parts of
a row [h_{t−1}, x_t, 1] and of an assembled gradient are written directly into it. `allocate` lets
buffers share memory afterwards.
"""

from __future__ import annotations

import itertools

import numpy as np

from tinygrad_rnn.compiler.ir import Instr, Program, Ref, Schedule, When
from tinygrad_rnn.compiler.lowering import calls, gradients, layout, sums
from tinygrad_rnn.compiler.lowering.draft import Draft
from tinygrad_rnn.compiler.operations import copy


def lower(schedule: Schedule, title: str = "") -> Program:
    """The program of a schedule, each value with a place of its own."""
    d = Draft(schedule)
    graph = d.graph
    layout.name_arguments(d)
    layout.place_states(d)
    layout.place_fused(d)
    layout.place_loops(d)
    layout.name_seeds(d)
    forward_result = forward(d)
    result, entry, block_entry = backward(d)
    instrs = itertools.chain(d.setup, entry, block_entry, *d.ways[0], *d.ways[1])
    kept = {ref.buffer for i in instrs for ref in (*i.reads(), *i.writes())}
    kept |= {*d.initial, *d.inputs, *d.parameters, *d.ends, *d.seeds, *filter(None, d.links)}
    kept |= {place.buffer for place in d.after}
    return Program(
        title=title,
        buffers=tuple(b for b in d.buffers if b in kept),
        setup=tuple(d.setup),
        forward=d.sections(0, forward_result),
        backward=d.sections(1, result),
        initial=d.initial,
        inputs=d.inputs,
        parameters=d.parameters,
        ends=d.ends,
        seeds=d.seeds,
        states=tuple(place.buffer for place in d.after),
        layouts=d.layouts,
        links=d.links,
        entry=entry,
        block_entry=block_entry,
        windows=graph.windows,
        outputs=frozenset(n for n, v in enumerate(graph.states) if v in d.s.unread),
        output_grads=frozenset(graph.output_grads),
        differentiated=tuple(adjoint is not None for adjoint in graph.adjoints),
    )


def forward(d: Draft) -> tuple[Ref | None, ...]:
    """Emit the sections of the function `forward`. Returns its return values."""
    lines, way = d.ways[0], d.s.forward
    for value in way.before:
        calls.at_once(d, value, 0, lines.before)
    for part, place in d.row_parts:
        if calls.is_before(d, part):
            lines.before.append(Instr(copy, (d.whole(part, 0),), place.whole()))
    for after, initial in zip(d.after, d.initial, strict=True):
        lines.before.append(Instr(copy, (Ref(initial),), after.at(When.FIRST, 0)))
    for value in way.loop:
        calls.in_loop(d, value, 0)
    for out, result, whole in d.copied:
        if not whole:
            lines.loop.append(Instr(copy, (d.step(result, 0),), out))
    for value in way.after:
        calls.at_once(d, value, 0, lines.after)
    for out, result, whole in d.copied:
        if whole:
            lines.after.append(Instr(copy, (d.whole(result, 0),), out))
    return tuple(after.whole() for after in d.after)


def backward(d: Draft) -> tuple[tuple[Ref | None, ...], tuple[Instr, ...], tuple[Instr, ...]]:
    """Emit the sections of the function `backward`. Returns its return values, and the instructions
    for the gradients of the initial state."""
    graph, lines, way = d.graph, d.ways[1], d.s.backward
    for state, adjoint, seed, end in zip(
        graph.states, graph.adjoints, d.seeds, d.ends, strict=True
    ):
        if adjoint is not None and state in d.s.unread and not graph.windows:
            gradients.given_whole(d, adjoint, seed, end)
    for value in way.before:
        calls.at_once(d, value, 1, lines.before)
    for n in graph.fused_adjoints:
        gradients.begin_fused(d, n)
    for adjoint in way.loop:
        if adjoint.function is None:
            gradients.head(d, adjoint)
    for n, link in enumerate(d.links):
        if link is not None and not graph.windows:
            lines.before.append(Instr(copy, (Ref(d.ends[n]),), Ref(link)))
    for place in d.lane_sums.values():
        lines.before.append(Instr(copy, (0,), place.whole()))
    for value in way.loop:
        if value.function is not None:
            calls.in_loop(d, value, 1)
    for value, place in d.lane_sums.items():
        here = place.step()
        lines.loop.append(Instr(np.add, (here, d.step(value, 1)), here))
    for gradient, link in zip(graph.state_gradients, d.links, strict=True):
        if gradient is not None and link is not None:
            lines.loop.append(Instr(copy, (d.step(gradient, 1),), Ref(link)))
    for value in way.after:
        calls.at_once(d, value, 1, lines.after)
    inputs = [sums.of_input(d, gradient) for gradient in graph.input_gradients]
    parameters = sums.of_parameters(d)
    states, entry, block_entry = gradients.of_states(d)
    return (*states, *inputs, *parameters), tuple(entry), tuple(block_entry)
