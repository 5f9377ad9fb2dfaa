"""References in source: the names for the places that instructions read and write.

Views of the program's own arrays are made once, and so are the views of each step. A loop uses only
views that exist already.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from tinygrad_rnn.compiler.backends.literals import literal, of_index
from tinygrad_rnn.compiler.ir import OWN, Program, Ref, View, When
from tinygrad_rnn.compiler.lowering.names import Names
from tinygrad_rnn.compiler.views import at_all_steps


class Walk:
    """The arrays of all steps that a loop walks through, each with the name of its entry at a step.

    own: the program's arrays, whose views are made once. given: the arrays of the caller, and those
        made by a function. calls: the functions with a short name in the loop. step: the name of
        the number of the step, "" if it is not used.
    """

    def __init__(self) -> None:
        self.own: dict[Ref, str] = {}
        self.given: dict[Ref, str] = {}
        self.calls: dict[str, None] = {}
        self.step = ""


class References:
    """The names of a source being written.

    views: the names of the views that are made once. factory: the lines that make these views and
        the buffers. step_names: the names, in loops, of the entries of a step. walk: the arrays of
        the loop that is being written, None outside of a loop.
    """

    def __init__(self, program: Program) -> None:
        self.program = program
        self.names = Names()
        self.names.taken |= {buffer.name for buffer in program.buffers}
        self.views: dict[Ref, str] = {}
        self.step_names: dict[Ref, str] = {}
        self.factory: list[str] = []
        self.walk: Walk | None = None

    def ref(self, ref: Ref) -> str:
        """The source of a place that an instruction reads or writes."""
        if ref.seeded:
            return f"{self.ref(replace(ref, seeded=False))} if seeded else 0"
        if ref.when is When.STEP:
            return self.step(ref)
        if ref.when in (When.FIRST, When.LAST):
            entry = (
                ref.offset if ref.when is When.FIRST else ref.offset - 1 - (ref.buffer.time or 0)
            )
            text = self.seen(f"{ref.buffer.name}[{entry}]", ref.views)
            made_once = ref.views and ref.buffer.storage in OWN
            return self.kept(ref, text, ref.when.name.lower()) if made_once else text
        if not ref.views:
            return self.entries(ref)
        last = ref.views[-1]
        if last.kind == "reshape" and len(last.argument) == 2 and last.argument[0] == -1:
            return f"rows({self.ref(replace(ref, views=ref.views[:-1]))})"
        if last.kind == "transpose" and last.argument == (1, 0):
            return f"{self.ref(replace(ref, views=ref.views[:-1]))}.T"
        if ref.buffer.storage not in OWN:
            return self.seen(self.entries(replace(ref, views=())), ref.views)
        return self.view(ref)

    def number_of_step(self) -> str:
        """The name of t in the loop."""
        assert self.walk is not None
        self.walk.step = self.walk.step or self.names.fresh("t")
        return self.walk.step

    def entries(self, ref: Ref) -> str:
        """The source of the entries that a reference means, with the whole array of each step."""
        name, time = ref.buffer.name, ref.buffer.time
        if ref.when is not When.ALL or not time:
            return name
        if ref not in self.views:
            self.views[ref] = made = self.names.fresh(f"{name}_{side(ref)}")
            self.factory.append(f"{made} = {name}[{'1:' if ref.offset else ':-1'}]")
        return self.views[ref]

    def view(self, ref: Ref) -> str:
        """The name of a view of one of the program's buffers, made once."""
        if ref in self.views:
            return self.views[ref]
        base = self.ref(replace(ref, views=ref.views[:-1]))
        which = side(ref) if self.is_state(ref) else "" if ref.name else "part"
        return self.kept(ref, self.seen(base, ref.views[-1:]), which)

    def kept(self, ref: Ref, text: str, which: str) -> str:
        """The name of an object that is made once."""
        if ref not in self.views:
            hint = "_".join(filter(None, (ref.name or ref.buffer.name, which)))
            self.views[ref] = made = self.names.fresh(hint)
            self.factory.append(f"{made} = {text}")
        return self.views[ref]

    def seen(self, text: str, views: Iterable[View]) -> str:
        """The source of the views of an array."""
        for view in views:
            arguments = ", ".join(map(literal, view.argument)) or "()"
            if view.kind == "index":
                text = f"{text}[{of_index(view.argument)}]"
            elif view.kind == "broadcast":
                text = f"np.broadcast_to({text}, {literal(view.argument)})"
            else:
                text = f"{text}.{view.kind}({arguments})"
        return text

    def step(self, ref: Ref) -> str:
        """The name of the current step's entry in the loop."""
        assert self.walk is not None
        whole = in_place(at_all_steps(ref))
        walked = self.walk.own if ref.buffer.storage in OWN else self.walk.given
        if whole not in walked:
            if whole not in self.step_names:
                name = ref.name if ref.views else ""
                name = name or (self.ref(whole) if ref.buffer.storage in OWN else ref.buffer.name)
                name = name.removesuffix("_before").removesuffix("_after").removesuffix("_here")
                name = f"{name}_{'prev' if self.is_state_before(whole) else 't'}"
                self.step_names[whole] = self.names.fresh(name)
            walked[whole] = self.step_names[whole]
        return walked[whole]

    def is_state_before(self, whole: Ref) -> bool:
        """Whether the reference is h_{t−1} of all steps."""
        return whole.offset == 0 and self.is_state(whole)

    def is_state(self, whole: Ref) -> bool:
        return bool(whole.buffer.time) and replace(whole, offset=1) in self.program.forward.result


def in_place(whole: Ref) -> Ref:
    """The same reference on the buffer whose memory it uses, so that both have one view."""
    return replace(whole, buffer=whole.buffer.root)


def side(ref: Ref) -> str:
    return "after" if ref.offset else "before"
