"""Liveness: when the numbers of a buffer are still needed.

Each instruction has two moments: it reads, then it writes. So the result of an elementwise call can
take the memory of an operand that is dead afterwards.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from tinygrad_rnn.compiler.ir import Buffer, Instr, Phase, Program, Ref
from tinygrad_rnn.compiler.operations import copy, is_elementwise
from tinygrad_rnn.compiler.views import at_all_steps
from tinygrad_rnn.engine.graph import Array

FRESH = (
    *(np.matmul, np.dot, np.copy, np.array, np.zeros),
    *(np.add, np.multiply, np.negative, np.sum, np.where),
)
"""Functions whose results are new arrays, never views of their arguments."""


class Use(NamedTuple):
    """A place that an instruction reads or writes. place: the number of the instruction. is_direct:
    whether it is an argument, and not behind one as its base."""

    place: int
    ref: Ref
    writes: bool
    is_direct: bool = True


class Timeline:
    """All instructions in order, and the uses of each buffer.

    places: the order of execution, as the places of the instructions. Each loop takes two turns:
        what the second turn reads before it writes is carried from step to step. turns: where the
        second turn of each loop ends and the first begins. loops: the places of each loop. back:
        the place where `backward` begins.
    fixed: the buffers that the set-up writes.
    behind: for a result without a buffer of its own, the operands that it may be a view of. The
        result of `np.flip` is an example.
    """

    def __init__(self, program: Program) -> None:
        self.instrs: list[Instr] = []
        self.places: list[int] = []
        self.loops: list[range] = []
        self.turns: dict[int, int] = {}
        for sections in (program.forward, program.backward):
            self.back = len(self.instrs)
            for phase in Phase:
                places = range(len(self.instrs), len(self.instrs) + len(sections.of(phase)))
                self.instrs += sections.of(phase)
                self.places += places
                if phase is Phase.LOOP and places:
                    self.turns[len(self.places) + len(places) - 1] = len(self.places) - len(places)
                    self.places += places
                self.loops += [places] if phase is Phase.LOOP else []
        self.lanes = self.loops[1] if program.windows else None
        self.fixed = {ref.buffer for i in program.setup for ref in (*i.reads(), *i.writes())}
        self.behind: dict[Buffer, set[Ref]] = {}
        self.uses: dict[Buffer, list[Use]] = {}
        for place, instr in enumerate(self.instrs):
            self.note(place, instr)

    def add(self, use: Use) -> None:
        self.uses.setdefault(use.ref.buffer, []).append(use)

    def note(self, place: int, instr: Instr) -> None:
        read = dict.fromkeys(instr.reads())
        behind = [other for ref in read for other in self.behind.get(ref.buffer, ())]
        for ref in read:
            self.add(Use(place, ref, False))
        for ref in behind:
            self.add(Use(place, ref, False, is_direct=False))
        for out in instr.writes():
            self.add(Use(place, out, True))
            if instr.binds() and instr.function not in FRESH:
                self.behind[out.buffer] = {*read, *behind}

    def clashes(self) -> set[frozenset[Buffer]]:
        """Pairs of buffers that must not share memory. One is written where the other is read, and
        not number by number at the same place."""
        found: set[frozenset[Buffer]] = set()
        for uses in self.at_each_place():
            for out in (use for use in uses if use.writes):
                for use in uses:
                    if use.ref.buffer is not out.ref.buffer and not self.in_place(use, out):
                        found.add(frozenset((use.ref.buffer, out.ref.buffer)))
        return found

    def at_each_place(self) -> Iterable[list[Use]]:
        found: list[list[Use]] = [[] for _ in self.instrs]
        for uses in self.uses.values():
            for use in uses:
                found[use.place].append(use)
        return found

    def in_place(self, use: Use, out: Use) -> bool:
        """Whether an instruction can write number by number to what it reads."""
        function = self.instrs[out.place].function
        return (
            (is_elementwise(function) or function is copy)
            and use.is_direct
            and not use.writes
            and use.ref.at == out.ref.at
        )

    def loop_of(self, place: int) -> range | None:
        """The loop that an instruction belongs to; None outside of the loops."""
        return next((loop for loop in self.loops if place in loop), None)

    def moments(self, uses: Iterable[Use], time: int | None) -> int:
        """The moments at which a buffer, or a part of one, is in use, as the bits of a number.
        Place p reads at 2p and writes at 2p + 1.

        An array of one step is in use while it is live. An array of all steps is so from its first
        to its last use: a turn of a loop uses one entry of it.
        """
        uses = list(uses)
        reads = [use.place for use in uses if not use.writes]
        writes = [use.place for use in uses if use.writes]
        # `backward` may be called again
        if min(writes) < self.back and any(place >= self.back for place in reads):
            begin = min(writes) if time is not None else self.places.index(min(writes))
            return span(2 * begin, 2 * len(self.places))
        if time is None:
            return self.liveness(uses)
        moments = [2 * use.place + use.writes for use in uses]
        first, last = min(moments), max(moments)
        for loop in self.loops:
            inside = any(use.place in loop for use in uses)
            if inside and (time == 1 or loop == self.lanes):
                first, last = min(first, 2 * loop.start), max(last, 2 * loop.stop - 1)
        return span(first, last)

    def writes(self, uses: Iterable[Use]) -> int:
        """The moments of the writes."""
        places = {use.place for use in uses if use.writes}
        return sum(2 << 2 * n for n, place in enumerate(self.places) if place in places)

    def liveness(self, uses: Iterable[Use]) -> int:
        """The moments at which an array of one step is live, found from the end, and those of its
        writes."""
        uses = list(uses)
        reads = {use.place for use in uses if not use.writes}
        writes = {use.place for use in uses if use.writes}
        renewed = writes  # the places after which nothing is left of the earlier contents
        if len({use.ref.views for use in uses if use.writes}) > 1:  # it is written part by part
            first = min(writes)
            loop = self.loop_of(first)
            carried = loop and any(place in loop and place <= first for place in reads)
            renewed = set() if carried else {first}
        found, alive, after = 0, False, False
        for n in reversed(range(len(self.places))):
            place = self.places[n]
            after = alive if n in self.turns else after
            if alive or place in writes:
                found |= 2 << 2 * n
            alive = (alive and place not in renewed) or place in reads
            alive = alive or (after and n in self.turns.values())  # a loop may have no turn
            if alive:
                found |= 1 << 2 * n
        return found


def span(first: int, last: int) -> int:
    """The bits first..last."""
    return (1 << (last + 1)) - (1 << first)


def overlap(one: Ref, other: Ref) -> bool:
    """Whether two references to one buffer have a number in common, at any steps."""
    array = memory_like(one.buffer)
    return np.shares_memory(*(at_all_steps(ref).of(array, 3) for ref in (one, other)))


def memory_like(buffer: Buffer) -> Array:
    """An array with the shape of a buffer for three steps, to see what views do."""
    steps = () if buffer.time is None else (3 + buffer.time,)
    return np.empty((*steps, *buffer.shape), np.int8)
