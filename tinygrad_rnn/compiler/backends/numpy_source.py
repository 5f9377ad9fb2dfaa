"""The back end "numpy": a program as Python source that needs NumPy alone.

`program(T)` makes the buffers for T steps and the views of each step, once. It returns the two
functions. Their loops use only these views.
"""

from __future__ import annotations

import inspect
import itertools
import re
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

import numpy as np

from tinygrad_rnn.compiler.backends.literals import expression, literal, of_index
from tinygrad_rnn.compiler.backends.references import References, Walk
from tinygrad_rnn.compiler.ir import (
    CONTINUED,
    OWN,
    STEP,
    Buffer,
    Instr,
    Program,
    Ref,
    Storage,
    When,
    leaves_of,
)
from tinygrad_rnn.compiler.operations import (
    HELPERS,
    OUT_LAST,
    copy,
    is_elementwise,
    over_lanes,
    path_of,
    takes_out,
)

ROWS = '''
def rows(a):
    """The rows of all steps under one another."""
    return a.reshape(-1, a.shape[-1])
'''

NUMBERS = '''
def numbers(a):
    """Each number of an array as an array to write to."""
    return [a[t, ...] for t in range(len(a))]
'''


def source(program: Program) -> str:
    """The whole module."""
    return Page(program).text()


