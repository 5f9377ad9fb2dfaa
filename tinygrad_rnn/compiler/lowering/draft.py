"""The draft of a program: its buffers, its instructions, and the place of each value."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

import numpy as np

from tinygrad_rnn.compiler.ir import (
    AtOnce,
    Buffer,
    Depends,
    Instr,
    Phases,
    Ref,
    Schedule,
    Sections,
    Storage,
    T,
    Value,
    View,
    When,
    mapped,
)
from tinygrad_rnn.compiler.lowering.names import Names
from tinygrad_rnn.compiler.operations import assembled, copy, filled, takes_out
from tinygrad_rnn.compiler.passes.assemble import covers, row_of_parts
from tinygrad_rnn.compiler.time_sums import is_ones
from tinygrad_rnn.compiler.views import at_all_steps, is_part, is_view, source, view_of

ARITHMETIC = (np.add, np.subtract, np.multiply, np.divide, np.maximum, np.minimum)
"""These functions convert a number operand to an array at every call, which is slow: 0.41 µs
instead of 0.18. So the program has arrays for the numbers."""

NUMBERS = {0.0: "zero", 0.5: "half", 1.0: "one", 2.0: "two"}
"""The names of numbers."""


class Draft:
    """A program while it is being emitted: its buffers, its instructions, and the place of each
    value.

    ways: the instructions of the two functions, forward and backward.
    places: the places of values that differ from step to step, at one step.
    constants: the places of the other values. They are computed by one of the two functions (the
        key is the function and the value), or made once (None and the value).
    results: the places of the results of a call that has several, by the same keys.
    made: the other arrays that are made once, by what is in them.
    lane_sums: under windows, the places of the sums over the lanes, for the values that the
        backward loop stores.
    before, after: the places of h_{t−1} and h_t, for each part of the state.
    fused: for a part of the state whose gradient comes as a product, the buffer of the rows
        [δ_{t+1}, g_t].
    """

    def __init__(self, schedule: Schedule) -> None:
        self.s, self.graph = schedule, schedule.graph
        self.names = Names()
        self.buffers: list[Buffer] = []
        self.setup: list[Instr] = []
        self.ways = tuple(Phases[list[Instr]]([], [], [], []) for _ in range(2))
        self.phases = schedule.forward.phase_of(), schedule.backward.phase_of()
        self.places: dict[Value, Ref] = {}
        self.constants: dict[tuple[int | None, Value], Ref] = {}
        self.results: dict[tuple[int | None, Value], tuple[Ref, ...]] = {}
        self.made: dict[Any, Ref] = {}
        self.lane_sums: dict[Value, Ref] = {}
        self.fused: dict[int, Buffer] = {}
        self._make_arguments()

    def _make_arguments(self) -> None:
        """Make the buffers of the caller's arguments, of the states, and of the links that carry
        ∂L/∂h from step to step."""
        graph, given = self.graph, Storage.GIVEN

        def named(values: Iterable[Value], name: str, time: int | None) -> tuple[Buffer, ...]:
            return tuple(self.buffer(v.name or name, v.shape, v.dtype, given, time) for v in values)

        self.parameters = named(graph.parameters, "w", None)
        self.inputs = named(graph.inputs, "x", 0)
        names = self.state_names = [self.names.fresh(v.name or "h") for v in graph.states]

        def of_states(hint: str, storage: Storage, time: int | None) -> tuple[Buffer, ...]:
            return tuple(
                self.buffer(hint.format(name), v.shape, v.dtype, storage, time)
                for v, name in zip(graph.states, names, strict=True)
            )

        self.initial = of_states("{}_0", given, None)
        states = [
            Buffer(name, v.shape, v.dtype, Storage.STATE, 1)
            for v, name in zip(graph.states, names, strict=True)
        ]
        self.buffers += states
        self.before = [Ref(h, When.STEP, 0, name=h.name) for h in states]
        self.after = [replace(place, offset=1) for place in self.before]
        links = of_states("d{}_link", Storage.LANE if graph.windows else Storage.SCRATCH, None)
        self.links = tuple(
            None if gradient is None else link
            for link, gradient in zip(links, graph.state_gradients, strict=True)
        )
        self.ends = of_states("d{}_link_end", given, None)
        self.seeds = of_states("dL_d{}", given, 0)
        self.places |= dict(zip(graph.states, self.before, strict=True))
        self.places |= {
            v: Ref(x, When.STEP) for v, x in zip(graph.inputs, self.inputs, strict=True)
        }
        for value, buffer in zip(graph.parameters, self.parameters, strict=True):
            self.constants[None, value] = Ref(buffer)

    def sections(self, way: int, result: tuple[Ref | None, ...]) -> Sections:
        constants, before, loop, after = map(tuple, self.ways[way])
        return Sections(constants, before, loop, after, result)

    # Buffers ------------------------------------------------------------------------------------

    def buffer(
        self,
        hint: str,
        shape: tuple[int, ...],
        dtype: Any,
        storage: Storage,
        time: int | None = None,
        fill: Any = None,
    ) -> Buffer:
        made = Buffer(self.names.fresh(hint), shape, np.dtype(dtype), storage, time, fill)
        self.buffers.append(made)
        return made

    def place_for(self, value: Value, at_once: bool, writes: bool) -> Ref:
        """A place of its own for a value. at_once: whether it is computed for all steps at once.
        writes: whether its call can write into an array that exists."""
        saved = value in self.s.saved and not self.is_lane_sum(value)
        fill = fill_of(value)
        storage = Storage.SCRATCH if writes or saved else Storage.RESULT
        storage = storage if fill is None else Storage.KEPT
        time = 1 if value in self.s.rows else 0 if at_once or saved else None
        made = self.buffer(self.hint(value), value.shape, value.dtype, storage, time, fill)
        self.places[value] = at_one_step(made, value.name)
        return self.places[value]

    def new_results(self, value: Value, time: int | None, storage: Storage) -> tuple[Ref, ...]:
        assert value.results is not None
        hint = self.hint(value)
        return tuple(at_one_step(self.buffer(hint, *t, storage, time)) for t in value.results)

    def result(self, hint: str, value: Value) -> Ref:
        made = self.buffer(hint, value.shape, value.dtype, Storage.RESULT)
        return Ref(made, name=hint)

    def once(self, key: Any, make: Callable[[], Ref]) -> Ref:
        """An array that is made at its first use."""
        if key not in self.made:
            self.made[key] = make()
        return self.made[key]

    def hint(self, value: Value) -> str:
        if value in self.s.rows:
            parts = row_of_parts(value) or []
            return "_".join(map(label, parts)) if len(parts) < 5 else "row"
        back = self.graph.depends[value] & (Depends.GRADIENT | Depends.OUTPUT_GRADIENT)
        return value.name or ("d" if back else "a")

    def symbol(self, value: Value) -> str:
        """The name of a value in the notation of the textbook."""
        if value.function is filled:
            return str(value.args[1])
        if value in self.s.rows:
            return f"[{', '.join(map(self.symbol, row_of_parts(value) or ()))}]"
        if value in self.graph.states:
            return f"{self.state_names[self.graph.states.index(value)]}_{{t−1}}"
        if value in self.graph.results:
            return f"{self.state_names[self.graph.results.index(value)]}_t"
        place = None if is_view(value) else self.places.get(value)
        return f"{value.name or (place.buffer.name if place is not None else self.hint(value))}_t"

    # Reading ------------------------------------------------------------------------------------

    def way(self, value: Value) -> int:
        return 0 if value in self.phases[0] else 1

    def varies(self, value: Value) -> bool:
        return bool(self.graph.depends[value])

    def is_lane_sum(self, value: Value) -> bool:
        """Whether a value has a lane for each loss. The array of all steps has the sums."""
        return self.graph.windows and Depends.GRADIENT in self.graph.depends[value]

    def place(self, value: Value, way: int, whole: bool = False) -> Ref:
        """The place from which to read a value at one step. whole: whether it is read at all
        steps."""
        if not self.varies(value):
            return self.constant(value, way)
        if whole and value in self.lane_sums:
            return self.lane_sums[value]
        if value in self.places:
            return self.places[value]
        if is_part(value):
            return self.part(None, value)
        view = view_of(value)
        assert view is not None, value
        return seen(self.place(value.args[0], way, whole), view, name=value.name)

    def part(self, way: int | None, value: Value) -> Ref:
        """The place of one of several results."""
        call, number = value.args
        found: Ref = self.results[way, call][number]
        return found

    def whole(self, value: Value, way: int, *more: View) -> Ref:
        """The array of all steps of a value."""
        return seen(at_all_steps(self.place(value, way, whole=True)), *more)

    def argument(self, leaf: Any, way: int, read: Any) -> Any:
        """The argument of an instruction for an argument of a call."""
        if isinstance(leaf, Value):
            return read(leaf, way)
        if isinstance(leaf, np.ndarray) and leaf.ndim:
            return self.once(
                id(leaf),
                lambda: Ref(
                    self.buffer("constant", leaf.shape, leaf.dtype, Storage.KEPT, None, leaf.copy())
                ),
            )
        return leaf

    def instr_of(self, value: Value, way: int, out: Any) -> Instr:
        """The instruction that makes the call of a value unchanged, for one step."""
        assert value.function is not None
        args, kwargs = mapped(
            (value.args, dict(value.kwargs)), lambda leaf: self.argument(leaf, way, self.place)
        )
        return Instr(value.function, args, out, kwargs)

    def number_of(self, leaf: Any, call: AtOnce) -> Any:
        """An array in place of a number, if the other operands and the result have one dtype;
        otherwise the number."""
        value = call.value
        if isinstance(leaf, Value) and leaf.function is filled and leaf.shape == ():
            leaf = np.asarray(leaf.args[1], leaf.dtype)[()]
        is_number = isinstance(leaf, int | float | np.floating) and not isinstance(leaf, bool)
        same = {v.dtype for v in value.operands if v.function is not filled or v.ndim}
        is_plain = call.function in ARITHMETIC and same == {value.dtype}
        if not (is_number and is_plain and value.dtype.kind in "fc"):
            return leaf
        number, dtype = float(leaf), value.dtype
        hint = NUMBERS.get(number, "number")
        return self.once(
            ("number", number, dtype),
            lambda: Ref(self.buffer(hint, (), dtype, Storage.KEPT, None, number)),
        )

    # What is the same in all steps --------------------------------------------------------------

    def constant(self, value: Value, way: int) -> Ref:
        """The place of a value that depends on parameters alone, computed once in each call. A
        value that depends on nothing is made once."""
        if is_part(value):
            call = value.args[0]
            if (way, call) not in self.results:
                refs = self.new_results(call, None, Storage.RESULT)
                self.ways[way].constants.append(self.instr_of(call, way, refs))
                self.results[way, call] = refs
            return self.part(way, value)
        known = way if value.operands else None, value
        if known not in self.constants:
            self.constants[known] = Ref(self.new_constant(value, way), name=value.name)
        return self.constants[known]

    def new_constant(self, value: Value, way: int) -> Buffer:
        """Emit a constant, and return its buffer. What depends on nothing is made once."""
        lines = self.setup if is_made_once(value) else self.ways[way].constants
        view, fill = view_of(value), fill_of(value)
        hint = value.name or self.constant_hint(value)
        instr = None
        if view is not None:
            given = seen(self.constant(value.args[0], way), view, name=value.name)
            instr = Instr(copy, (given,), given)
        elif value.function not in (assembled, filled):
            instr = self.instr_of(value, way, None)
        writes = instr is None or takes_out(instr.function, instr.kwargs) or not value.shape
        storage = Storage.SCRATCH if writes else Storage.RESULT
        storage = storage if fill is None else Storage.KEPT
        made = self.buffer(hint, value.shape, value.dtype, storage, None, fill)
        if instr is not None:
            lines.append(replace(instr, out=Ref(made)))
        elif value.function is assembled:
            self.copy_parts(value, Ref(made), way)
        return made

    def copy_parts(self, value: Value, whole: Ref, way: int) -> list[tuple[Value, Ref]]:
        """Emit the parts of an assembled array that are the same in all steps. Returns the others,
        each with its place."""
        varying = []
        for index, part in zip(value.args[2], value.args[3], strict=True):
            out = seen(whole, View("index", index), name=part.name or self.hint(part))
            if self.varies(part):
                varying.append((part, out))
                continue
            given = part.args[1] if part.function is filled else self.constant(part, way)
            lines = self.setup if is_made_once(part) else self.ways[way].constants
            lines.append(Instr(copy, (given,), at_all_steps(out)))
        return varying

    def constant_hint(self, value: Value) -> str:
        if is_view(value) and source(value).name:
            return f"{source(value).name}_T"
        if value.function is assembled:
            return "W_joined"
        return "ones" if is_ones(value) else "w"

    def spread_out(self, leaf: Value, shape: tuple[Any, ...], way: int) -> Ref:
        """A value that is the same in all steps, copied to a larger shape. Broadcasting a row is
        slow: 1.2 µs instead of 0.5 for 32×128 numbers."""

        def spread() -> Ref:
            if leaf.function is filled and shape[0] is T:
                hint, fill = self.constant_hint(leaf), leaf.args[1]
                made = self.buffer(hint, leaf.shape, leaf.dtype, Storage.KEPT, 0, fill)
                return at_all_steps(at_one_step(made))
            made = self.buffer(f"{leaf.name or 'w'}_spread", shape, leaf.dtype, Storage.SCRATCH)
            self.ways[way].constants.append(Instr(copy, (self.constant(leaf, way),), Ref(made)))
            return Ref(made)

        return self.once((way, leaf, shape), spread)


def at_one_step(buffer: Buffer, name: str = "") -> Ref:
    """The array of one step, of a buffer of one step or of all steps."""
    return Ref(buffer, When.ALWAYS if buffer.time is None else When.STEP, name=name)


def seen(ref: Ref, *views: View, name: str = "") -> Ref:
    """Views of a place."""
    return replace(ref, views=(*ref.views, *views), name=name or ref.name)


def fill_of(value: Value) -> Any:
    """What is in a constant array, or in the places of an assembled array that no part fills."""
    if value.function is filled:
        return value.args[1]
    return 0 if value.function is assembled and not covers(value) else None


def is_made_once(value: Value) -> bool:
    """Whether a value depends on nothing."""
    return value.function is not None and not value.operands


def label(part: Value) -> str:
    """The name of a part of a row."""
    return str(part.args[1]) if part.function is filled else part.name or "a"
