"""The back end "numpy": a program as Python source that needs NumPy alone.

`program(T)` makes the buffers for T steps and the views of each step, once. It returns the two
functions. Their loops use only these views.
"""

from __future__ import annotations

import functools
import inspect
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
    Sections,
    Storage,
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
    """A source being written. at: the names of everything in it. imported: the names of NumPy's
    functions without the name of their module, which costs 30 ns at every call."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self.at = References(program)
        self.imported: set[str] = set()
        self.states = [buffer.name.removesuffix("_0") for buffer in program.initial]
        self.links = [link for link in program.links if link is not None]

    def text(self) -> str:
        program, factory = self.program, self.at.factory
        for buffer in program.buffers:
            factory += made(buffer)
        factory += self.lines(program.setup)
        functions = [*self.forward(), "", *self.backward()]
        body = ["# Buffers and the views of each step, made once.", *factory, "", *functions, ""]
        if program.title:
            body.insert(0, f'"""{program.title}"""')
        states = "".join(f", {ref.buffer.name}=None" for ref in program.states)
        head = f"def program(T{states}, empty=np.empty):"
        text = "\n".join([head, *indented([*body, "return forward, backward"])]) + "\n"
        for name, helper in reversed(helpers().items()):
            if any(f"{name}(" in line.partition("#")[0] for line in text.splitlines()):
                text = f"{helper}\n\n\n{text}"
        names = ", ".join(sorted(self.imported))
        imports = "import numpy as np" + (f"\nfrom numpy import {names}" if names else "")
        return f"{imports}\n\n\n{text}"

    # The two functions --------------------------------------------------------------------------

    def forward(self) -> list[str]:
        program = self.program
        given = (*program.initial, *program.inputs, *program.parameters)
        now, before = (", ".join(f"{h}_{t}" for h in self.states) for t in ("t", "{t−1}"))
        comments = (
            "Before the loop: what depends on no state, for all steps.",
            f"The loop: {now} from {before}.",
            "After the loop: what no step reads, for all steps.",
        )
        body = self.body(program.forward, comments, "forward")
        # Fresh views for the caller. References to them show that the buffers are still in use.
        results = (
            f"{self.at.ref(ref)}[:]" if ref.views else f"{ref.buffer.name}[{ref.offset}:]"
            for ref in program.states
        )
        return defined("forward", (b.name for b in given), body, results)

    def backward(self) -> list[str]:
        program = self.program
        given = [b.name for b in (*program.seeds, *program.inputs, *program.parameters)]
        if program.windows:
            given = ["windows", "lanes", *given]
            what = "The loop: the gradient of each state, one lane for every loss that looks back."
        else:
            given = [*(end.name for end in program.ends), *given, f"{CONTINUED}=False"]
            h, meaning = "s", f", s = ({', '.join(self.states)})"
            if len(self.states) == 1:
                (h,), meaning = self.states, ""
            what = (
                f"The loop{meaning}: ∂L/∂{h}_{{t−1}} = (∂{h}_t/∂{h}_{{t−1}})ᵀ ∂L/∂{h}_t, "
                f"and what the loss at t−1 adds."
            )
        comments = (
            "Before the loop: what depends on no gradient, for all steps.",
            what,
            "After the loop: ∂L/∂W = Σ_t ∂L/∂W_t, as products over all steps.",
        )
        body = [
            # The caller keeps these arrays.
            *(f"{b.name} = {empty(b)}" for b in program.buffers if b.storage is Storage.RETURNED),
            *self.body(program.backward, comments, "backward"),
        ]
        refs = program.backward.result
        results = ("None" if ref is None else self.at.ref(ref) for ref in refs)
        return defined("backward", given, body, results)

    def body(self, sections: Sections, comments: tuple[str, str, str], which: str) -> list[str]:
        before, loop, after = comments
        return [
            *self.lines(sections.constants),
            *commented(before, self.lines(sections.before)),
            *self.loop(loop, sections.loop, which),
            *commented(after, self.lines(sections.after)),
        ]

    def loop(self, comment: str, instrs: tuple[Instr, ...], which: str) -> list[str]:
        """The loop over the steps, through the program's own arrays and the caller's side by
        side. The views of each step of the program's own arrays are made once."""
        if not instrs:
            return []
        lanes = self.program.windows and which == "backward"
        order = "[::-1]" if which == "backward" else ""
        self.at.walk = walk = Walk()
        body = self.lines(instrs)
        self.at.walk = None
        sources = {name: f"{text}{order}" for text, name in walk.given.items()}
        if lanes:
            sources["alive"] = "windows"
            body = self.lanes(body)
        if walk.own:
            own = zipped(f"{text}{order}" for text in walk.own)
            self.at.factory.append(f"{which}_steps = list({own})")
            names = ", ".join(walk.own.values())
            names = f"({names})" if sources and len(walk.own) > 1 else names
            sources = {names: f"{which}_steps", **sources}
        names, over = ", ".join(sources) or "_", zipped(sources.values()) if sources else "range(T)"
        return [
            *([self.links_of_lanes()] if lanes else []),
            f"# {comment}",
            f"for {names} in {over}:",
            *indented(body),
        ]

    def links_of_lanes(self) -> str:
        return f"links = [({''.join(f'{empty(b)}, ' for b in self.links)}) for _ in range(lanes)]"

    def lanes(self, body: list[str]) -> list[str]:
        """The loop over the live lanes of a step, around the lines of one lane."""
        begin, end = [], []
        if self.links:
            begin = [f"{', '.join(b.name for b in self.links)}, = links[lane]", "if start:"]
            begin += indented(f"{b.name}[...] = 0" for b in self.links)
        cuts = [
            f"np.multiply({b.name}, cut.reshape(-1{', 1' * (len(b.shape) - 1)}), {b.name})"
            for b in self.links
            if b.shape
        ]
        if cuts:
            end = ["if cut is not None:", *indented(cuts)]
        return ["for lane, start, seeded, cut in alive:", *indented([*begin, *body, *end])]

    # Instructions -------------------------------------------------------------------------------

    def lines(self, instrs: Iterable[Instr]) -> list[str]:
        return [line for instr in instrs for line in self.lines_of(instr)]

    def lines_of(self, instr: Instr) -> list[str]:
        """The source of an instruction."""
        text = self.statement(instr)
        return [f"{text}  # {instr.comment}" if instr.comment else text]

    def argument(self, leaf: Any) -> str:
        return literal(leaf, self.known)

    def known(self, leaf: Any) -> str | None:
        """The name of an array or of the current step; None for a constant."""
        if isinstance(leaf, Ref):
            return self.at.ref(leaf)
        return self.at.number_of_step() if leaf is STEP else None

    def statement(self, instr: Instr) -> str:
        function, outs = instr.function, instr.writes()
        if function is over_lanes:
            number = self.links.index(instr.args[0].buffer)
            return f"{outs[0].buffer.name} = sum(links[lane][{number}] for lane, *_ in alive)"
        if instr.binds():
            names = ", ".join(out.buffer.name for out in outs)
            only = "," if isinstance(instr.out, tuple) and len(outs) == 1 else ""
            return f"{names}{only} = {self.call(instr)}"
        if function is copy or not takes_out(function, instr.kwargs):
            return f"{self.target(outs[0])} = {self.call(instr)}"
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
        """The name of a function that writes to an array."""
        path = path_of(function)
        assert path is not None, function
        if not isinstance(function, np.ufunc):
            return path
        name = path.removeprefix("np.")
        self.imported.add(name)
        return name

    def target(self, out: Ref) -> str:
        """The place of an assignment to the numbers of an array."""
        *views, last = out.views or (None,)
        if last is not None and last.kind == "index" and self.at.walk is None:
            return f"{self.at.ref(replace(out, views=tuple(views)))}[{of_index(last.argument)}]"
        place = self.at.ref(out)
        return place if place.endswith("]") else f"{place}[...]"