class Page:
    """A source being written. at: the names of everything in it. each_step: the lists of the
    entries of each step."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self.at = References(program)
        self.each_step: dict[Ref, str] = {}
        self.written = written_buffers(program)

    def text(self) -> str:
        program = self.program
        for buffer in program.buffers:
            self.at.factory += self.making(buffer)
        self.at.factory += [line for instr in program.setup for line in self.lines(instr)]
        ahead, back = Walk(), Walk()
        forward, backward = self.forward(ahead), self.backward(back)
        once = self.views_of_each_step((*ahead.own, *back.own))
        steps = [*once, *self.steps(ahead, "forward"), *self.steps(back, "backward", "[::-1]")]
        states = "".join(f", {ref.buffer.name}=None" for ref in program.states)
        buffers = ["# Buffers and the views of each step, made once.", *self.at.factory, *steps]
        body = [*buffers, "", *forward, "", *backward, "", "return forward, backward"]
        if program.title:
            body.insert(0, f'"""{program.title}"""')
        text = "\n".join([f"def program(T{states}, empty=np.empty):", *indented(body)]) + "\n"
        for name, helper in reversed(helpers().items()):
            if any(f"{name}(" in line.partition("#")[0] for line in text.splitlines()):
                text = f"{helper.strip()}\n\n\n{text}"
        return f"import numpy as np\n\n\n{text}"

    # Buffers ------------------------------------------------------------------------------------

    def making(self, buffer: Buffer) -> list[str]:
        """The line that makes a buffer, if the buffer is made once."""
        name, dtype = buffer.name, literal(buffer.dtype)
        if buffer.storage not in OWN:
            return []
        if buffer.shares is not None:
            return [f"{name} = {buffer.shares.name}  # takes its place"]
        shape = shape_of(buffer)
        if buffer.storage is Storage.STATE:
            return [f"{name} = np.empty({shape}, {dtype}) if {name} is None else {name}"]
        if isinstance(buffer.fill, np.ndarray):
            return [f"{name} = {literal(buffer.fill)}"]
        if buffer.fill is None:
            maker = "empty" if buffer.storage is Storage.SCRATCH else "np.empty"
            return [f"{name} = {maker}({shape}, {dtype})"]
        if buffer.shape == () and buffer.time is None:
            return [f"{name} = np.array({literal(buffer.fill)}, {dtype})"]
        if buffer not in self.written:  # the same in all blocks of steps
            made = f"{name} = empty({shape}, {dtype})"
            return [made, f"{name}[...] = {literal(buffer.fill)}"]
        special = {0: "zeros", 1: "ones"}[buffer.fill]
        return [f"{name} = np.{special}({shape}, {dtype})"]

    # Instructions -------------------------------------------------------------------------------

    def argument(self, leaf: Any) -> str:
        if isinstance(leaf, Ref):
            return self.at.ref(leaf)
        if leaf is STEP:
            return self.at.number_of_step()
        if isinstance(leaf, tuple | list) and any(True for _ in leaves_of(leaf, Ref)):
            inner = ", ".join(map(self.argument, leaf))
            if isinstance(leaf, list):
                return f"[{inner}]"
            return f"({inner}{',' if len(leaf) == 1 else ''})"
        if isinstance(leaf, slice):
            return f"slice({', '.join(map(self.argument, (leaf.start, leaf.stop, leaf.step)))})"
        return literal(leaf)

    def lines(self, instr: Instr) -> list[str]:
        """The source of an instruction."""
        text = self.statement(instr)
        return [f"{text}  # {instr.comment}" if instr.comment else text]

    def statement(self, instr: Instr) -> str:
        function, outs = instr.function, instr.writes()
        if function is over_lanes:
            (link,) = instr.reads()
            number = self.lane_links().index(link.buffer)
            return f"{outs[0].buffer.name} = sum(links[lane][{number}] for lane, *_ in alive)"
        if function is copy:
            return self.copying(instr.args[0], outs[0])
        if instr.binds():
            names = ", ".join(out.buffer.name for out in outs)
            only = "," if isinstance(instr.out, tuple) and len(outs) == 1 else ""
            return f"{names}{only} = {self.call(instr)}"
        if not takes_out(function, instr.kwargs):
            return f"np.copyto({self.at.ref(outs[0])}, {self.call(instr)})"
        args, out = list(map(self.argument, instr.args)), ", ".join(map(self.at.ref, outs))
        if function is np.dot:
            return f"{args[0]}.dot({args[1]}, {out})"
        positional = is_elementwise(function) or function is np.matmul or function in OUT_LAST
        if positional and function not in (np.maximum, np.minimum):
            # Two functions need the keyword `out`, which costs a little time at every call.
            return f"{self.function(function)}({', '.join([*args, out])})"
        options = [f"{key}={self.argument(value)}" for key, value in instr.kwargs.items()]
        return f"{self.function(function)}({', '.join([*args, *options])}, out={out})"

    def call(self, instr: Instr) -> str:
        return expression(instr.function, instr.args, instr.kwargs, self.argument)

    def function(self, function: Any) -> str:
        """The name of a function. In a loop it is a local name, which needs no lookup in NumPy."""
        path = path_of(function)
        assert path is not None, function
        if self.at.walk is None or not isinstance(function, np.ufunc):
            return path
        name = path.removeprefix("np.")
        self.at.walk.calls[name] = None
        return name

    def copying(self, given: Any, out: Ref) -> str:
        text = self.argument(given)
        if out.when is When.STEP or (self.at.walk is not None and out.when is When.ALWAYS):
            return f"np.copyto({self.at.ref(out)}, {text})"
        if out.when in (When.FIRST, When.LAST) and not out.views:
            return f"{self.at.ref(out)} = {text}"
        one_entry = out.when in (When.FIRST, When.LAST)
        is_part = out.views and out.views[-1].kind == "index" and out not in self.at.views
        if is_part and not one_entry:
            base = self.at.ref(replace(out, views=out.views[:-1]))
            return f"{base}[{of_index(out.views[-1].argument)}] = {text}"
        return f"{self.at.ref(out)}[...] = {text}"

    def section(self, comment: str, instrs: Iterable[Instr]) -> list[str]:
        found = [line for instr in instrs for line in self.lines(instr)]
        return [f"# {comment}", *found] if found else []

    # The two functions --------------------------------------------------------------------------

    def forward(self, walk: Walk) -> list[str]:
        program, sections = self.program, self.program.forward
        given = (*program.initial, *program.inputs, *program.parameters)
        names = [buffer.name.removesuffix("_0") for buffer in program.initial]
        state, before = of_state(names, "t"), of_state(names, "t−1")
        body = [
            *self.constants(sections.constants),
            *self.section(
                "Before the loop: what depends on no state, for all steps.", sections.before
            ),
            *self.loop(f"The loop: {state} from {before}.", sections.loop, walk, "forward"),
            *self.section("After the loop: what no step reads, for all steps.", sections.after),
            f"return {together(self.fresh_view(ref) for ref in sections.result if ref)}",
        ]
        return [f"def forward({', '.join(b.name for b in given)}):", *indented(body)]

    def fresh_view(self, ref: Ref) -> str:
        """A fresh view for the caller. A reference to it shows that the buffer is still in use."""
        if not ref.views:
            return f"{ref.buffer.name}[{ref.offset}:]"
        return f"{self.at.ref(ref)}[:]"

    def constants(self, instrs: Iterable[Instr]) -> list[str]:
        return [line for instr in instrs for line in self.lines(instr)]

    def returned(self) -> list[str]:
        """The lines that make the returned arrays, in each call, because the caller keeps them."""
        return [
            f"{b.name} = np.empty({shape_of(b)}, {literal(b.dtype)})"
            for b in self.program.buffers
            if b.storage is Storage.RETURNED
        ]

    def backward(self, walk: Walk) -> list[str]:
        program, sections = self.program, self.program.backward
        given = [b.name for b in (*program.seeds, *program.inputs, *program.parameters)]
        if program.windows:
            given = ["windows", "lanes", *given]
            what = "The loop: the gradient of each state, one lane for every loss that looks back."
        else:
            given = [*(end.name for end in program.ends), *given, f"{CONTINUED}=False"]
            names = [buffer.name.removesuffix("_0") for buffer in program.initial]
            h, meaning = (names[0], "") if len(names) == 1 else ("s", f", s = ({', '.join(names)})")
            what = (
                f"The loop{meaning}: ∂L/∂{h}_{{t−1}} = (∂{h}_t/∂{h}_{{t−1}})ᵀ ∂L/∂{h}_t, "
                f"and what the loss at t−1 adds."
            )
        body = [
            *self.constants(sections.constants),
            *self.returned(),
            *self.section(
                "Before the loop: what depends on no gradient, for all steps.", sections.before
            ),
            *self.links_of_lanes(),
            *self.loop(what, sections.loop, walk, "backward", "[::-1]"),
            *self.section(
                "After the loop: ∂L/∂W = Σ_t ∂L/∂W_t, as products over all steps.", sections.after
            ),
            f"return {together('None' if r is None else self.at.ref(r) for r in sections.result)}",
        ]
        return [f"def backward({', '.join(given)}):", *indented(body)]

    # Loops --------------------------------------------------------------------------------------

    def loop(
        self, comment: str, instrs: Iterable[Instr], walk: Walk, which: str, turn: str = ""
    ) -> list[str]:
        """The loop over the steps, through the program's own arrays and the caller's side by
        side."""
        instrs = list(instrs)
        if not instrs:
            return []
        self.at.walk = walk
        body = [line for instr in instrs for line in self.lines(instr)]
        sources = [f"{self.outside(whole)}{turn}" for whole in walk.given]
        if walk.step:
            sources.append(f"range(T){turn}")
        if self.program.windows and which == "backward":
            body = self.lanes(body)
            sources.append("windows")
        self.at.walk = None
        own, given = list(walk.own.values()), list(walk.given.values())
        given += [walk.step] if walk.step else []
        if self.program.windows and which == "backward":
            given.append("alive")
        if own:
            sources.insert(0, f"{which}_steps")
            together = ", ".join(own)
            given.insert(0, f"({together})" if given and len(own) > 1 else together)
        calls = ", ".join(walk.calls), ", ".join(f"np.{name}" for name in walk.calls)
        each = sources[0] if len(sources) == 1 else f"zip({', '.join(sources)})"
        names, over = (", ".join(given), each) if sources else ("_", "range(T)")
        return [
            f"# {comment}",
            *([f"{calls[0]} = {calls[1]}"] if walk.calls else []),
            f"for {names} in {over}:",
            *indented(body),
        ]

    def outside(self, whole: Ref) -> str:
        walk, self.at.walk = self.at.walk, None
        text = self.at.ref(whole)
        self.at.walk = walk
        return text

    def views_of_each_step(self, walked: Iterable[Ref]) -> list[str]:
        """Lists of the views of each step, for arrays that are walked through more than once. Other
        arrays have no such lists, because views take memory, too."""
        places: dict[Ref, list[Ref]] = {}
        for whole in walked:
            if whole.buffer.storage in OWN and not is_number(whole):
                array = whole if whole.views else replace(whole, offset=0)
                places.setdefault(array, []).append(whole)
        lines = []
        for array, wholes in places.items():
            if len(wholes) < 2:
                continue
            if array.views or not array.buffer.time:
                text = self.at.ref(array)
                parts = dict.fromkeys(wholes, "")
            else:
                text = array.buffer.name
                parts = {whole: "[1:]" if whole.offset else "[:-1]" for whole in wholes}
            name = self.at.names.fresh(f"{text}_steps")
            lines.append(f"{name} = list({text})")
            self.each_step |= {whole: f"{name}{part}" for whole, part in parts.items()}
        return lines

    def steps(self, walk: Walk, which: str, turn: str = "") -> list[str]:
        """The views of each step of the program's own arrays."""
        arrays = []
        for whole in walk.own:
            text = f"{self.each_step.get(whole) or self.at.ref(whole)}{turn}"
            if is_number(whole):
                text = f"numbers({text})"
            arrays.append(text)
        if not arrays:
            return []
        each = arrays[0] if len(arrays) == 1 else f"zip({', '.join(arrays)})"
        return [f"{which}_steps = list({each})"]

    # Lanes --------------------------------------------------------------------------------------

    def lane_links(self) -> list[Buffer]:
        return [link for link in self.program.links if link is not None]

    def links_of_lanes(self) -> list[str]:
        if not self.program.windows:
            return []
        made = [f"np.empty({shape_of(b)}, {literal(b.dtype)}), " for b in self.lane_links()]
        return [f"links = [({''.join(made)}) for _ in range(lanes)]"]

    def lanes(self, body: list[str]) -> list[str]:
        """The loop over the live lanes of a step, around the lines of one lane."""
        links = self.lane_links()
        cuts = [
            f"np.multiply({b.name}, cut.reshape(-1{', 1' * (len(b.shape) - 1)}), {b.name})"
            for b in links
            if b.shape
        ]
        unpacked = [f"{', '.join(b.name for b in links)}, = links[lane]"] if links else []
        begin = ["if start:", *indented([f"{b.name}[...] = 0" for b in links])] if links else []
        end = ["if cut is not None:", *indented(cuts)] if cuts else []
        lines = [*unpacked, *begin, *body, *end]
        return ["for lane, start, seeded, cut in alive:", *indented(lines)]


