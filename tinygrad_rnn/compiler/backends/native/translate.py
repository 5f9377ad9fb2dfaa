"""From a program to one in which machine code does what it can: the rest stays as it is.

The result is a program like any other. Its `setup` hands the addresses of the buffers to each piece
of machine code, once; where a run of instructions stood, a call of that piece stands.
"""

from __future__ import annotations

import ctypes
import functools
import itertools
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from tinygrad_rnn.compiler import operations
from tinygrad_rnn.compiler.backends.native import objects
from tinygrad_rnn.compiler.backends.native.loops import Emitter, Group, divisible, grouped
from tinygrad_rnn.compiler.backends.native.memory import address, aligned
from tinygrad_rnn.compiler.backends.native.nests import (
    Memory,
    Nest,
    Packed,
    Place,
    accumulated,
    fused,
    ordered,
    retargeted,
)
from tinygrad_rnn.compiler.backends.native.products import LARGEST
from tinygrad_rnn.compiler.backends.native.reader import ONCE, UnknownError, loop_of, nest_of
from tinygrad_rnn.compiler.backends.native.text import Module, Value
from tinygrad_rnn.compiler.ir import (
    Buffer,
    Instr,
    Program,
    Ref,
    Sections,
    Storage,
    T,
    When,
)

OWN = (Storage.STATE, Storage.KEPT, Storage.SCRATCH)
WORKING = (Storage.KEPT, Storage.SCRATCH, Storage.RESULT)


@dataclass(frozen=True)
class Item:
    """Some instructions in the order of a function: a loop, or a single one.

    nest: as works; None for what NumPy does, `reason` says why.
    """

    section: str
    instrs: tuple[Instr, ...]
    nest: Nest | None
    reason: str = ""

    def reads(self) -> set[Buffer]:
        return {ref.buffer.root for instr in self.instrs for ref in instr.reads()}

    def writes(self) -> set[Buffer]:
        return {ref.buffer.root for instr in self.instrs for ref in instr.writes()}

    def commutes(self, other: Item) -> bool:
        """Whether they may change places."""
        mine, theirs = self.writes(), other.writes()
        return not (mine & (other.reads() | theirs) or theirs & self.reads())


@dataclass(frozen=True)
class Run:
    """Nests that are one piece of machine code. items: what they were made of."""

    name: str
    section: str
    items: tuple[Item, ...]
    nests: tuple[Nest, ...]