@functools.cache
def helpers() -> dict[str, str]:
    """The source of the functions that a printed program may need, without types."""
    untyped = {f.__name__: re.sub(r"(: | -> )Any", "", inspect.getsource(f)) for f in HELPERS}
    return {name: f.strip() for name, f in ({"rows": ROWS, "numbers": NUMBERS} | untyped).items()}


def made(buffer: Buffer) -> list[str]:
    """The line that makes a buffer, if the buffer is made once."""
    name = buffer.name
    if buffer.storage not in OWN:
        return []
    if buffer.shares is not None:
        return [f"{name} = {buffer.shares.name}  # takes its place"]
    if buffer.storage is Storage.STATE:
        return [f"{name} = {empty(buffer)} if {name} is None else {name}"]
    is_matrix = buffer.time is None and len(buffer.shape) == 2
    kept = "aligned" if is_matrix else "np.empty"
    function = "empty" if buffer.storage is Storage.SCRATCH else kept
    return [f"{name} = {empty(buffer, function)}"]


def empty(buffer: Buffer, function: str = "np.empty") -> str:
    """The source of a new array for a buffer."""
    steps = {None: [], 0: ["T"], 1: ["T + 1"]}[buffer.time]
    entries = [*steps, *map(str, buffer.shape)]
    shape = f"({', '.join(entries)}{',' if len(entries) == 1 else ''})"
    return f"{function}({shape}, {literal(buffer.dtype)})"


def defined(name: str, given: Iterable[str], body: list[str], results: Iterable[str]) -> list[str]:
    """The source of a function that returns a tuple."""
    inner = ", ".join(results)
    result = f"return {inner}," if inner else "return ()"
    return [f"def {name}({', '.join(given)}):", *indented([*body, result])]


def commented(comment: str, lines: list[str]) -> list[str]:
    return [f"# {comment}", *lines] if lines else []


def zipped(texts: Iterable[str]) -> str:
    first, *more = texts
    return f"zip({', '.join([first, *more])})" if more else first


def indented(lines: Iterable[str]) -> list[str]:
    return [f"    {line}" if line else line for line in lines]


def maker(program: Program, filename: str = "<program>") -> Callable[..., tuple[Any, Any]]:
    """The function `program` of the source, compiled by Python."""
    namespace: dict[str, Any] = {}
    exec(compile(source(program), filename, "exec"), namespace)
    return namespace["program"]  # type: ignore[no-any-return]
