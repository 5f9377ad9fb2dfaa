"""Instructions and buffers for a schedule: each value has a place, each call an instruction.

Here every value that is computed has a buffer of its own, or a place inside of another one's: the
parts of a row [h_{t−1}, x_t, 1] and of a gradient that is put together are written where they are
needed. `allocate` lets buffers share memory afterwards.
"""

from __future__ import annotations

import numpy as np

from tinygrad_rnn.compiler.ir import Buffer, Instr, Program, Ref, Schedule, Sections, When
from tinygrad_rnn.compiler.lowering.calls import Calls
from tinygrad_rnn.compiler.lowering.draft import Draft
from tinygrad_rnn.compiler.lowering.gradients import Gradients
from tinygrad_rnn.compiler.lowering.layout import Placing
from tinygrad_rnn.compiler.lowering.names import Names
from tinygrad_rnn.compiler.lowering.sums import Sums
from tinygrad_rnn.compiler.operations import copy


def lower(schedule: Schedule, title: str = "") -> Program:
    """The program of a schedule, each value with a place of its own."""
    return Lowering(Draft(schedule, title, Names())).program()


class Lowering:
    """Writes the two functions, section by section."""

    def __init__(self, draft: Draft) -> None:
        self.draft = draft
        self.layout, self.calls = Placing(draft), Calls(draft)
        self.gradients, self.sums = Gradients(draft), Sums(draft)

    def program(self) -> Program:
        d = self.draft
        graph = d.graph
        self.layout.name_arguments()
        self.layout.place_states()
        self.layout.place_fused()
        self.layout.place_stored()
        ends = self.layout.name_seeds()
        for way in (0, 1):
            self.layout.place_pieces(way)
        forward_result = self.forward()
        result, entry, block_entry = self.backward()
        used = {b for lines in d.all_instrs(entry, block_entry) for b in buffers_of(lines)}
        kept = {*used, *d.initial, *d.inputs, *d.parameters, *ends, *d.seeds}
        kept |= {place.buffer for place in d.after}
        kept |= {b for b in d.links if b is not None}
        forward, backward = (
            Sections(tuple(w.constants), tuple(w.before), tuple(w.loop), tuple(w.after), out)
            for w, out in zip(d.ways, (forward_result, result), strict=True)
        )
        return Program(
            title=d.title,
            buffers=tuple(b for b in d.buffers if b in kept),
            setup=tuple(d.setup),
            forward=forward,
            backward=backward,
            initial=d.initial,
            inputs=d.inputs,
            parameters=d.parameters,
            ends=ends,
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

    def forward(self) -> tuple[Ref | None, ...]:
        d = self.draft
        lines, way = d.ways[0], d.s.forward
        for value in way.before:
            self.calls.at_once(value, 0, lines.before)
        for part, place in d.row_parts:
            if self.calls.is_before(part):
                lines.before.append(Instr(copy, (d.whole(part, 0),), place.whole()))
        for after, initial in zip(d.after, d.initial, strict=True):
            first = after.at(When.FIRST, 0)
            lines.before.append(Instr(copy, (Ref(initial),), first))
        for value in way.loop:
            self.calls.in_loop(value, 0)
        for out, result, whole in d.copied:
            if not whole:
                lines.loop.append(Instr(copy, (d.step(result, 0),), out))
        for value in way.after:
            self.calls.at_once(value, 0, lines.after)
        for out, result, whole in d.copied:
            if whole:
                lines.after.append(Instr(copy, (d.whole(result, 0),), out))
        return tuple(after.whole() for after in d.after)

    def backward(self) -> tuple[tuple[Ref | None, ...], tuple[Instr, ...], tuple[Instr, ...]]:
        d = self.draft
        graph, lines, way = d.graph, d.ways[1], d.s.backward
        for state, adjoint, seed, end in zip(
            graph.states, graph.adjoints, d.seeds, d.ends, strict=True
        ):
            if adjoint is not None and state in d.s.unread and not graph.windows:
                self.gradients.given_whole(adjoint, seed, end)
        for value in way.before:
            self.calls.at_once(value, 1, lines.before)

        for n in graph.fused_adjoints:
            self.gradients.begin_fused(n)
        heads = [v for v in way.loop if v.function is None]
        for adjoint in heads:
            self.gradients.head(adjoint)
        for n, link in enumerate(d.links):
            if link is not None and not graph.windows:
                lines.before.append(Instr(copy, (Ref(d.ends[n]),), Ref(link)))
        for place in d.lane_sums.values():
            lines.before.append(Instr(copy, (0,), place.whole()))
        for value in way.loop:
            if value.function is not None:
                self.calls.in_loop(value, 1)
        for value, place in d.lane_sums.items():
            here = place.step()
            lines.loop.append(Instr(np.add, (here, d.step(value, 1)), here))
        for gradient, link in zip(graph.state_gradients, d.links, strict=True):
            if gradient is not None and link is not None:
                lines.loop.append(Instr(copy, (d.step(gradient, 1),), Ref(link)))
        for value in way.after:
            self.calls.at_once(value, 1, lines.after)
        inputs = [self.sums.of_input(gradient) for gradient in graph.input_gradients]
        parameters = self.sums.of_parameters()
        states, entry, block_entry = self.gradients.of_states()
        return (*states, *inputs, *parameters), tuple(entry), tuple(block_entry)


def buffers_of(instr: Instr) -> set[Buffer]:
    refs = [*instr.reads(), *instr.writes()]
    return {ref.buffer for ref in refs}