class Translation:
    """A program, and what of it is machine code.

    program: as given. result: the one with calls of machine code. module: a function that gives the
    LLVM IR. notes: for each run what was made one loop, and for the rest why it was not.
    """

    def __init__(self, program: Program, threads: int = 1) -> None:
        self.program, self.threads = program, threads
        self.memory = Memory()
        self.machine = objects.machine()
        self.copies = {way: copies_in(program, way) for way in ("forward", "backward")}
        items = {way: self.items_of(way) for way in ("forward", "backward")}
        self.demote(items)
        self.lists = {way: self.arranged(way, found) for way, found in items.items()}
        self.runs = [r for found in self.lists.values() for r in found if isinstance(r, Run)]
        self.numpy_reads = self.read_by_numpy()
        self.notes: dict[str, list[str]] = {}
        self.module = Module()
        self.roots: dict[str, list[Buffer | Packed]] = {}
        self.functions: dict[str, list[tuple[str, bool]]] = {}
        for run in self.runs:
            self.emit(run)

    # What can be machine code ---------------------------------------------------------------------

    def items_of(self, way: str) -> list[Item]:
        sections: Sections = getattr(self.program, way)
        found = [Item("constants", (i,), None) for i in sections.constants]
        for section in ("before", "after"):
            if section == "after" and sections.loop:
                found.append(self.loop_item(way, sections.loop))
            for instr in getattr(sections, section):
                found.append(self.single(way, section, instr))
        return found

    def single(self, way: str, section: str, instr: Instr) -> Item:
        try:
            nest = nest_of(instr, shown(instr), self.memory, self.copies[way])
            self.refuse(instr, nest)
        except UnknownError as unknown:
            return Item(section, (instr,), None, str(unknown))
        return Item(section, (instr,), nest)

    def refuse(self, instr: Instr, nest: Nest) -> None:
        """UnknownError for what NumPy does as well or better."""
        given = {*self.program.ends, *self.program.seeds, *self.program.initial}
        touched = {ref.buffer.root for ref in instr.reads()}
        if touched & given:
            raise UnknownError("an argument of any form")
        (work,) = nest.works
        if work.kind == "copy" and any(b.storage is Storage.GIVEN for b in touched):
            raise UnknownError("a copy of an argument")
        if work.kind == "product":
            assert isinstance(work.args[1], Place)
            if work.args[1].rows * work.columns > LARGEST or nest.count == ONCE:
                raise UnknownError("a product with a large matrix, or not for all steps")

    def loop_item(self, way: str, loop: tuple[Instr, ...]) -> Item:
        try:
            if way == "backward" and self.program.windows:
                raise UnknownError("each loss has a window of its own, so the loop goes by lanes")
            texts = [shown(i) for i in loop]
            nest = loop_of(loop, texts, way == "backward", self.copies[way])
        except UnknownError as unknown:
            return Item("loop", loop, None, str(unknown))
        return Item("loop", loop, nest)

    def demote(self, items: dict[str, list[Item]]) -> None:
        """What a function returns is an array of NumPy's; it is ours only if all who touch it
        are."""
        program = self.program
        asked = {
            ref.buffer.root
            for way in (program.forward, program.backward)
            for ref in way.result
            if ref is not None
        }
        entry = (*program.setup, *program.entry, *program.block_entry)
        asked |= {ref.buffer.root for i in entry for ref in (*i.reads(), *i.writes())}
        changed = True
        while changed:
            changed = False
            ours = [i for found in items.values() for i in found if i.nest is not None]
            others = [i for found in items.values() for i in found if i.nest is None]
            touched = asked.union(*(i.reads() | i.writes() for i in others))
            for found in items.values():
                for n, item in enumerate(found):
                    results = {b for b in item.writes() if b.storage is Storage.RESULT}
                    if item in ours and results & touched:
                        found[n] = replace(item, nest=None, reason="its result is given out")
                        changed = True

    # In which order -------------------------------------------------------------------------------

    def arranged(self, way: str, items: list[Item]) -> list[Item | Run]:
        """Nests wait until something needs them, so that as many as can be are one run."""
        found: list[Item | Run] = []
        waiting: list[Item] = []
        section = "before"

        def flush(needed: list[Item]) -> None:
            for item in reversed(waiting):
                if item not in needed and any(
                    not item.commutes(other)
                    for other in needed
                    if waiting.index(other) > waiting.index(item)
                ):
                    needed.append(item)
            chosen = [item for item in waiting if item in needed]
            if chosen:
                number = sum(isinstance(r, Run) for r in found) + 1
                nests = self.fused([i.nest for i in chosen if i.nest is not None])
                found.append(Run(f"{way}_{number}", section, tuple(chosen), tuple(nests)))
            waiting[:] = [item for item in waiting if item not in chosen]

        for item in items:
            if item.section in ("loop", "after"):
                section = "after" if item.section == "after" or item.nest is not None else section
            if item.nest is not None:
                waiting.append(item)
                continue
            flush([other for other in waiting if not item.commutes(other)])
            found.append(item)
            if item.section == "loop":
                section = "after"
        flush(list(waiting))
        return found

    def fused(self, nests: list[Nest]) -> list[Nest]:
        """As few nests as can be."""
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
        return found

    def alike(self, a: Nest, b: Nest) -> bool:
        """Whether one nest of both could be divided among threads if each of them can."""
        return self.threads == 1 or {w.rows for w in a.works} == {w.rows for w in b.works}

    def apart(self, a: Nest, b: Nest) -> bool:
        return not any(self.memory.conflict(v, w) for v, w in itertools.product(a.works, b.works))

    # Machine code ---------------------------------------------------------------------------------

    def read_by_numpy(self) -> set[Buffer]:
        program = self.program
        refs = [ref for way in (program.forward, program.backward) for ref in way.result]
        for instr in (*program.setup, *program.entry, *program.block_entry):
            refs += instr.reads()
        found = {ref.buffer.root for ref in refs if ref is not None}
        found |= {b.root for b in (*program.states, *program.links) if b is not None}
        for items in self.lists.values():
            for item in items:
                if isinstance(item, Item):
                    found |= item.reads()
        return found

    def emit(self, run: Run) -> None:
        """The functions of a run: one, or with several threads one that packs, and one for all
        nests in a row whose rows can be divided."""
        works = [w for nest in run.nests for w in nest.works]
        packed: dict[Place, Packed] = {}
        roots: dict[Buffer | Packed, Value] = {}
        parts = self.functions[run.name] = []
        nests = [(nest, self.groups_of(nest)) for nest in run.nests]
        self.notes[run.name] = [
            f"for t: {line}" if nest.count.slope else line
            for nest, groups in nests
            for line in described(groups)
        ]
        matrices = [w.args[1] for w in works if w.kind == "product"]
        written = {out.root for w in works for out in w.outs}
        changing = any(isinstance(m, Place) and m.root in written for m in matrices)
        one = self.threads == 1 or changing or not any(map(self.divides, run.nests))

        def function(name: str, some: list[tuple[Nest, list[Group]]], divided: bool) -> None:
            emitter = Emitter(self.module, name, self.machine, roots, packed)
            for nest, groups in some:
                emitter.nest(nest, self.memory, groups)
            emitter.finish()
            parts.append((name, divided))

        if one:
            function(run.name, nests, False)
        else:
            packer = Emitter(self.module, f"{run.name}_pack", self.machine, roots, packed)
            for matrix in matrices:
                assert isinstance(matrix, Place)
                packer.pack(matrix)
            packer.finish()
            parts.append((f"{run.name}_pack", False))
            for divided, group in self.in_parts(nests):
                function(f"{run.name}_{len(parts)}", group, divided)
        self.roots[run.name] = list(roots)

    def in_parts(
        self, nests: list[tuple[Nest, list[Group]]]
    ) -> list[tuple[bool, list[tuple[Nest, list[Group]]]]]:
        """Nests one after the other, those together that each thread can go through alone."""
        found: list[tuple[bool, list[tuple[Nest, list[Group]]]]] = []
        for nest, groups in nests:
            divided = self.divides(nest)
            if found and found[-1][0] == divided:
                before = [w for other, _ in found[-1][1] for w in other.works]
                works = [*before, *nest.works]
                if not divided or divisible(works, self.memory, self.machine.rows):
                    found[-1][1].append((nest, groups))
                    continue
            found.append((divided, [(nest, groups)]))
        return found

    def divides(self, nest: Nest) -> bool:
        """Whether its rows can be divided among threads."""
        return self.threads > 1 and divisible(list(nest.works), self.memory, self.machine.rows)

    def groups_of(self, nest: Nest) -> list[Group]:
        """The works of a nest as loops."""
        others = [
            w for run in self.runs for other in run.nests if other is not nest for w in other.works
        ]

        def read_elsewhere(place: Place) -> bool:
            return place.root in self.numpy_reads or any(
                self.memory.overlap(p, place) for w in others for p in w.reads()
            )

        works = ordered(nest.works, self.memory)
        works = retargeted(works, self.memory, read_elsewhere)
        works = accumulated(works, self.memory, read_elsewhere)
        return grouped(works, self.memory, read_elsewhere)

    def left_to_numpy(self) -> list[str]:
        """Why instructions of the loops, and of what is done for all steps, are NumPy's."""
        return [
            f"{way}, {item.section}: {shown(item.instrs[0])}"
            f"{' and the rest of the loop' if len(item.instrs) > 1 else ''}: {item.reason}"
            for way, items in self.lists.items()
            for item in items
            if isinstance(item, Item) and item.reason
        ]

    @property
    def text(self) -> str:
        """The LLVM IR."""
        return str(self.module)

    # The program ----------------------------------------------------------------------------------

    def result(self) -> Program:
        """The program with calls of machine code."""
        if not self.runs:
            return self.program
        library = objects.library(self.text, lambda: self.module)
        made: list[Buffer] = []
        setup = list(self.program.setup)
        ways: dict[str, Sections] = {}
        for way, items in self.lists.items():
            parts: dict[str, list[Instr]] = {
                s: [] for s in ("constants", "before", "loop", "after")
            }
            for item in items:
                if isinstance(item, Item):
                    parts[item.section] += item.instrs
                    continue
                link, call = self.linked(item, library, made)
                setup.append(link)
                parts[item.section].append(call)
            old: Sections = getattr(self.program, way)
            ways[way] = Sections(**{k: tuple(v) for k, v in parts.items()}, result=old.result)
        ways = {way: self.without_unread(way, parts) for way, parts in ways.items()}
        used = buffers_in(setup).union(*(buffers_in(part) for part in ways.values()))
        used |= buffers_in(self.program.entry) | buffers_in(self.program.block_entry)
        kept = tuple(b for b in self.program.buffers if b in used or b.storage not in WORKING)
        return replace(
            self.program,
            buffers=(*kept, *made),
            setup=tuple(setup),
            forward=ways["forward"],
            backward=ways["backward"],
        )

    def without_unread(self, way: str, sections: Sections) -> Sections:
        """Copies of parameters that only machine code would have read are not made."""
        left = [i for i in sections.all() if i.function is not operations.copy]
        others = [i for i in sections.all() if i.function is operations.copy]
        read = {ref.buffer.root for i in left for ref in (*i.reads(), *i.writes())}
        read |= {ref.buffer.root for i in others for ref in i.reads()}
        entry = (*self.program.entry, *self.program.block_entry)
        read |= {ref.buffer.root for i in entry for ref in i.reads()}
        read |= {b for run in self.runs for b in self.roots[run.name] if isinstance(b, Buffer)}
        constants = tuple(
            i
            for i in sections.constants
            if not (i.function is operations.copy and i.writes()[0].buffer in self.copies[way])
            or i.writes()[0].buffer in read
        )
        return replace(sections, constants=constants)

    def internal(self, run: Run) -> list[Buffer]:
        """Results that only machine code touches: it has memory for them."""
        written = {b for r in self.runs for item in r.items for b in item.writes()}
        return [
            root
            for root in self.roots[run.name]
            if isinstance(root, Buffer) and root.storage is Storage.RESULT and root in written
        ]

    def linked(self, run: Run, library: objects.Library, made: list[Buffer]) -> tuple[Instr, Instr]:
        """The instructions that hand over the addresses, and that call."""
        roots = self.roots[run.name]
        buffers = [b for b in roots if isinstance(b, Buffer) and b.storage in OWN]
        given = [
            b for b in roots if isinstance(b, Buffer) and b not in buffers
            and b not in self.internal(run)
        ]  # fmt: skip
        native = Buffer(f"run_{run.name}", (), np.dtype(object), Storage.RESULT)
        done = Buffer(f"{run.name}_done", (), np.dtype(np.int64), Storage.RESULT)
        made += [native, done]
        link = Link(run, roots, buffers, given, library, self.threads, self)
        setup = Instr(link, (T, *map(whole, buffers)), Ref(native))
        call = Instr(called, (Ref(native), *map(whole, given)), Ref(done))
        return setup, call


