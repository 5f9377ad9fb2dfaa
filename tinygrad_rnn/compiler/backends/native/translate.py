"""Translation: machine code replaces the supported instructions of a program.

The result is a program like any other. Its `setup` passes the addresses of the buffers to each
piece of machine code, once. A call of that piece replaces each run of instructions.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import numpy as np

from tinygrad_rnn.compiler import operations
from tinygrad_rnn.compiler.backends.native import objects
from tinygrad_rnn.compiler.backends.native.contraction import contracted
from tinygrad_rnn.compiler.backends.native.groups import Group, divisible, grouped
from tinygrad_rnn.compiler.backends.native.links import Link, called, called_at
from tinygrad_rnn.compiler.backends.native.loops import (
    AT_CALL,
    AT_STEP,
    RESULTS,
    Emitter,
    Form,
    Part,
)
from tinygrad_rnn.compiler.backends.native.nests import (
    Memory,
    Nest,
    Packed,
    Place,
    Work,
    accumulated,
    ordered,
    retargeted,
)
from tinygrad_rnn.compiler.backends.native.results import is_kept
from tinygrad_rnn.compiler.backends.native.runs import WAYS, Arrangement, Item, Run
from tinygrad_rnn.compiler.backends.native.text import Module, Value
from tinygrad_rnn.compiler.ir import (
    OWN,
    STEP,
    Buffer,
    Instr,
    Program,
    Ref,
    Sections,
    Storage,
    T,
    When,
)

WORKING = (Storage.KEPT, Storage.SCRATCH, Storage.RESULT)

Grouped = tuple[Nest, list[Group]]
"""A nest, with its works as loops."""


class Translation:
    """A program, with the machine code for it.

    program: the given program. result: the program with calls of machine code. module: the LLVM IR.
        notes: the loops of each run.
    """

    def __init__(self, program: Program, threads: int = 1) -> None:
        self.program, self.threads = program, threads
        self.memory = Memory()
        self.machine = objects.machine()
        self.arrangement = Arrangement(program, self.memory, threads)
        self.runs = self.contracted(self.arrangement.runs)
        links = {link.root for link in program.links if link is not None}
        self.seen_elsewhere = self.arrangement.seen_by_numpy | links
        self.notes: dict[str, list[str]] = {}
        self.module = Module()
        self.roots: dict[str, list[Buffer | Packed]] = {}
        self.functions: dict[str, list[Part]] = {}
        for run in self.runs:
            self.emit(run)

    @property
    def text(self) -> str:
        """The LLVM IR."""
        return str(self.module)

    # Machine code ---------------------------------------------------------------------------------

    def contracted(self, runs: list[Run]) -> list[Run]:
        """The runs, where arrays that only one loop uses are of one step where possible."""
        nests = [nest for run in runs for nest in run.nests]
        found = iter(contracted(nests, self.arrangement.seen_by_numpy, self.memory))
        return [replace(run, nests=tuple(next(found) for _ in run.nests)) for run in runs]

    def emit(self, run: Run) -> None:
        """Emit the functions of a run. This is one function; or one that packs, and one for each
        step of a loop; or, with several threads, one that packs, and one for each sequence of nests
        whose rows can be divided."""
        works = [w for nest in run.nests for w in nest.works]
        packed: dict[Place, Packed] = {}
        roots: dict[Buffer | Packed, Value] = {}
        parts = self.functions[run.name] = []
        nests = [(nest, self.groups_of(nest)) for nest in run.nests]
        self.notes[run.name] = [
            line for nest, groups in nests for line in described(nest, groups, run.each_step)
        ]
        matrices = [w.matrix for w in works if w.matrix is not None]
        written = {out.root for w in works for out in w.outs}
        changing = any(matrix.root in written for matrix in matrices)
        apart = run.each_step or (not changing and any(map(self.divides, run.nests)))

        def function(name: str, form: Form, some: list[Grouped]) -> None:
            emitter = Emitter(self.module, name, self.machine, roots, packed, form)
            if not some:
                for matrix in matrices:
                    emitter.pack(matrix)
            for nest, groups in some:
                emitter.nest(nest, self.memory, groups)
            if form is Form.STEP:
                emitter.finish(AT_STEP)
            else:
                emitter.finish(*(() if parts else (AT_CALL, RESULTS)))
            parts.append(Part(name, form))

        if apart:
            function(f"{run.name}_pack", Form.WHOLE, [])
        if run.each_step:
            function(run.name, Form.STEP, nests)
        elif apart:
            for divided, group in self.in_parts(nests):
                form = Form.DIVIDED if divided else Form.WHOLE
                function(f"{run.name}_{len(parts)}", form, group)
        else:
            function(run.name, Form.WHOLE, nests)
        self.roots[run.name] = list(roots)

    def in_parts(self, nests: list[Grouped]) -> list[tuple[bool, list[Grouped]]]:
        """The nests in sequences. Each thread can run through a sequence independently."""
        found: list[tuple[bool, list[Grouped]]] = []
        for nest, groups in nests:
            divided = self.divides(nest)
            if found:
                before = [other for other, _ in found[-1][1]]
                sums = {other.is_sum for other in (*before, nest)}
                works = [w for other in (*before, nest) for w in other.works]
                # Sums over the steps read what all threads have written, and nothing here reads
                # them. A small one is left to one of the threads.
                if sums == {True} or (
                    divided == found[-1][0]
                    and (not divided or (sums == {False} and self.divisible(*works)))
                ):
                    found[-1] = found[-1][0] or divided, [*found[-1][1], (nest, groups)]
                    continue
            found.append((divided, [(nest, groups)]))
        return found

    def divides(self, nest: Nest) -> bool:
        """Whether the rows of a nest can be divided among threads; of sums over the steps, the rows
        of each sum."""
        if nest.is_sum:
            return self.threads > 1 and any(w.rows > self.machine.rows for w in nest.works)
        return self.threads > 1 and self.divisible(*nest.works)

    def divisible(self, *works: Work) -> bool:
        return divisible(list(works), self.memory, self.machine.rows)

    def groups_of(self, nest: Nest) -> list[Group]:
        """The works of a nest, grouped into loops."""
        others = [
            w for run in self.runs for other in run.nests if other is not nest for w in other.works
        ]

        def read_elsewhere(place: Place) -> bool:
            return place.root in self.seen_elsewhere or any(
                self.memory.overlap(p, place) for w in others for p in w.reads()
            )

        works = ordered(nest.works, self.memory)
        works = retargeted(works, self.memory, read_elsewhere)
        works = accumulated(works, self.memory, read_elsewhere)
        works = ordered(tuple(works), self.memory)  # the additions no longer stand between
        return grouped(works, self.memory, read_elsewhere)

    # The program ----------------------------------------------------------------------------------

    def result(self) -> Program:
        """The program with calls of machine code."""
        if not self.runs:
            return self.program
        library = objects.library(self.text)
        setup = list(self.program.setup)
        ways: dict[str, Sections] = {}
        for way in WAYS:
            parts: dict[str, list[Instr]] = {
                s: [] for s in ("constants", "before", "loop", "after")
            }
            for item in self.arrangement.lists[way]:
                if isinstance(item, Item):
                    parts[item.section] += item.instrs
                    continue
                returned, anew = self.results_of(item)
                parts[item.section] += map(made_anew, anew)
                calls = self.linked(way, item, returned, library)
                setup.append(calls.pop("setup"))
                for section, call in calls.items():
                    parts[section].append(call)
            old: Sections = getattr(self.program, way)
            sections = Sections(**{k: tuple(v) for k, v in parts.items()}, result=old.result)
            ways[way] = self.without_unread(way, sections)
        used = buffers_in([*setup, *ways["forward"].all(), *ways["backward"].all()])
        kept = [b for b in self.program.buffers if b in used or b.storage not in WORKING]
        made = [b for b in used if b not in self.program.buffers]
        return replace(
            self.program,
            buffers=(*kept, *made),
            setup=tuple(setup),
            forward=ways["forward"],
            backward=ways["backward"],
        )

    def results_of(self, run: Run) -> tuple[list[Buffer], list[Buffer]]:
        """The arrays that a run writes and NumPy's functions would have made: those that the run
        itself returns, and those that are made for each call."""
        written = run.writes() & self.arrangement.seen_by_numpy
        found: tuple[list[Buffer], list[Buffer]] = [], []
        for buffer in self.roots[run.name]:
            if buffer in written and buffer.storage is Storage.RESULT:
                found[run.each_step or not is_kept(buffer)].append(buffer)
        return found

    def without_unread(self, way: str, sections: Sections) -> Sections:
        """Drop the copies of parameters that only machine code would read."""
        read = {ref.buffer.root for i in sections.all() for ref in i.reads()}
        read |= {b for run in self.runs for b in self.roots[run.name] if isinstance(b, Buffer)}
        unread = self.arrangement.copies[way].keys() - read
        constants = tuple(i for i in sections.constants if i.writes()[0].buffer not in unread)
        return replace(sections, constants=constants)

    def linked(
        self, way: str, run: Run, returned: list[Buffer], library: objects.Library
    ) -> dict[str, Instr]:
        """The instruction that passes the addresses, and the calls, by their sections."""
        results, seeded = self.arrangement.results, self.arrangement.seeded
        loop: Sections = getattr(self.program, way)
        in_loop = {ref.buffer.root for i in loop.loop for ref in i.writes()}
        roots = [results.get(b, b) if isinstance(b, Buffer) else b for b in self.roots[run.name]]
        named = [b for b in roots if isinstance(b, Buffer)]
        buffers = [b for b in named if b.storage in OWN]
        others = [b for b in named if b.storage not in OWN]
        changing = [
            b
            for b in others
            if run.each_step and (b.storage is Storage.LANE or b in seeded or b in in_loop)
        ]
        given = [b for b in others if b not in changing and b not in returned]
        labels = [
            (i.args[1], i.args[0].buffer.shape[-1])
            for item in run.items
            for i in item.instrs
            if i.function is operations.cross_entropies
        ]
        link = Link(
            run.name, tuple(roots), tuple(buffers), tuple(given), tuple(changing),
            frozenset({*self.program.ends, *seeded}), tuple(returned),
            tuple(self.functions[run.name]), tuple(labels), library, self.threads,
        )  # fmt: skip

        def named_result(name: str, dtype: type) -> Ref:
            return Ref(Buffer(name, (), np.dtype(dtype), Storage.RESULT))

        native = named_result(f"run_{run.name}", object)
        done = named_result(f"{run.name}_done", np.int64)
        arguments = (T, *map(whole, buffers))
        call = Instr(called, (native, *map(whole, given)), tuple(map(whole, returned)) or done)
        if not run.each_step:
            return {"setup": Instr(link, arguments, native), run.section: call}
        step = named_result(f"step_{run.name}", object)
        at_each = [seeded[b] if b in seeded else whole(b) for b in changing]
        done_step = named_result(f"{run.name}_step_done", np.int64)
        return {
            "setup": Instr(link, arguments, (native, step)),
            "before": call,
            "loop": Instr(called_at, (step, STEP, *at_each), done_step),
        }


def buffers_in(instrs: Iterable[Instr]) -> dict[Buffer, None]:
    """All arrays that instructions use, each before those that share its memory."""
    refs = (ref for i in instrs for ref in (*i.reads(), *i.writes()))
    return {b: None for ref in refs for b in (ref.buffer.root, ref.buffer)}


def made_anew(buffer: Buffer) -> Instr:
    """The instruction that makes a result."""
    shape = buffer.shape if buffer.time is None else (T, *buffer.shape)
    return Instr(np.empty, (shape, buffer.dtype), whole(buffer))


def whole(buffer: Buffer) -> Ref:
    return Ref(buffer, When.ALWAYS if buffer.time is None else When.ALL)


def described(nest: Nest, groups: list[Group], each_step: bool) -> list[str]:
    """The description of a loop: the size of its rows, and its computation."""
    steps = "at this step" if each_step else "for each step" if nest.count.slope else "once"
    if nest.is_sum:
        steps = "over all steps"
    found = []
    for group in groups:
        rows, columns = group.works[0].rows, group.works[0].columns
        found.append(f"{steps}, {rows} row{'s' * (rows > 1)} of {columns}:")
        found += [f"    {work.text}" for work in group.works]
    return found
