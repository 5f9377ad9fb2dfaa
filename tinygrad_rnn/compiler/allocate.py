"""Buffer allocation: buffers share memory where their lifetimes do not overlap.

The lifetime of a buffer is a set of moments. Each instruction has two moments: it reads, then it
writes. So the result of an elementwise call can take the memory of an operand that is dead
afterwards. A buffer of all steps that a loop walks through becomes free step by step.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field, replace

import numpy as np

from tinygrad_rnn.compiler.ir import (
    Buffer,
    Instr,
    Phase,
    Program,
    Ref,
    Sections,
    Storage,
    When,
    mapped,
)
from tinygrad_rnn.compiler.operations import copy, is_elementwise

OWN = (Storage.KEPT, Storage.SCRATCH)

FRESH = (np.matmul, np.dot, np.copy, np.zeros, np.add, np.multiply, np.negative, np.sum, np.where)
"""Functions whose results are new arrays, never views of their arguments."""


def allocate(program: Program) -> Program:
    """The same program with fewer buffers, and without the copies that this makes needless."""
    times = Timeline(program)
    groups = {
        b: Group([b], times.moments(b))
        for b in program.buffers
        if b.storage in OWN and times.can_move(b)
    }
    links = {b: Group([b], times.moments(b)) for b in program.links if b is not None}
    groups.update(links)
    coalesce(times, groups)
    share(times, groups)
    return rewritten(program, groups)


@dataclass(eq=False)
class Group:
    """Buffers that share one memory.

    moments: the moments at which the memory is in use, as the bits of a number.
    renamed: the members with the same value as another member. They take its name.
    """

    members: list[Buffer]
    moments: int
    renamed: set[Buffer] = field(default_factory=set)

    @property
    def first(self) -> Buffer:
        return self.members[0]

    def take(self, other: Group) -> None:
        self.members += other.members
        self.moments |= other.moments
        self.renamed |= other.renamed


class Timeline:
    """All instructions in order, and the buffers that each of them reads and writes.

    places: the order of execution, as the places of the instructions. Each loop takes two turns:
        what the second turn reads before it writes is carried from step to step. turns: where the
        second turn of each loop ends and the first begins. loops: the places of each loop. back:
        the place where `backward` begins.
    reads, writes: for each buffer, the places at which it is read or written. partial: the buffers
        that are written part by part.
    clashes: pairs of buffers that must not share memory. One is written where the other is read,
        and the call is not elementwise.
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
        entry = (*program.entry, *program.block_entry)
        self.places += range(len(self.instrs), len(self.instrs) + len(entry))
        self.instrs += entry
        self.lanes = self.loops[1] if program.windows else range(0)
        self.reads: dict[Buffer, list[int]] = {}
        self.writes: dict[Buffer, list[int]] = {}
        self.partial: set[Buffer] = set()
        self.behind: dict[Buffer, set[Buffer]] = {}
        self.fixed = {ref.buffer for i in program.setup for ref in (*i.reads(), *i.writes())}
        self.clashes: set[tuple[Buffer, Buffer]] = set()
        for n, instr in enumerate(self.instrs):
            self.note(n, instr)
        for ref in program.backward.result:
            if ref is not None:
                self.reads.setdefault(ref.buffer, []).append(len(self.instrs) - 1)

    def note(self, place: int, instr: Instr) -> None:
        outs = instr.writes()
        read = {ref.buffer for ref in instr.reads()}
        behind = {other for buffer in read for other in self.behind.get(buffer, ())}
        for buffer in (*read, *behind):
            self.reads.setdefault(buffer, []).append(place)
        if instr.binds() and instr.function not in FRESH:
            self.behind.update(dict.fromkeys([out.buffer for out in outs], read | behind))
        self.clashes |= {(out.buffer, buffer) for out in outs for buffer in behind}
        in_place = is_elementwise(instr.function) or instr.function is copy
        for out in outs:
            self.writes.setdefault(out.buffer, []).append(place)
            if out.views or out.when in (When.FIRST, When.LAST):
                self.partial.add(out.buffer)
            for ref in (*instr.reads(), *outs):
                same = (ref.when, ref.offset, ref.views) == (out.when, out.offset, out.views)
                if ref.buffer is not out.buffer and not (in_place and same and ref not in outs):
                    self.clashes.add((out.buffer, ref.buffer))

    def can_move(self, buffer: Buffer) -> bool:
        """Whether the buffer holds nothing that has to stay in its place."""
        return buffer.fill is None and buffer not in self.fixed and buffer in self.writes

    def moments(self, buffer: Buffer) -> int:
        """The moments at which a buffer is in use. Place p reads at 2p and writes at 2p + 1.

        A buffer of one step is in use while it is live. A buffer of all steps is so from its first
        to its last use: a turn of a loop uses one entry of it.
        """
        reads, writes = self.reads.get(buffer, []), self.writes[buffer]
        if min(writes) < self.back <= max(reads, default=0):  # `backward` may be called again
            begin = min(writes) if buffer.time is not None else self.places.index(min(writes))
            return span(2 * begin, 2 * len(self.places))
        if buffer.time is None:
            return self.liveness(buffer)
        first = min([2 * place for place in reads] + [2 * place + 1 for place in writes])
        last = max([2 * place for place in reads] + [2 * place + 1 for place in writes])
        for loop in self.loops:
            inside = any(place in loop for place in (*reads, *writes))
            if inside and (buffer.time == 1 or loop == self.lanes):
                first, last = min(first, 2 * loop.start), max(last, 2 * loop.stop - 1)
        return span(first, last)

    def liveness(self, buffer: Buffer) -> int:
        """The moments at which a buffer is live, found from the end, and those of its writes."""
        reads, writes = set(self.reads.get(buffer, ())), set(self.writes[buffer])
        renewed = writes  # the places after which nothing is left of the earlier contents
        if buffer in self.partial:
            first = min(writes)
            loop = next((loop for loop in self.loops if first in loop), range(0))
            carried = any(place in loop and place <= first for place in reads)
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

    def ways(self, group: Group) -> set[bool]:
        """The functions, of the two, in which a group is used. Buffers of one step are not shared
        by both functions: this would save next to nothing and make the program harder to read."""
        return {place < self.back for member in group.members for place in self.writes[member]}

    def apart(self, one: Group, other: Group) -> bool:
        """Whether two groups can have one memory."""
        return not one.moments & other.moments and not any(
            (a, b) in self.clashes or (b, a) in self.clashes
            for a in one.members
            for b in other.members
        )


