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
    Phase,
    Phases,
    Ref,
    Schedule,
    Sections,
    Storage,
    T,
    Value,
    View,
    When,
)
from tinygrad_rnn.compiler.lowering.names import Names
from tinygrad_rnn.compiler.operations import assembled, copy, filled
from tinygrad_rnn.compiler.passes.assemble import row_of_parts
from tinygrad_rnn.compiler.time_sums import is_ones
from tinygrad_rnn.compiler.views import at_all_steps, is_view, source, view_of

ARITHMETIC = (np.add, np.subtract, np.multiply, np.divide, np.maximum, np.minimum)
"""These functions convert a number operand to an array at every call, which is slow: 0.41 µs
instead of 0.18. So the program has arrays for the numbers."""

NUMBERS = {0.0: "zero", 0.5: "half", 1.0: "one", 2.0: "two"}
"""The names of numbers."""


class Draft:
    """A program while it is being emitted: its buffers, its instructions, and the place of each
    value.

    ways: the instructions of the two functions, forward and backward.
    places: the places of values, at one step. A value that is the same in all steps is computed by
        each of the two functions that reads it, or set up (see `key`).
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
        self.places: dict[tuple[int | None, Value], Ref] = {}
        self.made: dict[Any, Ref] = {}
        self.lane_sums: dict[Value, Ref] = {}
        self.fused: dict[int, Buffer] = {}
        self._make_arguments()

    def _make_arguments(self) -> None:
        """Make the buffers of the caller's arguments, of the states, and of the links that carry
        ∂L/∂h from step to step."""
        graph, given = self.graph, Storage.GIVEN
        lane = Storage.LANE if graph.windows else Storage.SCRATCH

        def named(
            values: Iterable[Value], hint: str, storage: Storage, time: int | None
        ) -> tuple[Buffer, ...]:
            return tuple(
                self.buffer(v.name or hint, v.shape, v.dtype, storage, time) for v in values
            )

        def of_states(hint: str, storage: Storage, time: int | None) -> tuple[Buffer, ...]:
            return tuple(
                self.buffer(hint.format(h.name), h.shape, h.dtype, storage, time) for h in states
            )

        self.parameters = named(graph.parameters, "w", given, None)
        self.inputs = named(graph.inputs, "x", given, 0)
        states = named(graph.states, "h", Storage.STATE, 1)
        self.initial = of_states("{}_0", given, None)
        self.links = tuple(
            None if gradient is None else link
            for link, gradient in zip(
                of_states("d{}_link", lane, None), graph.state_gradients, strict=True
            )
        )
        self.ends = of_states("d{}_link_end", given, None)
        self.seeds = of_states("dL_d{}", given, 0)
        self.state_names = [h.name for h in states]
        self.before = [at_one_step(h, h.name) for h in states]
        self.after = [replace(place, offset=1) for place in self.before]
        places = (*self.before, *map(at_one_step, (*self.inputs, *self.parameters)))
        values = (*graph.states, *graph.inputs, *graph.parameters)
        self.places |= {(None, v): place for v, place in zip(values, places, strict=True)}

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
    ) -> Buffer:
        made = Buffer(self.names.fresh(hint), shape, np.dtype(dtype), storage, time)
        self.buffers.append(made)
        return made

    def place_for(self, value: Value, way: int, at_once: bool, writes: bool) -> Ref:
        """A place of its own for a value. at_once: whether it is computed for all steps at once.
        writes: whether its call can write into an array that exists."""
        saved = value in self.s.saved and not self.is_lane_sum(value)
        storage = Storage.SCRATCH if writes or saved else Storage.RESULT
        time = 1 if value in self.s.rows else 0 if at_once or saved else None
        made = self.buffer(self.hint(value), value.shape, value.dtype, storage, time)
        place = self.places[self.key(value, way)] = at_one_step(made, value.name)
        return place

    def result(self, hint: str, value: Value, storage: Storage = Storage.RESULT) -> Ref:
        return Ref(self.buffer(hint, value.shape, value.dtype, storage), name=hint)

    def set_up(self, value: Value, content: Any, time: int | None = None, hint: str = "") -> Ref:
        """An array with the shape and dtype of a value, which has its numbers from the set-up."""
        hint = hint or self.hint(value)
        made = self.buffer(hint, value.shape, value.dtype, Storage.SCRATCH, time)
        place = at_all_steps(at_one_step(made, value.name))
        self.setup.append(Instr(copy, (content,), place))
        return place

    def once(self, key: Any, make: Callable[[], Ref]) -> Ref:
        """An array that is made at its first use."""
        if key not in self.made:
            self.made[key] = make()
        return self.made[key]

    def hint(self, value: Value) -> str:
        if value in self.s.rows:
            parts = row_of_parts(value) or []
            return "_".join(map(label, parts)) if len(parts) < 5 else "row"
        if value.name or self.varies(value):
            back = self.graph.depends[value] & (Depends.GRADIENT | Depends.OUTPUT_GRADIENT)
            return value.name or ("d" if back else "a")
        if is_view(value) and source(value).name:
            return f"{source(value).name}_T"
        if value.function is assembled:
            return "W_joined"
        return "ones" if is_ones(value) else "w"

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
        place = None if is_view(value) else self.places.get((None, value))
        return f"{value.name or (place.buffer.name if place is not None else self.hint(value))}_t"

    def lines(self, value: Value, way: int, phase: Phase) -> list[Instr]:
        """The instructions to which to add those of a value. What depends on nothing is set up."""
        return self.ways[way].of(phase) if value.operands or value.function is None else self.setup

    # Reading ------------------------------------------------------------------------------------

    def way(self, value: Value) -> int:
        return 0 if value in self.phases[0] else 1

    def varies(self, value: Value) -> bool:
        return bool(self.graph.depends[value])

    def is_lane_sum(self, value: Value) -> bool:
        """Whether a value has a lane for each loss. The array of all steps has the sums."""
        return self.graph.windows and Depends.GRADIENT in self.graph.depends[value]

    def key(self, value: Value, way: int) -> tuple[int | None, Value]:
        """The value, and the function that computes it for itself alone, if there is one."""
        return way if value.operands and not self.varies(value) else None, value

    def place(self, value: Value, way: int, whole: bool = False) -> Ref:
        """The place from which to read a value at one step. whole: whether it is read at all
        steps."""
        if whole and value in self.lane_sums:
            return self.lane_sums[value]
        key = self.key(value, way)
        if value.function is filled and key not in self.places:
            self.places[key] = self.set_up(value, value.args[1])
        if key in self.places:
            return self.places[key]
        view = view_of(value)
        assert view is not None, value
        return seen(self.place(value.args[0], way, whole), view, name=value.name)

    def whole(self, value: Value, way: int, *more: View) -> Ref:
        """The array of all steps of a value."""
        place = self.place(value, way, whole=True)
        assert place.when is When.STEP or not self.varies(value), f"{value} has one step's array"
        return seen(at_all_steps(place), *more)

    def constant_of(self, leaf: Any, call: AtOnce) -> Any:
        """An argument of a call with an array that is set up in the place of a constant array, or
        of a number if the other operands and the result have one dtype."""
        value = call.value
        if isinstance(leaf, np.ndarray) and leaf.ndim:
            array, like = leaf, Value(leaf.shape, leaf.dtype)
            return self.once(id(leaf), lambda: self.set_up(like, array.copy(), hint="constant"))
        if isinstance(leaf, Value) and leaf.function is filled and leaf.shape == ():
            leaf = np.asarray(leaf.args[1], leaf.dtype)[()]
        is_number = isinstance(leaf, int | float | np.floating) and not isinstance(leaf, bool)
        same = {v.dtype for v in value.operands if v.function is not filled or v.ndim}
        is_plain = call.function in ARITHMETIC and same == {value.dtype}
        if not (is_number and is_plain and value.dtype.kind in "fc"):
            return leaf
        number, like = float(leaf), Value((), value.dtype)
        hint, key = NUMBERS.get(number, "number"), ("number", number, value.dtype)
        return self.once(key, lambda: self.set_up(like, number, hint=hint))

    def spread_out(self, leaf: Value, shape: tuple[Any, ...], way: int) -> Ref:
        """A value that is the same in all steps, copied to a larger shape. Broadcasting a row is
        slow: 1.2 µs instead of 0.5 for 32×128 numbers."""

        def spread() -> Ref:
            if leaf.function is filled and shape[0] is T:
                return self.set_up(leaf, leaf.args[1], time=0)
            made = self.buffer(f"{leaf.name or 'w'}_spread", shape, leaf.dtype, Storage.SCRATCH)
            self.ways[way].constants.append(Instr(copy, (self.place(leaf, way),), Ref(made)))
            return Ref(made)

        return self.once((way, leaf, shape), spread)


def at_one_step(buffer: Buffer, name: str = "") -> Ref:
    """The array of one step, of a buffer of one step or of all steps."""
    return Ref(buffer, When.ALWAYS if buffer.time is None else When.STEP, name=name)


def seen(ref: Ref, *views: View, name: str = "") -> Ref:
    """Views of a place."""
    return replace(ref, views=(*ref.views, *views), name=name or ref.name)


def label(part: Value) -> str:
    """The name of a part of a row."""
    return str(part.args[1]) if part.function is filled else part.name or "a"
