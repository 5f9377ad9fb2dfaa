"""Liveness: when the numbers of a buffer are needed.

The instructions are laid out in the order of execution: the set-up, and then, for one step and for
three, `forward`, twice `backward` and once more `forward`, because all may be called again. Under
windows, two lanes are alive at each step. Each instruction has two moments: it reads, then it
writes. So the result of an elementwise call can take the memory of an operand that is dead
afterwards.
"""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from tinygrad_rnn.compiler.ir import Buffer, Instr, Phase, Program, Ref, When
from tinygrad_rnn.compiler.operations import copy, is_elementwise
from tinygrad_rnn.compiler.views import at_all_steps
from tinygrad_rnn.engine.graph import Array

FRESH = (
    *(np.matmul, np.dot, np.copy, np.array, np.zeros),
    *(np.add, np.multiply, np.negative, np.sum, np.where),
)
"""Functions whose results are new arrays, never views of their arguments."""

STEPS = (1, 3)
"""The numbers of steps for which the instructions are laid out."""


class Use(NamedTuple):
    """A place that an instruction reads or writes. place: the number of the instruction. is_direct:
    whether it is an argument, and not behind one as its base."""

    place: int
    ref: Ref
    writes: bool
    is_direct: bool = True


Outs = dict[int, list[Ref]]


class Turn(NamedTuple):
    """One execution of an instruction. moment: it reads at this one, and writes at the next."""

    moment: int
    steps: int
    t: int


class Life(NamedTuple):
    """The moments at which an array is needed and written, as the bits of two numbers. Each entry
    of the array has its own bits. lost: whether numbers are needed that nobody has written."""

    needed: int = 0
    written: int = 0
    lost: bool = False

    def meets(self, other: Life) -> bool:
        """Whether one of two arrays is written while the other is needed."""
        return bool(self.needed & other.written or self.written & other.needed)

    def joined(self, other: Life) -> Life:
        lost = self.lost or other.lost
        return Life(self.needed | other.needed, self.written | other.written, lost)