def copies_in(program: Program, way: str) -> dict[Buffer, Ref]:
    """Buffers that are copies of parameters and nothing else, each with what it is a copy of."""
    sections: Sections = getattr(program, way)
    instrs = [
        *program.setup,
        *program.forward.all(),
        *program.backward.all(),
        *program.entry,
        *program.block_entry,
    ]
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
            and out.buffer.fill is None
            and writers[out.buffer.root] == [instr]
            and not any(b.shares is not None and b.root is out.buffer for b in program.buffers)
        ):
            found[out.buffer] = source
    return found


def called(run: Callable[..., int], *given: Any) -> int:
    """Run machine code on the buffers that it knows and the arrays that are given."""
    return run(*given)


def buffers_in(instrs: Sections | Iterable[Instr]) -> set[Buffer]:
    """All arrays that instructions touch."""
    every = instrs.all() if isinstance(instrs, Sections) else instrs
    return {
        b for i in every for ref in (*i.reads(), *i.writes()) for b in (ref.buffer, ref.buffer.root)
    }


def whole(buffer: Buffer) -> Ref:
    return Ref(buffer, When.ALWAYS if buffer.time is None else When.ALL)


class Link:
    """Makes the function for one set of buffers: their addresses are looked up once."""

    def __init__(
        self,
        run: Run,
        roots: list[Buffer | Packed],
        buffers: list[Buffer],
        given: list[Buffer],
        library: objects.Library,
        threads: int,
        translation: Translation,
    ) -> None:
        self.__name__ = f"link_{run.name}"
        self.roots, self.buffers, self.given = roots, buffers, given
        self.library, self.name = library, run.name
        types = (ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64, ctypes.c_int64)
        self.parts = [
            (library.function(name, *types), divided)
            for name, divided in translation.functions[run.name]
        ]
        self.threads = threads
        self.labels = [
            (i.args[1], i.args[0].buffer.shape[-1])
            for item in run.items
            for i in item.instrs
            if i.function is operations.cross_entropies
        ]

    def __call__(self, steps: int, *arrays: Any) -> Callable[..., int]:
        have = dict(zip(self.buffers, arrays, strict=True))
        kept: list[Any] = []
        table = np.zeros(len(self.roots), np.uintp)
        for n, root in enumerate(self.roots):
            if root in self.given:
                continue
            array = have.get(root)  # type: ignore[arg-type]
            if array is None:
                array = self.memory(root, steps)
            kept.append(array)
            table[n] = address(array)
        places = [self.roots.index(b) for b in self.given]
        types = [b.dtype for b in self.given]
        start = address(table)
        kept += [table, self.library]
        function = self.parts[0][0]
        if len(self.parts) > 1:
            function = Divided(self.parts, self.threads)

        def run(*given: Any, kept: Any = kept) -> int:
            arrays = []
            for place, dtype, array in zip(places, types, given, strict=True):
                array = np.ascontiguousarray(array, dtype)
                arrays.append(array)
                table[place] = address(array)
            failed: int = function(start, steps, 0, 1)
            if failed:
                self.complain(arrays)
            return failed

        return run

    def memory(self, root: Buffer | Packed, steps: int) -> Any:
        """An array that only machine code knows."""
        if isinstance(root, Packed):
            size = root.size
        else:
            entries = 1 if root.time is None else steps + root.time
            size = entries * int(np.prod(root.shape))
        return aligned(size, root.dtype)

    def complain(self, arrays: list[Any]) -> None:
        """Let NumPy's form of the instruction say what is wrong with the labels."""
        for ref, classes in self.labels:
            labels = arrays[self.given.index(ref.buffer.root)]
            logits = np.zeros((*labels.shape, classes))
            operations.cross_entropies(logits, labels, np.ones(classes))
        raise ValueError("a label is none of the classes")


