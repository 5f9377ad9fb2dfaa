"""References in source: the names for the places that instructions read and write.

Views of the program's own arrays are made once, and so are the views of each step. A loop uses only
views that exist already.
"""

from __future__ import annotations

from dataclasses import replace

from tinygrad_rnn.compiler.backends.literals import literal, of_index
from tinygrad_rnn.compiler.ir import OWN, Program, Ref, View, When
from tinygrad_rnn.compiler.lowering.names import Names
from tinygrad_rnn.compiler.views import at_all_steps


class Walk:
    """What a loop walks through, the first step first, each with the name of its entry at a step.

    own: the program's arrays, whose views are made once. given: the arrays of the caller, and those
        made by a function.
    """

    def __init__(self) -> None:
        self.own: dict[str, str] = {}
        self.given: dict[str, str] = {}


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
        if ref.views:
            *views, last = ref.views
            base = self.ref(replace(ref, views=tuple(views)))
            if last.kind == "reshape" and len(last.argument) == 2 and last.argument[0] == -1:
                return f"rows({base})"
            if last.kind == "transpose" and last.argument == (1, 0):
                return f"{base}.T"
            text = seen(base, last)
        else:
            text = entries(ref)
            if ref.when is not When.ALL or not ref.buffer.time:
                return text
        return self.kept(ref, text) if ref.buffer.storage in OWN else text

    def kept(self, ref: Ref, text: str) -> str:
        """The name of a view that is made once."""
        if ref not in self.views:
            which = ref.when.name.lower()
            if ref.when not in (When.FIRST, When.LAST):
                side = "after" if ref.offset else "before"
                which = side if not ref.views or self.is_state(ref) else "" if ref.name else "part"
            name = (ref.views and ref.name) or ref.buffer.name
            self.views[ref] = made = self.names.fresh(f"{name}_{which}" if which else name)
            self.factory.append(f"{made} = {text}")
        return self.views[ref]

    def number_of_step(self) -> str:
        """The name of t in the loop."""
        assert self.walk is not None
        return self.walk.given.setdefault("range(T)", "t")

    def step(self, ref: Ref) -> str:
        """The name of the current step's entry in the loop."""
        assert self.walk is not None
        own = ref.buffer.storage in OWN
        whole = replace(at_all_steps(ref), buffer=ref.buffer.root)
        if whole not in self.step_names:
            name = ref.name if ref.views else ""
            name = name or (self.ref(whole) if own else ref.buffer.name)
            name = name.removesuffix("_before").removesuffix("_after").removesuffix("_here")
            is_before = whole.offset == 0 and self.is_state(whole)
            self.step_names[whole] = self.names.fresh(f"{name}_{'prev' if is_before else 't'}")
        text = self.ref(whole)
        text = f"numbers({text})" if len(whole.strided(2)[0]) == 1 else text
        return (self.walk.own if own else self.walk.given).setdefault(text, self.step_names[whole])

    def is_state(self, whole: Ref) -> bool:
        return bool(whole.buffer.time) and replace(whole, offset=1) in self.program.forward.result


def entries(ref: Ref) -> str:
    """The source of the entries that a reference means, without its views."""
    name, time = ref.buffer.name, ref.buffer.time
    if ref.when is When.FIRST:
        return f"{name}[{ref.offset}]"
    if ref.when is When.LAST:
        return f"{name}[{ref.offset - 1 - (time or 0)}]"
    return f"{name}[{'1:' if ref.offset else ':-1'}]" if time and ref.when is When.ALL else name


def seen(text: str, view: View) -> str:
    """The source of a view of an array."""
    if view.kind == "index":
        return f"{text}[{of_index(view.argument)}]"
    if view.kind == "broadcast":
        return f"np.broadcast_to({text}, {literal(view.argument)})"
    return f"{text}.{view.kind}({', '.join(map(literal, view.argument)) or '()'})"
