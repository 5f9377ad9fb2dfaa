"""Coalescing: a value is computed where it would be copied to.

A copy moves the whole of one buffer to a place: to another buffer, or to a part of one. If nothing
else is in that place while the value is needed, all references to the buffer become references to
the place, and the copy disappears. This is how results come into the array of the states, states
into rows [h_{t−1}, x_t, 1], and parts into the gradient that is put together from them.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from tinygrad_rnn.compiler.ir import OWN, Buffer, Instr, Program, Ref, Storage, When
from tinygrad_rnn.compiler.liveness import Timeline, at_each_step, is_copy, outs_of, overlap
from tinygrad_rnn.compiler.operations import copy
from tinygrad_rnn.compiler.views import at_all_steps

KINDS = (Storage.RETURNED, Storage.LANE, Storage.STATE, Storage.KEPT, Storage.SCRATCH)
"""Of two buffers that become one, the storage is the first of the two here."""

FORMS = (
    (When.ALWAYS, When.ALWAYS),
    (When.ALWAYS, When.STEP),
    (When.STEP, When.STEP),
    (When.ALL, When.ALL),
)
"""The entries that the two sides of a copy select, for whole buffers."""


def coalesce(program: Program) -> Program:
    """The same program without the copies of values that can be computed in their place."""
    moves = Moves(program)
    states = {ref.buffer for ref in program.states}
    copies = []
    for place, instr in enumerate(moves.times.instrs):
        given = instr.args[0] if instr.function is copy else None
        # A seed counts as 0 in a lane that is not seeded. Then its copy differs from it.
        if isinstance(given, Ref) and not given.seeded:
            (out,) = instr.writes()
            # A state has its results first. Then it can take them along into a row.
            copies.append((out.buffer not in states, place, given, out))
    for _, place, given, out in sorted(copies, key=lambda found: found[0]):
        for ref, to in ((given, out), (out, given)):  # after a move, both are at one place
            moves.consider(place, moves.resolved(ref), moves.resolved(to))
    buffers = {
        b: b if moves.storage[b] is b.storage else replace(b, storage=moves.storage[b])
        for b in program.buffers
        if b not in moves.moved
    }

    def of_ref(ref: Ref) -> Ref:
        ref = moves.resolved(ref)
        return replace(ref, buffer=buffers[ref.buffer])

    return program.rewritten(tuple(buffers.values()), of_ref, with_matmul)


def with_matmul(instr: Instr) -> Instr:
    """`np.dot` writes to contiguous memory only."""
    if instr.function is not np.dot or instr.binds():
        return instr
    (out,) = instr.writes()
    return instr if out.is_contiguous() else replace(instr, function=np.matmul)


@dataclass(frozen=True)
class Move:
    """A buffer that is moved. place: where to. shift: added to the offset of a reference. timed:
    whether the buffer has an axis of time."""

    place: Ref
    shift: int
    timed: bool

    def of(self, ref: Ref) -> Ref:
        """The same reference in the new place."""
        when = ref.when if self.timed else self.place.when
        place = at_all_steps(self.place) if when is When.ALL else self.place
        return replace(
            ref,
            buffer=place.buffer,
            when=when,
            offset=ref.offset + self.shift,
            views=(*place.views, *ref.views),
            name=(ref.views and ref.name) or place.name or ref.name,
        )


class Moves:
    """The buffers that are moved, and the uses of the others after these moves.

    storage: of each buffer, after the moves.
    """

    def __init__(self, program: Program) -> None:
        self.times = Timeline(program)
        self.uses = self.times.uses
        self.moved: dict[Buffer, Move] = {}
        self.storage = {buffer: buffer.storage for buffer in program.buffers}
        self.links = program.links

    def resolved(self, ref: Ref) -> Ref:
        """The reference after the moves."""
        while ref.buffer in self.moved:
            ref = self.moved[ref.buffer].of(ref)
        return ref

    def consider(self, place: int, ref: Ref, to: Ref) -> None:
        """Move the buffer on one side of a copy to the other side, if this changes no number."""
        source, target = ref.buffer, to.buffer
        if not (is_whole(ref, to) and self.can_be_moved(source, target)):
            return
        move = Move(to, to.offset - ref.offset, ref.when is not When.ALWAYS)
        uses = [use._replace(ref=move.of(use.ref)) for use in self.uses[source]]
        there = [use for use in self.uses[target] if overlap(use.ref, to)]
        loop = self.times.loop_of(place)
        if ref.when is not to.when and any(self.times.loop_of(u.place) != loop for u in uses):
            return
        outs = outs_of((*uses, *there))
        life, other = (self.times.life(some, outs, place, within=to) for some in (uses, there))
        seen = (at_each_step(use.ref).seen(3) for use in uses)
        has_copies = any(is_copy(place, array) for array, place in seen)
        if life.lost or life.meets(other) or has_copies:
            return
        self.moved[source] = move
        self.uses[target] += [use for use in uses if use.place != place]
        self.storage[target] = min(self.storage[source], self.storage[target], key=KINDS.index)

    def can_be_moved(self, source: Buffer, target: Buffer) -> bool:
        """Whether a buffer may be moved, and the owner of the place lets it in."""
        times, uses = self.times, self.uses[source]
        if source in self.links:
            return False
        if not any(use.writes for use in uses):
            return False
        kinds = self.storage[source], self.storage[target]
        if kinds == (Storage.SCRATCH, Storage.LANE):
            return all(use.place in times.loops[1] for use in uses)
        if kinds == (Storage.SCRATCH, Storage.RETURNED):
            return all(use.ref.when is When.ALL and use.place >= times.back for use in uses)
        return all(kind in OWN for kind in kinds) and kinds != (Storage.STATE, Storage.STATE)


def is_whole(ref: Ref, to: Ref) -> bool:
    """Whether a copy is one of a whole buffer to a place of the same form, with an entry for each
    of its own. One copy for all steps costs less than the gaps of a part."""
    source, target = ref.buffer, to.buffer
    return (
        source is not target
        and not ref.views
        and (ref.when, to.when) in FORMS
        and not (to.when is When.ALL and to.views)
        and source.dtype == target.dtype
        and to.strided()[0] == ref.strided()[0]
        and 0 <= to.offset - ref.offset <= (target.time or 0) - (source.time or 0)
    )