def helpers() -> dict[str, str]:
    """The helper functions of a source, each before those that need it."""
    untyped = {f.__name__: without_types(f) for f in HELPERS}
    return {"rows": ROWS, "numbers": NUMBERS, **untyped}


def without_types(function: Callable[..., Any]) -> str:
    return re.sub(r"(: | -> )Any", "", inspect.getsource(function))


def written_buffers(program: Program) -> set[Buffer]:
    """The buffers that the instructions write."""
    sections = (program.forward.all(), program.backward.all())
    instrs = itertools.chain(program.setup, *sections)
    found = {out.buffer for instr in instrs for out in instr.writes()}
    return found | {buffer.root for buffer in found}


def is_number(whole: Ref) -> bool:
    """Whether each entry of an array of all steps is one number."""
    return len(whole.strided(2)[0]) == 1


def shape_of(buffer: Buffer) -> str:
    steps = {None: [], 0: ["T"], 1: ["T + 1"]}[buffer.time]
    entries = [*steps, *map(str, buffer.shape)]
    return f"({', '.join(entries)}{',' if len(entries) == 1 else ''})"


def together(texts: Iterable[str]) -> str:
    """The source of a tuple of names."""
    inner = ", ".join(texts)
    return f"{inner}," if inner else "()"


def of_state(names: list[str], index: str) -> str:
    """h_t, or h_t, c_t."""
    index = index if len(index) == 1 else f"{{{index}}}"
    return ", ".join(f"{name}_{index}" for name in names)


def indented(lines: Iterable[str]) -> list[str]:
    return [f"    {line}" if line else line for line in lines]


def maker(program: Program, filename: str = "<program>") -> Callable[..., tuple[Any, Any]]:
    """The function `program` of the source, compiled by Python."""
    namespace: dict[str, Any] = {}
    exec(compile(source(program), filename, "exec"), namespace)
    return namespace["program"]  # type: ignore[no-any-return]