class Timeline:
    """All instructions, their turns, and the uses of each buffer.

    loops: the places of each loop. back: the place where `backward` begins.
    behind: for a result without a buffer of its own, the operands that it may be a view of. The
        result of `np.flip` is an example.
    """

    def __init__(self, program: Program) -> None:
        self.instrs: list[Instr] = []
        self.loops: list[range] = []
        self.turns: dict[int, list[Turn]] = defaultdict(list)
        self.uses: dict[Buffer, list[Use]] = defaultdict(list)
        self.behind: dict[Buffer, set[Ref]] = {}
        setup = [self._numbered(program.setup)]
        ways: tuple[list[range], list[range]] = [], []
        for sections, way in zip((program.forward, program.backward), ways, strict=True):
            self.back = len(self.instrs)
            results = Instr(returned, tuple(ref for ref in sections.result if ref is not None), ())
            way += map(self._numbered, (*sections, (results,)))
            self.loops.append(way[list(Phase).index(Phase.LOOP)])
        self._lay_out(setup, *ways, lanes=2 if program.windows else 1)
        for place, instr in enumerate(self.instrs):
            self._note(place, instr)

    def _numbered(self, instrs: tuple[Instr, ...]) -> range:
        self.instrs += instrs
        return range(len(self.instrs) - len(instrs), len(self.instrs))

    def _lay_out(
        self, setup: list[range], forward: list[range], backward: list[range], lanes: int
    ) -> None:
        moments = itertools.count(0, 2)
        for steps, begin in zip((max(STEPS), *STEPS), (setup, forward, forward), strict=True):
            # The caller keeps the states, also after `backward`.
            again = () if begin is setup else (*backward, *backward, forward[-1], *forward)
            for places in (*begin, *again):
                turns = range(steps if places in self.loops else 1)
                for t in turns[::-1] if places == self.loops[1] else turns:
                    for place in (*places,) * (lanes if places is self.loops[1] else 1):
                        self.turns[place].append(Turn(next(moments), steps, t))
        self.length = next(moments)

    def _note(self, place: int, instr: Instr) -> None:
        read = dict.fromkeys(instr.reads())
        behind = [other for ref in read for other in self.behind.get(ref.buffer, ())]
        uses = [Use(place, ref, False) for ref in read]
        uses += [Use(place, ref, False, is_direct=False) for ref in behind]
        for out in instr.writes():
            uses.append(Use(place, out, True))
            if instr.binds() and instr.function not in FRESH:
                self.behind[out.buffer] = {*read, *behind}
        for use in uses:
            self.uses[use.ref.buffer].append(use)

    def loop_of(self, place: int) -> range | None:
        """The loop that an instruction belongs to; None outside of the loops."""
        return next((loop for loop in self.loops if place in loop), None)

    def in_place(self, use: Use, out: Ref) -> bool:
        """Whether an instruction can write number by number to what it reads."""
        function = self.instrs[use.place].function
        by_number = is_elementwise(function) or function is copy
        return by_number and use.is_direct and use.ref.at == out.at

    def life(
        self,
        uses: Iterable[Use],
        outs: Outs,
        but: int | None = None,
        within: Ref | None = None,
    ) -> Life:
        """The life of an array, or of a part of one: of each part that is written, from the end.

        outs: what the instructions write in the memory that is compared. An instruction reads until
        it writes, unless it writes number by number. An array of each lane counts as one for all:
        the lanes run the same instructions, one after the other, as the steps do. but: the place of
        an instruction whose writes change nothing. within: the only part of the array that counts.
        """
        found = Life()
        parts = [(use, at_each_step(use.ref)) for use in uses]
        written_parts = [part for use, part in parts if use.writes]
        if within is not None:
            here = at_each_step(within)
            written_parts = [here if covers(part, here) else part for part in written_parts]
        for part in dict.fromkeys(written_parts):
            events: dict[int, list[tuple[int, bool, bool, bool]]] = defaultdict(list)
            for use, mine in parts:
                if overlap(mine, part):
                    late = use.writes or not all(self.in_place(use, o) for o in outs[use.place])
                    does = use.writes, use.writes and use.place != but, covers(mine, part)
                    for turn in self.turns[use.place]:
                        for entry in entries(use.ref, turn):
                            events[entry].append((turn.moment + late, *does))
            for entry, some in events.items():
                needed = written = 0
                until = -1  # the last moment at which the part is needed
                for moment, writes, changes, whole in sorted(some, reverse=True):
                    written |= changes << moment
                    if writes and whole:
                        needed, until = needed | span(moment, until), -1
                    elif not writes:
                        until = max(moment, until)
                needed, begin = needed | span(0, until), entry * self.length
                found = found.joined(Life(needed << begin, written << begin, until >= 0))
        return found


def outs_of(uses: Iterable[Use]) -> Outs:
    """The places that each instruction writes."""
    outs: Outs = defaultdict(list)
    for use in uses:
        if use.writes:
            outs[use.place].append(use.ref)
    return outs


def returned(*results: Array) -> None:
    """The caller reads the results of a function when it has run."""


def entries(ref: Ref, turn: Turn) -> Iterable[int]:
    """The entries of its array that a reference means at a turn."""
    if ref.when is When.ALWAYS:
        return (0,)
    first = {When.STEP: turn.t, When.LAST: turn.steps - 1}.get(ref.when, 0) + ref.offset
    return range(first, first + (turn.steps if ref.when is When.ALL else 1))


def span(first: int, last: int) -> int:
    """The bits first..last."""
    return max((1 << (last + 1)) - (1 << first), 0)


def at_each_step(ref: Ref) -> Ref:
    """The reference in an array of all steps, wherever it begins."""
    return replace(at_all_steps(ref), offset=0)


def overlap(one: Ref, other: Ref) -> bool:
    """Whether two references to one buffer have a number in common, if they mean one entry. A view
    that is a copy counts as the whole array."""
    array, place = at_each_step(one).seen(3)
    places = place, at_each_step(other).of(array, 3)
    return np.shares_memory(*(array if is_copy(found, array) else found for found in places))


def is_copy(place: Array, array: Array) -> bool:
    """Whether what is seen of an array is a copy, because its strides allow no view."""
    return place.size > 0 and not np.may_share_memory(place, array)


def covers(one: Ref, other: Ref) -> bool:
    """Whether a reference means the same numbers of an entry as another one, or all of them."""
    one, other = at_each_step(one), at_each_step(other)
    return one.at == other.at or one.seen(3)[1].size == replace(one, views=()).seen(3)[1].size
