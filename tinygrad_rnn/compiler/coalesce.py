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
from tinygrad_rnn.compiler.liveness import Timeline, Use, memory_like, overlap
from tinygrad_rnn.compiler.operations import copy
from tinygrad_rnn.compiler.views import at_all_steps, of_all_steps

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
    copies = []
    for place, instr in enumerate(moves.times.instrs):
        if instr.function is copy:
            (given,), (out,) = instr.args, instr.writes()
            if isinstance(given, Ref):
                # A state has its results first. Then it can take them along into a row.
                copies.append((out.buffer not in moves.states, place, given, out))
    for _, place, given, out in sorted(copies, key=lambda found: found[0]):
        moves.consider(place, moves.resolved(given), moves.resolved(out))
    buffers = {b: moves.renewed(b) for b in program.buffers if b not in moves.moved}

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
        views = self.place.views
        if when is When.ALL:
            views = tuple(part for view in views for part in of_all_steps(view))
        return replace(
            ref,
            buffer=self.place.buffer,
            when=when,
            offset=ref.offset + self.shift,
            views=(*views, *ref.views),
            name=(ref.views and ref.name) or self.place.name or ref.name,
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
        self.states = {ref.buffer for ref in program.states}
        self.fixed = {*self.times.fixed, *program.links}

    def renewed(self, buffer: Buffer) -> Buffer:
        """The buffer after the moves."""
        storage = self.storage[buffer]
        return buffer if storage is buffer.storage else replace(buffer, storage=storage)

    def resolved(self, ref: Ref) -> Ref:
        """The reference after the moves."""
        while ref.buffer in self.moved:
            ref = self.moved[ref.buffer].of(ref)
        return ref

    def consider(self, place: int, given: Ref, out: Ref) -> None:
        """Let the two sides of a copy be one place, if this changes no number: what the copy reads
        is moved to where it writes, or the other way round."""
        for ref, to in ((given, out), (out, given)):
            source, target = ref.buffer, to.buffer
            if not self.can_be_moved(ref, to):
                continue
            move = Move(to, shift(ref, to), ref.when is not When.ALWAYS)
            uses = [use._replace(ref=move.of(use.ref)) for use in self.uses[source]]
            if self.is_free(place, ref, to, uses):
                self.moved[source] = move
                self.uses[target] += [use for use in uses if use.place != place]
                kinds = self.storage[source], self.storage[target]
                self.storage[target] = min(kinds, key=KINDS.index)
                return

    def can_be_moved(self, given: Ref, out: Ref) -> bool:
        """Whether a copy is one of a whole buffer to a place of the same form, whose owner lets it
        in."""
        source, target = given.buffer, out.buffer
        if given.views or source is target or (given.when, out.when) not in FORMS:
            return False
        if out.when is When.ALL and out.views:  # one copy for all steps costs less than the gaps
            return False
        if source.dtype != target.dtype or out.strided()[0] != given.strided()[0]:
            return False
        if source in self.fixed or target in self.times.fixed or source.fill is not None:
            return False
        if target.fill is not None and not out.views:
            return False
        if not 0 <= shift(given, out) <= (target.time or 0) - (source.time or 0):
            return False
        uses, kinds = self.uses[source], (self.storage[source], self.storage[target])
        if not any(use.writes for use in uses):
            return False
        if kinds == (Storage.SCRATCH, Storage.LANE):
            return all(self.times.loop_of(use.place) == self.times.lanes for use in uses)
        if kinds == (Storage.SCRATCH, Storage.RETURNED):
            return all(use.ref.when is When.ALL and use.place >= self.times.back for use in uses)
        return all(kind in OWN for kind in kinds) and kinds != (Storage.STATE, Storage.STATE)

    def is_free(self, place: int, given: Ref, out: Ref, uses: list[Use]) -> bool:
        """Whether the place of a copy is free while its source is needed. uses: those of the
        source, in the new place."""
        there = [use for use in self.uses[out.buffer] if overlap(use.ref, out)]
        others = [use for use in there if use.place != place]
        if not all(is_view(use.ref) for use in uses):
            return False
        if out.buffer.time is not None:
            return self.is_free_at_step(place, given, out, others)
        if clash(self.times, uses, others, place):
            return False
        if not any(use.writes for use in there):  # empty arrays do not overlap
            return False
        own = self.uses[given.buffer]
        needed, used = self.times.moments(own, None), self.times.moments(there, None)
        written = self.times.writes(others), self.times.writes(u for u in own if u.place != place)
        return not (needed & written[0] or used & written[1])

    def is_free_at_step(self, place: int, given: Ref, out: Ref, others: list[Use]) -> bool:
        """The same for a place in an array of all steps. The copy alone writes to its entries, and
        what reads the entry of a step comes after the copy."""
        own = self.uses[given.buffer]
        for use in others:
            other_entry = use.ref.when is When.STEP and use.ref.offset != out.offset
            if use.writes or (use.place < place and not other_entry):
                return False
        for use in own:
            other_entry = use.ref.when is When.STEP and use.ref.offset != given.offset
            if use.writes and use.place > place and not other_entry:
                return False
        if given.when is not When.ALWAYS:
            return True
        reads = [use.place for use in own if not use.writes]
        first = min(use.place for use in own if use.writes)
        loop = self.times.loop_of(place)
        return first < min(reads) and all(self.times.loop_of(use.place) == loop for use in own)


def clash(times: Timeline, moved: list[Use], others: list[Use], copied: int) -> bool:
    """Whether an instruction would write to a place that it reads, other than number by number."""
    for place in {use.place for use in moved} - {copied}:
        here = [use for use in (*moved, *others) if use.place == place]
        for out in (use for use in here if use.writes):
            for use in here:
                apart = use is out or not overlap(use.ref, out.ref)
                if not apart and not times.in_place(use, out):
                    return True
    return False


def shift(ref: Ref, to: Ref) -> int:
    """How many entries of an array of all steps lie between two references to one step."""
    return to.offset - ref.offset


def is_view(ref: Ref) -> bool:
    """Whether the views of a reference need no copy."""
    array = memory_like(ref.buffer)
    return not array.size or np.shares_memory(array, at_all_steps(ref).of(array, 3))
