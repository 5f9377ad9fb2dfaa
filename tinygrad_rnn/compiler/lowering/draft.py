"""The draft of a program: its buffers, its instructions, and the place of each value."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from tinygrad_rnn.compiler.ir import (
    Buffer,
    Depends,
    Instr,
    Layout,
    Phases,
    Ref,
    Schedule,
    Sections,
    Storage,
    T,
    Value,
    View,
    mapped,
)
from tinygrad_rnn.compiler.lowering.names import Names
from tinygrad_rnn.compiler.lowering.places import Place
from tinygrad_rnn.compiler.operations import copy, filled, takes_out
from tinygrad_rnn.compiler.passes.fuse_products import row_of_parts
from tinygrad_rnn.compiler.time_sums import is_ones
from tinygrad_rnn.compiler.views import first_axis, is_part, is_view, source, view_of

ARITHMETIC = (np.add, np.subtract, np.multiply, np.divide, np.maximum, np.minimum)
"""These functions convert a number operand to an array at every call, which is slow: 0.41 µs
instead of 0.18. So the program has arrays for the numbers."""

NUMBERS = {0.0: "zero", 0.5: "half", 1.0: "one", 2.0: "two"}
"""The names of numbers."""


class Draft:
    """A program while it is being emitted: its buffers, its instructions, and the place of each
    value.

    ways: the instructions of the two functions, forward and backward.
    places: the places of values that differ from step to step.
    constants: the places of the other values. They are computed by one of the two functions (the
        key is the function and the value), or made once (None and the value).
    results: the places of the results of a call that has several, by the same keys.
    made: the other arrays that are made once, by what is in them.
    lane_sums: under windows, the places of the sums over the lanes, for the values that the
        backward loop stores.
    after: the place of h_t, for each part of the state.
    fused: for a part of the state whose gradient comes as a product, the buffer of the rows
        [δ_{t+1}, g_t]. appended: the place of g_t in it.
    row_parts: the parts of joined rows that are copied there.
    copied: the results that are computed elsewhere, with their destination, and whether the copy is
        for all steps at once.
    """

    parameters: tuple[Buffer, ...]
    inputs: tuple[Buffer, ...]
    initial: tuple[Buffer, ...]
    seeds: tuple[Buffer, ...]
    ends: tuple[Buffer, ...]
    links: tuple[Buffer | None, ...]
    state_names: list[str]
    after: list[Place]
    layouts: tuple[Layout, ...]
    row_parts: list[tuple[Value, Place]]
    copied: list[tuple[Ref, Value, bool]]

    def __init__(self, schedule: Schedule) -> None:
        self.s, self.graph = schedule, schedule.graph
        self.names = Names()
        self.buffers: list[Buffer] = []
        self.setup: list[Instr] = []
        self.ways = tuple(Phases[list[Instr]]([], [], [], []) for _ in range(2))
        self.phases = schedule.forward.phase_of(), schedule.backward.phase_of()
        self.places: dict[Value, Place] = {}
        self.constants: dict[tuple[int | None, Value], Place] = {}
        self.results: dict[tuple[int | None, Value], tuple[Place, ...]] = {}
        self.made: dict[Any, Ref] = {}
        self.lane_sums: dict[Value, Place] = {}
        self.fused: dict[int, Buffer] = {}
        self.appended: dict[int, Place] = {}
        self.read_back = self._read_back()
        self.reshaped = self._reshaped()

    def _read_back(self) -> set[Value]:
        """The values that the function `backward` reads."""
        back = [v for v in self.s.order if v in self.phases[1]]
        read = {source(v) for value in back for v in value.operands}
        read |= {source(v) for found in self.s.sums if found is not None for v in found.reads()}
        read |= {source(v) for v in self.graph.output_grads.values()}
        return read | {v.args[0] for v in read if is_part(v)}

    def _reshaped(self) -> set[Value]:
        """Values that must be contiguous, so that a reshape of them is a view."""
        found: set[Value] = set()
        for value in reversed(self.s.order):
            view = view_of(value)
            if view is not None and (view.kind == "reshape" or value in found):
                found.add(value.args[0])
        return found

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

    def for_value(
        self, value: Value, time: int | None, storage: Storage, fill: Any = None
    ) -> Place:
        made = self.buffer(self.hint(value), value.shape, value.dtype, storage, time, fill)
        return Place(made, name=value.name)

    def new_results(self, value: Value, time: int | None, storage: Storage) -> tuple[Place, ...]:
        assert value.results is not None
        hint = self.hint(value)
        return tuple(Place(self.buffer(hint, *t, storage, time)) for t in value.results)

    def result(self, hint: str, value: Value) -> Ref:
        made = self.buffer(hint, value.shape, value.dtype, Storage.RESULT)
        return Ref(made, name=hint)

    def once(self, key: Any, make: Callable[[], Ref]) -> Ref:
        """An array that is made at its first use."""
        if key not in self.made:
            self.made[key] = make()
        return self.made[key]

    def hint(self, value: Value) -> str:
        back = self.s.depends[value] & (Depends.GRADIENT | Depends.OUTPUT_GRADIENT)
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
        return bool(self.s.depends[value])

    def place(self, value: Value, way: int, whole: bool) -> Place:
        """The place from which to read a value. whole: whether to read the array of all steps."""
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
        return self.place(value.args[0], way, whole).seen(view, value.name)

    def part(self, way: int | None, value: Value) -> Place:
        """The place of one of several results."""
        call, number = value.args
        found: Place = self.results[way, call][number]
        return found

    def step(self, value: Value, way: int) -> Ref:
        return self.place(value, way, whole=False).step()

    def whole(self, value: Value, way: int, *more: View) -> Ref:
        return self.place(value, way, whole=True).whole(*more)

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
            (value.args, dict(value.kwargs)), lambda leaf: self.argument(leaf, way, self.step)
        )
        return Instr(value.function, args, out, kwargs)

    def number_of(self, leaf: Any, value: Value) -> Any:
        """An array in place of a number, if the other operands and the result have one dtype;
        otherwise the number."""
        if isinstance(leaf, Value) and leaf.function is filled and leaf.shape == ():
            leaf = np.asarray(leaf.args[1], leaf.dtype)[()]
        is_number = isinstance(leaf, int | float | np.floating) and not isinstance(leaf, bool)
        if not is_number or value.function not in ARITHMETIC:
            return leaf
        same = {v.dtype for v in value.operands if v.function is not filled or v.ndim}
        if same != {value.dtype} or value.dtype.kind not in "fc":
            return leaf
        number, dtype = float(leaf), value.dtype
        hint = NUMBERS.get(number, "number")
        return self.once(
            ("number", number, dtype),
            lambda: Ref(self.buffer(hint, (), dtype, Storage.KEPT, None, number)),
        )

    # What is the same in all steps --------------------------------------------------------------

    def constant(self, value: Value, way: int) -> Place:
        """The place of a value that depends on parameters alone, computed once in each call. A
        value that depends on nothing is made once."""
        if is_part(value):
            call = value.args[0]
            if (way, call) not in self.results:
                places = self.new_results(call, None, Storage.RESULT)
                refs = tuple(place.step() for place in places)
                self.ways[way].constants.append(self.instr_of(call, way, refs))
                self.results[way, call] = places
            return self.part(way, value)
        known = way if value.operands else None, value
        if known not in self.constants:
            self.constants[known] = Place(self.new_constant(value, way), name=value.name)
        return self.constants[known]

    def new_constant(self, value: Value, way: int) -> Buffer:
        lines = self.ways[way].constants
        hint = value.name or self.constant_hint(value)
        if not value.operands:
            fill = value.args[1] if value.function is filled else None
            made = self.buffer(hint, value.shape, value.dtype, Storage.KEPT, None, fill)
            if fill is None:
                self.setup.append(self.instr_of(value, way, Ref(made)))
            return made
        if is_stacked_matrix(value):
            return self.stacked_matrix(value, way)
        view = view_of(value)
        direct = view is not None or takes_out(value.function, value.kwargs) or not value.shape
        for operand in value.operands:
            self.constant(operand, way)
        storage = Storage.SCRATCH if direct else Storage.RESULT
        made = self.buffer(hint, value.shape, value.dtype, storage)
        if view is None:
            lines.append(self.instr_of(value, way, Ref(made)))
        else:
            given = self.constant(value.args[0], way).seen(view, value.name)
            lines.append(Instr(copy, (given.step(),), Ref(made)))
        return made

    def stacked_matrix(self, value: Value, way: int) -> Buffer:
        """Matrices stacked in a buffer. Those known beforehand are copied only once."""
        parts = value.args[0]
        known = [source(p).function is not None and not source(p).operands for p in parts]
        storage = Storage.KEPT if any(known) else Storage.SCRATCH
        made = self.buffer("W_joined", value.shape, value.dtype, storage)
        start = 0
        for part, once in zip(parts, known, strict=True):
            stop = start + part.shape[0]
            out = Ref(made, views=(first_axis(start, stop, value.shape[0]),))
            start, view = stop, view_of(part)
            if once and part.function is filled:
                self.setup.append(Instr(copy, (part.args[1],), out))
            elif once:
                self.setup.append(self.instr_of(part, way, out))
            else:
                place = self.constant(part if view is None else part.args[0], way)
                # A vector is broadcast to a row.
                is_row = view is not None and view.kind == "reshape" and part.shape[0] == 1
                place = place if view is None or is_row else place.seen(view)
                self.ways[way].constants.append(Instr(copy, (place.step(),), out))
        return made

    def constant_hint(self, value: Value) -> str:
        if is_view(value) and source(value).name:
            return f"{source(value).name}_T"
        return "ones" if is_ones(value) else "w"

    def spread_out(self, leaf: Value, shape: tuple[Any, ...], way: int) -> Ref:
        """A value that is the same in all steps, copied to a larger shape. Broadcasting a row is
        slow: 1.2 µs instead of 0.5 for 32×128 numbers."""

        def spread() -> Ref:
            if leaf.function is filled and shape[0] is T:
                fill = leaf.args[1]
                hint = self.constant_hint(leaf)
                made = self.buffer(hint, leaf.shape, leaf.dtype, Storage.KEPT, 0, fill)
                return Place(made).whole()
            given = self.constant(leaf, way).step()
            made = self.buffer(f"{leaf.name or 'w'}_spread", shape, leaf.dtype, Storage.SCRATCH)
            self.ways[way].constants.append(Instr(copy, (given,), Ref(made)))
            return Ref(made)

        return self.once((way, leaf, shape), spread)


def is_stacked_matrix(value: Value) -> bool:
    return (
        value.function is np.concatenate
        and value.args[1:] == (0,)
        and not value.kwargs
        and isinstance(value.args[0], tuple | list)
        and all(isinstance(part, Value) and part.ndim == 2 for part in value.args[0])
    )
