"""Where values stand: names, and the buffers that are made once."""

from __future__ import annotations

import builtins
import keyword
from typing import Any

import numpy as np

from tinygrad_rnn.compiler.emitter.dependence import Dependence
from tinygrad_rnn.compiler.emitter.write import literal
from tinygrad_rnn.compiler.frontend.trace import Trace
from tinygrad_rnn.compiler.frontend.tracer import Value
from tinygrad_rnn.compiler.passes.assembly import assembled, covers
from tinygrad_rnn.compiler.passes.joining import is_row
from tinygrad_rnn.engine.trees import flatten

TAKEN = {
    *("T", "np", "empty", "program", "forward", "backward", "entering"),
    *("rows", "numbers", "products", "added_at"),
    *("places_of", "cross_entropies", "cross_entropy_gradient"),
    *("windows", "lanes", "links", "alive", "lane", "start", "seeded", "cut"),
    *(name for name in dir(np) if isinstance(getattr(np, name), np.ufunc)),
    *keyword.kwlist,
    *dir(builtins),
}
"""Names that the source uses for other things."""


class Direction:
    """The lines of one of the two functions, and what its loop walks over.

    wanted: the values computed in the loop. owned: the arrays of the program it walks over, each
    with its name for a step; given: those of the caller. names: constants and views made in the
    function itself; arrays: those that the cell made of plain numbers, by their identity. spread:
    constants as arrays of a larger shape. products: arrays of which it needs the products alone.
    """

    def __init__(self) -> None:
        self.constants: list[str] = []
        self.before: list[str] = []
        self.loop: list[str] = []
        self.after: list[str] = []
        self.wanted: dict[Value, None] = {}
        self.owned: dict[str, str] = {}
        self.given: dict[str, str] = {}
        self.names: dict[Value, str] = {}
        self.arrays: dict[int, str] = {}
        self.spread: dict[tuple[Value, tuple[int, ...]], str] = {}
        self.products: set[str] = set()


class Places(Dependence):
    """The buffers of the program.

    stack: the array of all steps in which a value stands; mine: those of them that are the
    program's own; stored: values that the loop leaves there. scratch: the buffer of one step in
    which a value stands; fixed: the names of those that stay the same from step to step, and
    whole: the arrays and buffers in which the numbers of one step lie one after another.
    of_numbers: arrays with one number a step. placed: views for the values that are to stand inside
    of a larger array. numbers: arrays of one number. ones: vectors of ones, by length and dtype.
    """

    def __init__(self, trace: Trace, windows: bool) -> None:
        super().__init__(trace, windows)
        self.factory: list[str] = []
        self.forward, self.backward = Direction(), Direction()
        self.taken = set(TAKEN)
        self.stack: dict[Value, str] = {}
        self.mine: set[str] = set()
        self.stored: dict[Value, None] = {}
        self.scratch: dict[Value, str] = {}
        self.fixed: set[str] = set()
        self.whole: set[str] = set()
        self.of_numbers: set[str] = set()
        self.links: list[str] = []
        self.placed: dict[Value, str] = {}
        self.numbers: dict[tuple[float, Any], str] = {}
        self.names_of_steps: dict[str, str] = {}
        self.ones: dict[tuple[int, Any], str] = {}

    def fresh(self, hint: str) -> str:
        hint = "".join(c if c.isalnum() or c == "_" else "_" for c in hint) or "a"
        name, number = hint, 2
        while name in self.taken:
            name, number = f"{hint}{number}", number + 1
        self.taken.add(name)
        return name

    def hint(self, value: Value) -> str:
        return value.name or ("d" if self.depends[value] & {"g", "o"} else "a")

    def home(self, value: Value) -> Direction:
        return self.forward if value in self.ahead else self.backward

    def stack_shape(self, value: Value, steps: str = "T") -> str:
        return f"({', '.join([steps, *map(str, value.shape)])}{',' if not value.shape else ''})"

    def make_stack(self, value: Value, name: str) -> None:
        """A buffer for all steps; several, if the value is the results of one call."""
        if isinstance(value.sample, tuple):
            each = [
                f"np.empty({self.stack_shape(Value(part))}, {literal(part.dtype)})"
                for part in value.sample
            ]
            self.factory.append(f"{name} = {', '.join(each)}")
            self.mine.add(name)
            self.stack[value] = name
            return
        maker = "zeros" if value.function is assembled and not covers(value) else "empty"
        shape, dtype = self.stack_shape(value), literal(value.dtype)
        made = self.placed.get(value, f"np.{maker}({shape}, {dtype})")
        self.factory.append(f"{name} = {made}")
        self.mine.add(name)
        self.stack[value] = name
        if value not in self.placed or is_row(value):
            self.whole.add(name)

    def make_scratch(self, value: Value, name: str, maker: str = "empty") -> None:
        """A buffer for one step; blocks of steps share it, unless zeros have to stay in it."""
        make = "empty" if maker == "empty" else f"np.{maker}"
        self.factory.append(f"{name} = {make}({literal(value.shape)}, {literal(value.dtype)})")
        self.fixed.add(name)
        self.whole.add(name)

    def written_to_stack(self, value: Value) -> bool:
        """Whether the loop writes a value straight into the array of all steps. Under windows it
        comes once for every lane, and the lanes are added up there."""
        return value in self.stack and not (self.windows and "g" in self.depends[value])

    def step_of_stack(self, value: Value, at: Direction) -> str:
        name = self.stack[value]
        if value.shape == ():
            self.of_numbers.add(name)
        if name not in at.owned:
            at.owned[name] = self.name_of_step(name)
        return at.owned[name]

    def name_of_step(self, name: str) -> str:
        """What one step of an array of all steps is called, in both loops."""
        if name not in self.names_of_steps:
            short = name.removesuffix("_before")
            hint = f"{short}_prev" if short != name else f"{name.removesuffix('_after')}_t"
            self.names_of_steps[name] = self.fresh(hint)
        return self.names_of_steps[name]

    def step_bytes(self) -> int:
        """The bytes of the buffers for one more step, the views of each step counted in."""
        own = [v for v in self.stack if self.stack[v] in self.mine and v not in self.placed]
        sizes = (np.asarray(a).nbytes for v in own for a in flatten(v.sample))
        views = len(self.forward.owned) + len(self.backward.owned)
        return sum(sizes) + 150 * views
