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

from tinygrad_rnn.compiler.ir import Buffer, Instr, Program, Ref, Sections, Storage, When, mapped
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

    loops: the first and the last place of each loop.
    accesses: for each buffer, the places at which it is read or written.
    clashes: pairs of buffers that must not share memory. One is written where the other is read,
        and the call is not elementwise.
    behind: for a result without a buffer of its own, the operands that it may be a view of. The
        result of `np.flip` is an example.
    """

    def __init__(self, program: Program) -> None:
        self.program = program
        self.instrs: list[Instr] = []
        self.loops: list[tuple[int, int]] = []
        self.lanes: tuple[int, int] | None = None
        for sections in (program.forward, program.backward):
            if sections is program.backward:
                self.back = len(self.instrs)
            self.instrs += [*sections.constants, *sections.before]
            start = len(self.instrs)
            self.instrs += sections.loop
            self.loops.append((start, len(self.instrs) - 1))
            self.instrs += sections.after
        if program.windows:
            self.lanes = self.loops[1]
        self.instrs += [*program.entry, *program.block_entry]
        self.reads: dict[Buffer, list[int]] = {}
        self.writes: dict[Buffer, list[int]] = {}
        self.partial: set[Buffer] = set()
        self.behind: dict[Buffer, set[Buffer]] = {}
        self.fixed = {ref.buffer for i in program.setup for ref in (*i.reads(), *i.writes())}
        self.clashes: set[tuple[Buffer, Buffer]] = set()
        for place, instr in enumerate(self.instrs):
            self.note(place, instr)
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
        for out in outs:
            self.writes.setdefault(out.buffer, []).append(place)
            if out.views or out.when in (When.FIRST, When.LAST):
                self.partial.add(out.buffer)
            for ref in instr.reads():
                same = (ref.when, ref.offset, ref.views) == (out.when, out.offset, out.views)
                if ref.buffer is not out.buffer and not (is_elementwise(instr.function) and same):
                    self.clashes.add((out.buffer, ref.buffer))
        for one in outs:
            self.clashes |= {(one.buffer, other.buffer) for other in outs if other is not one}

    def can_move(self, buffer: Buffer) -> bool:
        """Whether the buffer holds nothing that has to stay in its place."""
        return buffer.fill is None and buffer not in self.fixed and buffer in self.writes

    def moments(self, buffer: Buffer) -> int:
        """The moments at which a buffer is in use. Place p reads at 2p and writes at
        2p + 1."""
        reads, writes = self.reads.get(buffer, []), self.writes[buffer]
        forward = any(place < self.back for place in writes)
        if forward and any(place >= self.back for place in reads):
            # `backward` may be called again.
            return span(2 * min(writes), 2 * len(self.instrs))
        first = min(min(writes) * 2 + 1, *(2 * place for place in reads), len(self.instrs) * 2)
        last = max(max(writes) * 2 + 1, *(2 * place for place in reads), 0)
        if buffer.time is None and buffer not in self.partial:
            return self.flow(set(reads), set(writes))
        if buffer.time is None:
            carried = any(
                any(start <= place <= end for place in (*reads, *writes))
                and (
                    first < 2 * start or last > 2 * end + 1 or self.is_carried(reads, writes, start)
                )
                for start, end in self.loops
            )
        else:
            carried = buffer.time == 1
        for start, end in self.loops:
            inside = any(start <= place <= end for place in (*reads, *writes))
            if inside and (carried or (self.lanes == (start, end) and buffer.time is not None)):
                first, last = min(first, 2 * start), max(last, 2 * end + 1)
        return span(first, last)

    def is_carried(self, reads: list[int], writes: list[int], start: int) -> bool:
        """Whether a loop reads before it writes."""
        inside = [place for place in reads if place >= start]
        return bool(inside) and min(inside) <= min(w for w in writes if w >= start)

    def flow(self, reads: set[int], writes: set[int]) -> int:
        """The liveness of the buffer: the moments at which it is live, found from the end."""
        found, alive = 0, False
        place = len(self.instrs) - 1
        starts = {end: start for start, end in self.loops}
        while place >= 0:
            if place in starts and starts[place] <= place:
                start = starts[place]
                for _ in range(2):  # what the next turn reads first is live at the end of this one
                    begin, bits = alive, 0
                    for inner in range(place, start - 1, -1):
                        begin, more = self.moment(inner, begin, reads, writes)
                        bits |= more
                    alive, last = alive or begin, begin
                found |= bits
                alive, place = last, start - 1
                continue
            alive, bits = self.moment(place, alive, reads, writes)
            found |= bits
            place -= 1
        return found

    def moment(
        self, place: int, alive: bool, reads: set[int], writes: set[int]
    ) -> tuple[bool, int]:
        bits = 0
        if alive or place in writes:
            bits |= 1 << (2 * place + 1)
        alive = (alive and place not in writes) or place in reads
        if alive:
            bits |= 1 << (2 * place)
        return alive, bits

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
        if given.views or out.views or (given.when, given.offset) != (out.when, out.offset):
            continue
        pair = (out.buffer, given.buffer)
        before = pair in times.clashes
        others = any(
            i is not instr
            and given.buffer in {r.buffer for r in i.reads()}
            and out.buffer in {w.buffer for w in i.writes()}
            and i.function is not copy
            for i in times.instrs
        )
        if before and not others:
            times.clashes.discard(pair)
        if times.apart(one, other):
            other.renamed |= {given.buffer, out.buffer}
            merge(other, one, groups)
        elif before:
            times.clashes.add(pair)


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
        return Sections(
            of_instrs(sections.constants),
            of_instrs(sections.before),
            of_instrs(sections.loop),
            of_instrs(sections.after),
            mapped(sections.result, of_ref),
        )

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
