"""The draft of a program: its buffers, its instructions, and the place of each value."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from tinygrad_rnn.compiler.ir import (
    Buffer,
    Depends,
    Instr,
    Layout,
    Phase,
    Ref,
    Schedule,
    Sections,
    Storage,
    TimeSum,
    Value,
    View,
    Way,
    mapped,
)
from tinygrad_rnn.compiler.lowering.names import Names
from tinygrad_rnn.compiler.lowering.places import Place, first_axis
from tinygrad_rnn.compiler.operations import copy, filled, takes_out
from tinygrad_rnn.compiler.time_sums import is_ones
from tinygrad_rnn.compiler.views import is_part, is_view, source, view_of

ARITHMETIC = (np.add, np.subtract, np.multiply, np.divide, np.maximum, np.minimum)
"""These functions convert a number operand to an array at every call, which is slow: 0.41 µs
instead of 0.18. So the program has arrays for the numbers."""

NUMBERS = {0.0: "zero", 0.5: "half", 1.0: "one", 2.0: "two"}
"""The names of numbers."""


@dataclass
class Lines:
    """The instructions of one function, while they are being emitted."""

    constants: list[Instr]
    before: list[Instr]
    loop: list[Instr]
    after: list[Instr]

    def sections(self, result: tuple[Ref | None, ...]) -> Sections:
        constants, before = tuple(self.constants), tuple(self.before)
        return Sections(constants, before, tuple(self.loop), tuple(self.after), result)


class Draft:
    """A program while it is being emitted: its buffers, its instructions, and the place of each
    value.

    places: the places of values that differ from step to step.
    constant_places: the places of the other values, for each of the two functions.
    results: the places of the results of a call that has several.
    lane_sums: under windows, the places of the sums over the lanes, for the values that the
        backward loop stores.
    after: the place of h_t, for each part of the state.
    fused: for a part of the state whose gradient comes as a product, the buffer of the rows
        [δ_{t+1}, g_t]. appended: the place of g_t in it.
    row_parts: the parts of joined rows that are copied there.
    copied: the results that are computed elsewhere, with their destination, and whether the copy is
        for all steps at once.
    in_place: the values that lie inside another value's array.
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

    def __init__(self, schedule: Schedule, names: Names) -> None:
        self.s, self.graph = schedule, schedule.graph
        self.names = names
        self.buffers: list[Buffer] = []
        self.setup: list[Instr] = []
        self.ways = (Lines([], [], [], []), Lines([], [], [], []))
        self.phases = tuple(phases_of(way) for way in (schedule.forward, schedule.backward))
        self.places: dict[Value, Place] = {}
        self.constant_places: tuple[dict[Value, Place], dict[Value, Place]] = {}, {}
        self.results: dict[Value, tuple[Place, ...]] = {}
        self.lane_sums: dict[Value, Place] = {}
        self.numbers: dict[tuple[float, Any], Ref] = {}
        self.arrays: dict[int, Ref] = {}
        self.spread: dict[tuple[int, Value, tuple[int, ...]], Ref] = {}
        self.vectors_of_ones: dict[tuple[int, Any], Ref] = {}
        self.several: dict[tuple[Value, int], tuple[Place, ...]] = {}
        self.given: dict[int, Ref] = {}
        self.joint: dict[tuple[Value, Value], Place] = {}
        self.fused: dict[int, Buffer] = {}
        self.appended: dict[int, Place] = {}
        self.in_place: set[Value] = set()
        self.read_back = self._read_back()
        self.reshaped = self._reshaped()
        self.returned = {
            v
            for v in self.graph.input_gradients
            if v is not None and self.phases[1].get(v) in (Phase.AFTER, Phase.BEFORE)
        }

    def _read_back(self) -> set[Value]:
        """The values that the function `backward` reads."""
        back = [v for v in self.s.order if v in self.phases[1]]
        read = {source(v) for value in back for v in value.operands}
        for found in self.s.sums:
            read |= {source(v) for v in all_values(found)}
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
        shape, dtype = value.shape, value.dtype
        made = self.buffer(self.hint(value), shape, dtype, storage, time, fill)
        return Place(made, name=value.name)

    def hint(self, value: Value) -> str:
        back = self.s.depends[value] & (Depends.GRADIENT | Depends.OUTPUT_GRADIENT)
        return value.name or ("d" if back else "a")

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
            part: Place = self.results[value.args[0]][value.args[1]]
            return part
        view = view_of(value)
        assert view is not None, value
        return self.place(value.args[0], way, whole).seen(view, value.name)

    def step(self, value: Value, way: int) -> Ref:
        return self.place(value, way, whole=False).step()

    def whole(self, value: Value, way: int, *more: View) -> Ref:
        return self.place(value, way, whole=True).whole(*more)

    def argument(self, leaf: Any, way: int, read: Any) -> Any:
        """The argument of an instruction for an argument of a call."""
        if isinstance(leaf, Value):
            return read(leaf, way)
        if isinstance(leaf, np.ndarray) and leaf.ndim:
            if id(leaf) not in self.arrays:
                made = self.buffer(
                    "constant", leaf.shape, leaf.dtype, Storage.KEPT, None, leaf.copy()
                )
                self.arrays[id(leaf)] = Ref(made)
            return self.arrays[id(leaf)]
        return leaf

    def arguments(self, tree: Any, way: int, read: Any) -> Any:
        return mapped(tree, lambda leaf: self.argument(leaf, way, read))

    def instr_of(self, value: Value, way: int, out: Any, read: Any) -> Instr:
        """The instruction that makes the call of a value unchanged."""
        args = self.arguments(value.args, way, read)
        kwargs = self.arguments(dict(value.kwargs), way, read)
        assert value.function is not None
        return Instr(value.function, args, out, kwargs or {})

    def new_results(self, value: Value, time: int | None, storage: Storage) -> tuple[Place, ...]:
        assert value.results is not None
        return tuple(
            Place(self.buffer(self.hint(value), shape, dtype, storage, time))
            for shape, dtype in value.results
        )

    def rows(self, value: Value) -> Ref:
        return self.whole(value, 1, View("reshape", (-1, value.shape[-1])))

    def symbol(self, value: Value) -> str:
        """The name of a value in the notation of the textbook."""
        if value.function is filled:
            return str(value.args[1])
        if value in self.graph.states:
            return f"{self.state_names[self.graph.states.index(value)]}_{{t−1}}"
        if value in self.graph.results:
            return f"{self.state_names[self.graph.results.index(value)]}_t"
        place = None if is_view(value) else self.places.get(value)
        return f"{value.name or (place.buffer.name if place is not None else self.hint(value))}_t"

    def result(self, hint: str, value: Value) -> Ref:
        made = self.buffer(hint, value.shape, value.dtype, Storage.RESULT)
        return Ref(made, name=hint)

    def all_instrs(self, *more: Iterable[Instr]) -> list[Instr]:
        found = list(self.setup)
        for lines in self.ways:
            found += [*lines.constants, *lines.before, *lines.loop, *lines.after]
        return found + [instr for group in more for instr in group]

    # What is the same in all steps ----------------------------------------------------------------

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
        key = float(leaf), value.dtype
        if key not in self.numbers:
            hint = NUMBERS.get(key[0], "number")
            made = self.buffer(hint, (), value.dtype, Storage.KEPT, None, key[0])
            self.numbers[key] = Ref(made)
        return self.numbers[key]

    def constant(self, value: Value, way: int) -> Place:
        """The place of a value that depends on parameters alone, computed once in each call. A
        value that depends on nothing is made once."""
        places, lines = self.constant_places[way], self.ways[way].constants
        if value in places:
            return places[value]
        other = self.constant_places[1 - way].get(value)
        if other is not None and not value.operands:
            places[value] = other
            return other
        if is_part(value):
            self.constant(value.args[0], way)
            part: Place = self.several[value.args[0], way][value.args[1]]
            return part
        hint = value.name or self.constant_hint(value)
        if not value.operands:
            fill = value.args[1] if value.function is filled else None
            made = self.buffer(hint, value.shape, value.dtype, Storage.KEPT, None, fill)
            if fill is None:
                self.setup.append(self.instr_of(value, way, Place(made).step(), self.step))
        elif is_stacked_matrix(value):
            made = self.stacked_matrix(value, way)
        elif value.results is not None:
            self.several_constants(value, way)
            made = Buffer("", (), value.dtype, Storage.RESULT)
        elif is_view(value):
            base, view = self.constant(value.args[0], way), view_of(value)
            assert view is not None
            made = self.buffer(hint, value.shape, value.dtype, Storage.SCRATCH)
            lines.append(Instr(copy, (base.seen(view, value.name).step(),), Ref(made)))
        else:
            storage = Storage.SCRATCH if takes_out(value.function, value.kwargs) else Storage.RESULT
            assert value.function is not None
            if storage is Storage.RESULT and not value.shape:
                storage = Storage.SCRATCH
            for operand in value.operands:
                self.constant(operand, way)
            made = self.buffer(hint, value.shape, value.dtype, storage)
            lines.append(self.instr_of(value, way, Ref(made), self.step))
        places[value] = Place(made, name=value.name)
        return places[value]

    def several_constants(self, value: Value, way: int) -> None:
        places = self.new_results(value, None, Storage.RESULT)
        self.several[value, way] = places
        refs = tuple(place.step() for place in places)
        self.ways[way].constants.append(self.instr_of(value, way, refs, self.step))

    def stacked_matrix(self, value: Value, way: int) -> Buffer:
        """Matrices stacked in a buffer. Those known beforehand are copied only once."""
        known = [
            source(part).function is not None and not source(part).operands
            for part in value.args[0]
        ]
        storage = Storage.KEPT if any(known) else Storage.SCRATCH
        made = self.buffer("W_joined", value.shape, value.dtype, storage)
        lines, start = self.ways[way].constants, 0
        for part, once in zip(value.args[0], known, strict=True):
            stop = start + part.shape[0]
            out = Ref(made, views=(first_axis(start, stop, value.shape[0]),))
            start = stop
            if once:
                is_filled = part.function is filled
                fill = Instr(copy, (part.args[1],), out) if is_filled else None
                self.setup.append(fill or self.instr_of(part, way, out, self.step))
                continue
            view = view_of(part)
            if view is None:
                place = self.constant(part, way)
            else:
                place = self.constant(part.args[0], way)
                # A vector is broadcast to a row.
                is_row = view.kind == "reshape" and part.shape[0] == 1
                place = place if is_row else place.seen(view)
            lines.append(Instr(copy, (place.step(),), out))
        return made

    def constant_hint(self, value: Value) -> str:
        if is_view(value) and source(value).name:
            return f"{source(value).name}_T"
        return "ones" if is_ones(value) else "w"

    def spread_out(self, leaf: Value, shape: tuple[int, ...], way: int) -> Ref:
        """A value that is the same in all steps, copied to a larger shape. Broadcasting a row is
        slow: 1.2 µs instead of 0.5 for 32×128 numbers."""
        key = way, leaf, shape
        if key not in self.spread:
            given = self.constant(leaf, way).step()
            made = self.buffer(f"{leaf.name or 'w'}_spread", shape, leaf.dtype, Storage.SCRATCH)
            self.spread[key] = Ref(made)
            self.ways[way].constants.append(Instr(copy, (given,), Ref(made)))
        return self.spread[key]


def phases_of(way: Way) -> dict[Value, Phase]:
    return {value: phase for phase in Phase for value in way.of(phase)}


def all_values(found: TimeSum | None) -> list[Value]:
    """All values that a sum reads."""
    if found is None:
        return []
    return [*found.values, *(v for term in found.terms for v in all_values(term))]


def is_stacked_matrix(value: Value) -> bool:
    return (
        value.function is np.concatenate
        and value.args[1:] == (0,)
        and not value.kwargs
        and isinstance(value.args[0], tuple | list)
        and all(isinstance(part, Value) and part.ndim == 2 for part in value.args[0])
    )