class Divided:
    """Functions one after the other; those that can be are divided among threads.

    Each part goes through all steps alone. What a part computes does not depend on how many there
    are, so the numbers are those of one thread.
    """

    def __init__(self, parts: list[tuple[Any, bool]], threads: int) -> None:
        self.parts, self.threads = parts, threads

    def __call__(self, address: int, steps: int, part: int, parts: int) -> int:
        failed = 0
        for function, divided in self.parts:
            if not divided:
                failed |= function(address, steps, 0, 1)
                continue
            others = [
                pool(self.threads - 1).submit(function, address, steps, n, self.threads)
                for n in range(1, self.threads)
            ]
            failed |= function(address, steps, 0, self.threads)
            for other in others:
                failed |= other.result()
        return failed


@functools.cache
def pool(workers: int) -> ThreadPoolExecutor:
    """Threads that wait for parts of a batch."""
    return ThreadPoolExecutor(workers, thread_name_prefix="tinygrad_rnn")


def shown(instr: Instr) -> str:
    """An instruction in a line."""

    def text(a: Any) -> str:
        if isinstance(a, Ref):
            name = a.name or a.buffer.name
            return f"{name}_t" if a.when is When.STEP else name
        return str(a)

    outs = ", ".join(map(text, instr.writes()))
    args = ", ".join(map(text, instr.args))
    return f"{outs} = {getattr(instr.function, '__name__', instr.function)}({args})"


def described(groups: list[Group]) -> list[str]:
    """What was made one loop, a line for each."""
    found = []
    for group in groups:
        names = ", ".join(w.kind for w in group.works)
        rows, columns = group.works[0].rows, group.works[0].columns
        found.append(f"{rows}×{columns}: {names}")
    return found
