"""Runs: the instructions of a program that become machine code, grouped into calls.

Instructions that follow one another, or can be moved together, are one run: one call. A loop
belongs to a run as a whole if every instruction of it is supported. Otherwise it stays a loop in
Python: at each step it calls machine code for the supported instructions, and NumPy for the rest.
The same holds under windows, where the loop goes over lanes.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, replace
from typing import Any

from tinygrad_rnn.compiler import operations
from tinygrad_rnn.compiler.backends.native.nests import Memory, Nest, Span, Work, fused
from tinygrad_rnn.compiler.backends.native.products import LARGEST
from tinygrad_rnn.compiler.backends.native.reader import ONCE, UnknownError, nest_of, work
from tinygrad_rnn.compiler.ir import Buffer, Instr, Program, Ref, Sections, Storage, When, mapped

WAYS = ("forward", "backward")

WORTH_A_CALL = 2
"""The fewest instructions of a step that are called as machine code. A single one is as fast in
NumPy."""


@dataclass(frozen=True)
class Item:
    """Some instructions in the order of a function: a loop, or a part of one, or a single one.

    nest: the works of the instructions; None if NumPy runs them, and `reason` says why. each_step:
        whether the item is a part of a loop in Python.
    """

    section: str
    instrs: tuple[Instr, ...]
    nest: Nest | None
    reason: str = ""
    each_step: bool = False

    def reads(self) -> set[Buffer]:
        return {ref.buffer.root for instr in self.instrs for ref in instr.reads()}

    def writes(self) -> set[Buffer]:
        return {ref.buffer.root for instr in self.instrs for ref in instr.writes()}

    def commutes(self, other: Item) -> bool:
        """Whether two items may change places."""
        mine, theirs = self.writes(), other.writes()
        return not (mine & (other.reads() | theirs) or theirs & self.reads())


@dataclass(frozen=True)
class Run:
    """Nests that form one piece of machine code. items: the items of the nests."""

    name: str
    section: str
    items: tuple[Item, ...]
    nests: tuple[Nest, ...]

    @property
    def each_step(self) -> bool:
        return self.section == "loop"

    def writes(self) -> set[Buffer]:
        return set().union(*(item.writes() for item in self.items))


class Arrangement:
    """The items and runs of each function, in their order.

    copies: the buffers that are copies of parameters. seeded: the buffers that replace `seeded`
        references of a loop of lanes, each with the reference. results: the arrays that NumPy would
        have made and only machine code uses, each with the array that the program makes for it.
        seen_by_numpy: the arrays that NumPy's instructions use, too.
    """

    def __init__(self, program: Program, memory: Memory, threads: int) -> None:
        self.program, self.memory, self.threads = program, memory, threads
        self.copies = {way: copies_in(program, way) for way in WAYS}
        self.seeded: dict[Buffer, Ref] = {}
        self.lists = {way: self.arranged(way, self.items_of(way)) for way in WAYS}
        self.runs = [r for found in self.lists.values() for r in found if isinstance(r, Run)]
        self.seen_by_numpy = self.not_ours()
        ours = {b for run in self.runs for b in run.writes()} - self.seen_by_numpy
        self.results = {
            b: replace(b, storage=Storage.SCRATCH)
            for b in program.buffers
            if b in ours and b.storage is Storage.RESULT
        }

    def not_ours(self) -> set[Buffer]:
        """The buffers that are returned, or used by instructions left to NumPy."""
        program = self.program
        refs = [ref for way in (program.forward, program.backward) for ref in way.result if ref]
        for instr in program.setup:
            refs += [*instr.reads(), *instr.writes()]
        found = {ref.buffer.root for ref in refs}
        for items in self.lists.values():
            for item in items:
                if isinstance(item, Item):
                    found |= item.reads() | item.writes()
        return found

    def left_to_numpy(self) -> list[str]:
        """The reasons why instructions, in the loops and for all steps, are left to NumPy."""
        return [
            f"{way}, {item.section}: {shown(item.instrs[0])}: {item.reason}"
            for way, items in self.lists.items()
            for item in items
            if isinstance(item, Item) and item.reason
        ]

    # What can be machine code ---------------------------------------------------------------------

    def items_of(self, way: str) -> list[Item]:
        sections: Sections = getattr(self.program, way)
        found = [Item("constants", (i,), None) for i in sections.constants]
        found += [self.single(way, "before", instr) for instr in sections.before]
        found += self.loop(way, sections.loop) if sections.loop else []
        return found + [self.single(way, "after", instr) for instr in sections.after]

    def single(self, way: str, section: str, instr: Instr) -> Item:
        try:
            nest = nest_of(instr, shown(instr), self.memory, self.copies[way])
            self.refuse(instr, nest)
        except UnknownError as unknown:
            return Item(section, (instr,), None, str(unknown))
        return Item(section, (instr,), nest)

    def refuse(self, instr: Instr, nest: Nest) -> None:
        """Raise UnknownError for instructions that are as fast or faster in NumPy."""
        touched = {ref.buffer.root for ref in instr.reads()}
        if touched & {*self.program.seeds}:
            raise UnknownError("an argument of any form")
        (work,) = nest.works
        states = {*self.program.ends, *self.program.initial}
        if work.kind == "copy" and any(b.storage is Storage.GIVEN for b in touched - states):
            raise UnknownError("a copy of an argument")
        large = work.matrix is not None and work.matrix.rows * work.columns > LARGEST
        if large or (work.kind == "product" and nest.count == ONCE):
            raise UnknownError("a product with a large matrix, or not for all steps")

    def loop(self, way: str, loop: tuple[Instr, ...]) -> list[Item]:
        """A loop as one item, or as the parts of a loop in Python."""
        back = way == "backward"
        lanes = back and self.program.windows
        written = {ref.buffer.root for instr in loop for ref in instr.writes()}
        entries: list[Entry] = []
        given: dict[int, Instr] = {}
        for instr in loop:
            known = self.without_seeds(instr) if lanes else instr
            given[id(known)] = instr
            try:
                entries.append((known, self.of_a_step(way, known, written)))
            except UnknownError as unknown:
                entries.append((known, str(unknown)))
        works = [w for _, w in entries if isinstance(w, Work)]
        if len(works) == len(loop) and not lanes:
            nest = Nest(Span(1, 0), tuple(works), False)
            return [Item("loop", loop, nest.backwards() if back else nest)]
        return [
            item if item.nest else replace(item, instrs=tuple(given[id(i)] for i in item.instrs))
            for part in parts_of(entries)
            for item in items_of_a_step(part)
        ]

    def of_a_step(self, way: str, instr: Instr, written: set[Buffer]) -> Work:
        """The item of an instruction of a loop. written: the buffers that the loop writes."""
        done, count = work(instr, shown(instr), self.copies[way])
        if count != ONCE:
            raise UnknownError("all steps within one step")
        if done.matrix is not None and done.matrix.root in written:
            raise UnknownError("a product with a matrix that changes from step to step")
        return done

    def without_seeds(self, instr: Instr) -> Instr:
        """An instruction of a loop of lanes for machine code. A reference that is 0 for some lanes
        becomes an array for all lanes, which the loop passes."""

        def unseeded(leaf: Any) -> Any:
            if not isinstance(leaf, Ref) or not leaf.seeded:
                return leaf
            whole = replace(leaf, views=())
            stand_in = next((b for b, ref in self.seeded.items() if ref == whole), None)
            if stand_in is None:
                buffer = leaf.buffer
                name = f"seeded_{buffer.name}"
                stand_in = Buffer(name, buffer.shape, buffer.dtype, Storage.RESULT)
                self.seeded[stand_in] = whole
            return Ref(stand_in, views=leaf.views, name=leaf.name)

        return replace(instr, args=mapped(instr.args, unseeded))

    # In which order -------------------------------------------------------------------------------

    def arranged(self, way: str, items: list[Item]) -> list[Item | Run]:
        """The items in order. Nests are delayed until something needs them, so that runs are as
        long as possible."""
        found: list[Item | Run] = []
        waiting: list[Item] = []
        section = "before"
        last = list(itertools.takewhile(lambda item: item.nest is None, reversed(items)))
        in_python = [i for i in items if i.section == "loop" and (i.each_step or i.nest is None)]

        def add(section: str, chosen: list[Item], nests: list[Nest]) -> None:
            number = sum(isinstance(r, Run) for r in found) + 1
            found.append(Run(f"{way}_{number}", section, tuple(chosen), tuple(nests)))

        def needed_by(others: list[Item]) -> list[Item]:
            """The delayed items that have to come before others, directly or indirectly."""
            needed: list[Item] = []
            for n in reversed(range(len(waiting))):
                later = [*others, *(w for w in waiting[n + 1 :] if w in needed)]
                if not all(waiting[n].commutes(other) for other in later):
                    needed.append(waiting[n])
            return needed

        def flush(needed: list[Item]) -> None:
            chosen = [item for item in waiting if item in needed]
            nests = [i.nest for i in chosen if i.nest is not None]
            if any(w.kind != "copy" for nest in nests for w in nest.works):
                add(section, chosen, self.fused(nests))
            else:  # copies alone are not worth a call
                found.extend(replace(i, section=section, nest=None) for i in chosen)
            waiting[:] = [item for item in waiting if item not in chosen]

        for item in items:
            if item in in_python:
                if item is in_python[0]:
                    flush(needed_by(in_python))
                    section = "after"
                if item.nest is None:
                    found.append(item)
                else:
                    add("loop", [item], [item.nest])
                continue
            if item.section in ("loop", "after"):
                section = "after"
            if item.nest is not None:
                waiting.append(item)
                continue
            flush(list(waiting) if item in last else needed_by([item]))
            found.append(item)
        flush(list(waiting))
        return found

    def fused(self, nests: list[Nest]) -> list[Nest]:
        """The nests, fused into as few as possible."""
        found: list[Nest] = []
        for nest in nests:
            for n in reversed(range(len(found))):
                one = fused(found[n], nest, self.memory) if self.alike(found[n], nest) else None
                between = found[n + 1 :]
                if one is not None and all(self.apart(nest, other) for other in between):
                    found[n] = one
                    break
                if one is not None and all(self.apart(found[n], other) for other in between):
                    del found[n]
                    found.append(one)
                    break
            else:
                found.append(nest)
        return self.sums_last(found)

    def sums_last(self, nests: list[Nest]) -> list[Nest]:
        """The nests with the sums over the steps at the end, if they can wait. Threads divide them
        in another way, so they separate what stands before them from what stands behind."""
        pairs = itertools.combinations(nests, 2)
        needed = any(a.is_sum and not b.is_sum and not self.apart(a, b) for a, b in pairs)
        return nests if needed else sorted(nests, key=lambda nest: nest.is_sum)

    def alike(self, a: Nest, b: Nest) -> bool:
        """Whether fusion preserves the division among threads: the fused nest can be divided if
        each of both can. The rows of each sum over the steps are divided separately."""
        rows = [{w.kind if w.kind == "time_sum" else w.rows for w in n.works} for n in (a, b)]
        return self.threads == 1 or rows[0] == rows[1]

    def apart(self, a: Nest, b: Nest) -> bool:
        return not any(self.memory.conflict(v, w) for v, w in itertools.product(a.works, b.works))


Entry = tuple[Instr, Work | str]
"""An instruction of a step, with its work, or with the reason why it is not supported."""


def parts_of(entries: list[Entry]) -> list[list[Entry]]:
    """The instructions of a step, reordered so that supported instructions are adjacent where
    possible."""

    def beginning_with(known: bool) -> list[list[Entry]]:
        found, left = [], list(entries)
        while left:
            taken: list[Entry] = []
            staying: list[Entry] = []
            for entry in left:
                free = all(commute(entry[0], other) for other, _ in staying)
                fits = free and isinstance(entry[1], Work) == known
                (taken if fits else staying).append(entry)
            if taken:
                found.append(taken)
            left, known = staying, not known
        return found

    return min(map(beginning_with, (True, False)), key=len)


def commute(a: Instr, b: Instr) -> bool:
    """Whether two instructions may change places."""
    return Item("loop", (a,), None).commutes(Item("loop", (b,), None))


def items_of_a_step(part: list[Entry]) -> list[Item]:
    """The items of a part of a step: one call of machine code, or instructions left to NumPy."""
    works = tuple(w for _, w in part if isinstance(w, Work))
    if len(works) >= WORTH_A_CALL:
        nest = Nest(ONCE, works, False)
        return [Item("loop", tuple(i for i, _ in part), nest, each_step=True)]
    alone = "no other instruction stands beside it that could be called with it"
    return [Item("loop", (i,), None, w if isinstance(w, str) else alone) for i, w in part]


def copies_in(program: Program, way: str) -> dict[Buffer, Ref]:
    """The buffers that are pure copies of parameters, each with its original."""
    sections: Sections = getattr(program, way)
    instrs = [*program.setup, *program.forward.all(), *program.backward.all()]
    writers: dict[Buffer, list[Instr]] = {}
    for instr in instrs:
        for ref in instr.writes():
            writers.setdefault(ref.buffer.root, []).append(instr)
    found = {}
    for instr in sections.constants:
        source: Any = instr.args[0] if instr.args else None
        out: Any = instr.out
        if (
            instr.function is operations.copy
            and isinstance(source, Ref)
            and isinstance(out, Ref)
            and not out.views
            and source.buffer in program.parameters
            and source.dtype == out.dtype
            and writers[out.buffer.root] == [instr]
            and not any(b.shares is not None and b.root is out.buffer for b in program.buffers)
        ):
            found[out.buffer] = source
    return found


def shown(instr: Instr) -> str:
    """An instruction as one line of text."""

    def text(a: Any) -> str:
        if isinstance(a, Ref):
            name = a.name or a.buffer.name
            return f"{name}_t" if a.when is When.STEP else name
        if isinstance(a, list | tuple):
            return f"[{', '.join(map(text, a))}]"
        return str(a)

    outs = ", ".join(map(text, instr.writes()))
    args = ", ".join(map(text, instr.args))
    return f"{outs} = {getattr(instr.function, '__name__', instr.function)}({args})"