def span(first: int, last: int) -> int:
    """The bits first..last."""
    return (1 << (last + 1)) - (1 << first)


def alike(one: Buffer, other: Buffer) -> bool:
    return (one.shape, one.dtype, one.time) == (other.shape, other.dtype, other.time)


def coalesce(times: Timeline, groups: dict[Buffer, Group]) -> None:
    """Let a copied value be computed at the copy's destination, if the destination is free by
    then."""
    for instr in times.instrs:
        if instr.function is not copy or not isinstance(instr.args[0], Ref) or instr.guard:
            continue
        (given,), (out,) = instr.args, instr.writes()
        one, other = groups.get(given.buffer), groups.get(out.buffer)
        if one is None or other is None or one is other or not alike(one.first, other.first):
            continue
        same = (given.when, given.offset) == (out.when, out.offset)
        if same and not (given.views or out.views) and times.apart(one, other):
            other.renamed |= {given.buffer, out.buffer}
            merge(other, one, groups)


def merge(kept: Group, gone: Group, groups: dict[Buffer, Group]) -> None:
    kept.take(gone)
    for member in gone.members:
        groups[member] = kept


def share(times: Timeline, groups: dict[Buffer, Group]) -> None:
    """Give each buffer the memory of an earlier buffer that is free, preferably that of an
    operand."""
    done: list[Group] = []
    order = sorted(
        dict.fromkeys(groups.values()), key=lambda g: (g.moments & -g.moments).bit_length()
    )
    for group in order:
        begin = min(place for member in group.members for place in times.writes[member])
        operands = {ref.buffer for ref in times.instrs[begin].reads()}
        fitting = [
            other
            for other in done
            if alike(group.first, other.first)
            and not is_lane(group)
            and times.apart(group, other)
            and (group.first.time is not None or times.ways(group) == times.ways(other))
            and (not is_lane(other) or group.first.storage is Storage.SCRATCH)
        ]
        fitting.sort(key=lambda g: operands.isdisjoint(g.members))
        if fitting:
            merge(fitting[0], group, groups)
        else:
            done.append(group)


def is_lane(group: Group) -> bool:
    return any(member.storage is Storage.LANE for member in group.members)


def rewritten(program: Program, groups: dict[Buffer, Group]) -> Program:
    """The program on the remaining buffers. A buffer with a meaningful name keeps it."""
    new: dict[Buffer, Buffer] = {}
    roots: dict[int, Buffer] = {}
    for buffer in program.buffers:
        group = groups.get(buffer)
        if group is None:
            new[buffer] = buffer
            continue
        root = roots.get(id(group))
        if root is None:
            storages = {member.storage for member in group.members}
            storage = next(
                s for s in (Storage.LANE, Storage.KEPT, Storage.SCRATCH) if s in storages
            )
            base = next((m for m in group.members if m.storage is Storage.LANE), buffer)
            roots[id(group)] = new[buffer] = replace(base, storage=storage)
        elif buffer in group.renamed or stem(buffer.name) == stem(root.name) or is_lane(group):
            new[buffer] = root
        else:
            new[buffer] = replace(buffer, storage=root.storage, shares=root)

    def of_ref(leaf: object) -> object:
        return replace(leaf, buffer=new[leaf.buffer]) if isinstance(leaf, Ref) else leaf

    def of_instrs(instrs: Iterable[Instr]) -> tuple[Instr, ...]:
        found = []
        for instr in instrs:
            args, kwargs, out, guard = mapped(
                (instr.args, dict(instr.kwargs), instr.out, instr.guard), of_ref
            )
            made = replace(instr, args=args, kwargs=kwargs, out=out, guard=guard)
            if not is_needless(made):
                found.append(made)
        return tuple(found)

    def of_sections(sections: Sections) -> Sections:
        instrs = {phase.value: of_instrs(sections.of(phase)) for phase in Phase}
        return replace(sections, **instrs, result=mapped(sections.result, of_ref))

    return replace(
        program,
        buffers=tuple(dict.fromkeys(new[b] for b in program.buffers)),
        setup=of_instrs(program.setup),
        forward=of_sections(program.forward),
        backward=of_sections(program.backward),
        links=tuple(None if b is None else new[b] for b in program.links),
        entry=of_instrs(program.entry),
        block_entry=of_instrs(program.block_entry),
    )


def is_needless(instr: Instr) -> bool:
    """Whether an instruction copies an array to its own place."""
    if instr.function is not copy or not isinstance(instr.args[0], Ref):
        return False
    given, out = instr.args[0], instr.writes()[0]
    there = (given.buffer.root, given.when, given.offset, given.views)
    return there == (out.buffer.root, out.when, out.offset, out.views)


def stem(name: str) -> str:
    """A generic name (a, d or w) without its number; any other name as it is."""
    return re.sub(r"\d+$", "", name) if re.fullmatch(r"(a|d|w)\d*", name) else name
