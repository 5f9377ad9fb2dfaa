"""Instructions and buffers for a schedule: each value has a place, each call an instruction.

Here every value that is computed has a buffer of its own, or a place inside of another one's: the
parts of a row [h_{t−1}, x_t, 1] and of a gradient that is put together are written where they are
needed. `allocate` lets buffers share memory afterwards.
"""

from __future__ import annotations

import builtins
import keyword
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from tinygrad_rnn.compiler.batching import AtOnce, Operand, batched
from tinygrad_rnn.compiler.ir import (
    Buffer,
    Depends,
    Instr,
    Layout,
    Phase,
    Program,
    Ref,
    Schedule,
    Sections,
    Storage,
    T,
    TimeSum,
    Value,
    View,
    Way,
    When,
    mapped,
)
from tinygrad_rnn.compiler.operations import (
    OUT_LAST,
    add_at,
    assembled,
    copy,
    filled,
    is_elementwise,
    over_lanes,
    takes_out,
    with_end,
)
from tinygrad_rnn.compiler.passes.assemble import covers
from tinygrad_rnn.compiler.passes.fuse_products import is_row, row_of_parts
from tinygrad_rnn.compiler.time_sums import is_ones
from tinygrad_rnn.compiler.views import is_part, is_view, of_all_steps, source, view_of

FEW = 256
"""Up to so many numbers a step, looking into the caller's array costs more than copying it."""

ARITHMETIC = (np.add, np.subtract, np.multiply, np.divide, np.maximum, np.minimum)
"""Of a number beside an array these make an array at every call, which is slow: 0.41 µs instead of
0.18. So the program has arrays for the numbers."""

NUMBERS = {0.0: "zero", 0.5: "half", 1.0: "one", 2.0: "two"}
"""What numbers are called."""

RESERVED = {
    *("T", "np", "empty", "program", "forward", "backward", "entering"),
    *("rows", "numbers", "products", "added_at", "placed", "assembled", "add_at", "with_end"),
    *("places_of", "cross_entropies", "cross_entropy_gradient"),
    *("windows", "lanes", "links", "alive", "lane", "start", "seeded", "cut"),
    *(name for name, value in vars(np).items() if isinstance(value, np.ufunc)),
    *keyword.kwlist,
    *dir(builtins),
}
"""Names that printed programs use for other things."""


class Names:
    """Names for buffers, each given once."""

    def __init__(self) -> None:
        self.taken = set(RESERVED)

    def fresh(self, hint: str) -> str:
        hint = "".join(c if c.isalnum() or c == "_" else "_" for c in hint) or "a"
        hint = f"_{hint}" if hint[0].isdigit() else hint
        name, number = hint, 2
        while name in self.taken:
            name, number = f"{hint}{number}", number + 1
        self.taken.add(name)
        return name


@dataclass(frozen=True)
class Place:
    """Where the array of a value is: a buffer, the entry beside that of the step, and what of it.

    views: of one step's array.
    """

    buffer: Buffer
    offset: int = 0
    views: tuple[View, ...] = ()
    name: str = ""

    def seen(self, view: View, name: str = "") -> Place:
        return replace(self, views=(*self.views, view), name=name or self.name)

    def step(self) -> Ref:
        when = When.ALWAYS if self.buffer.time is None else When.STEP
        return Ref(self.buffer, when, self.offset, self.views, name=self.name)

    def at(self, when: When, offset: int) -> Ref:
        return Ref(self.buffer, when, offset, self.views, name=self.name)

    def whole(self, *more: View) -> Ref:
        if self.buffer.time is None:
            return Ref(self.buffer, When.ALWAYS, 0, (*self.views, *more), name=self.name)
        views = [part for view in self.views for part in of_all_steps(view)]
        return Ref(self.buffer, When.ALL, self.offset, (*views, *more), name=self.name)


@dataclass
class Lines:
    """The instructions of one function, while they are written."""

    constants: list[Instr]
    before: list[Instr]
    loop: list[Instr]
    after: list[Instr]


def lower(schedule: Schedule, title: str, names: Names | None = None) -> Program:
    """The program of a schedule, each value with a place of its own."""
    return Lowering(schedule, title, names or Names()).program()


class Lowering:
    """places: of values that differ from step to step; constants: of the others, for each function.
    sums: under windows, of what the loop back stores, where its sums over the lanes are. before,
    after: of each part of the state, h_{t−1} and h_t. fused: for a part of the state whose gradient
    comes as a product, the buffer of the rows [δ_{t+1}, g_t]; beside: the place of g_t in it.
    """

    def __init__(self, schedule: Schedule, title: str, names: Names) -> None:
        self.s, self.graph, self.title = schedule, schedule.graph, title
        self.names = names
        self.buffers: list[Buffer] = []
        self.setup: list[Instr] = []
        self.ways = (Lines([], [], [], []), Lines([], [], [], []))
        self.phases = tuple(phases_of(way) for way in (schedule.forward, schedule.backward))
        self.places: dict[Value, Place] = {}
        self.constants: tuple[dict[Value, Place], dict[Value, Place]] = {}, {}
        self.results: dict[Value, tuple[Place, ...]] = {}
        self.sums: dict[Value, Place] = {}
        self.numbers: dict[tuple[float, Any], Ref] = {}
        self.arrays: dict[int, Ref] = {}
        self.spread: dict[tuple[int, Value, tuple[int, ...]], Ref] = {}
        self.vectors_of_ones: dict[tuple[int, Any], Ref] = {}
        self.joint: dict[tuple[Value, Value], Place] = {}
        self.fused: dict[int, Buffer] = {}
        self.beside: dict[int, Place] = {}
        self.in_place: set[Value] = set()
        self.read_back = self._read_back()
        self.reshaped = self._reshaped()
        self.returned = {
            v
            for v in self.graph.input_gradients
            if v is not None and self.phases[1].get(v) in (Phase.AFTER, Phase.BEFORE)
        }

    def _read_back(self) -> set[Value]:
        """What the function `backward` reads."""
        back = [v for v in self.s.order if v in self.phases[1]]
        read = {source(v) for value in back for v in value.operands}
        for found in self.s.sums:
            read |= {source(v) for v in all_values(found)}
        read |= {source(v) for v in self.graph.output_grads.values()}
        return read | {v.args[0] for v in read if is_part(v)}

    def _reshaped(self) -> set[Value]:
        """Values whose numbers must lie one after another, for another shape to be a view."""
        found: set[Value] = set()
        for value in reversed(self.s.order):
            view = view_of(value)
            if view is not None and (view.kind == "reshape" or value in found):
                found.add(value.args[0])
        return found

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

    # The whole program --------------------------------------------------------------------------

    def program(self) -> Program:
        graph = self.graph
        self.name_arguments()
        self.place_states()
        self.place_fused()
        self.place_stored()
        ends = self.name_seeds()
        for way in (0, 1):
            self.place_pieces(way)
        forward_result = self.forward()
        result, entry, block_entry = self.backward()
        used = {b for lines in self.all_instrs(entry, block_entry) for b in buffers_of(lines)}
        kept = {*used, *self.initial, *self.inputs, *self.parameters, *ends, *self.seeds}
        kept |= {place.buffer for place in self.after}
        kept |= {b for b in self.links if b is not None}
        forward, backward = (
            Sections(tuple(w.constants), tuple(w.before), tuple(w.loop), tuple(w.after), out)
            for w, out in zip(self.ways, (forward_result, result), strict=True)
        )
        return Program(
            title=self.title,
            buffers=tuple(b for b in self.buffers if b in kept),
            setup=tuple(self.setup),
            forward=forward,
            backward=backward,
            initial=self.initial,
            inputs=self.inputs,
            parameters=self.parameters,
            ends=ends,
            seeds=self.seeds,
            states=tuple(place.buffer for place in self.after),
            layouts=self.layouts,
            links=self.links,
            entry=entry,
            block_entry=block_entry,
            windows=graph.windows,
            outputs=frozenset(n for n, v in enumerate(graph.states) if v in self.s.unread),
            output_grads=frozenset(graph.output_grads),
            differentiated=tuple(adjoint is not None for adjoint in graph.adjoints),
        )

    def all_instrs(self, *more: Iterable[Instr]) -> list[Instr]:
        found = list(self.setup)
        for lines in self.ways:
            found += [*lines.constants, *lines.before, *lines.loop, *lines.after]
        return found + [instr for group in more for instr in group]

    # Places -------------------------------------------------------------------------------------

    def name_arguments(self) -> None:
        graph = self.graph
        given = Storage.GIVEN

        def named(values: Iterable[Value], default: str, time: int | None) -> tuple[Buffer, ...]:
            return tuple(
                self.buffer(v.name or default, v.shape, v.dtype, given, time) for v in values
            )

        self.parameters = named(graph.parameters, "w", None)
        self.inputs = named(graph.inputs, "x", 0)
        self.state_names = [self.names.fresh(v.name or "h") for v in graph.states]
        self.initial = tuple(
            self.buffer(f"{name}_0", v.shape, v.dtype, given)
            for v, name in zip(graph.states, self.state_names, strict=True)
        )
        for value, buffer in zip(graph.inputs, self.inputs, strict=True):
            self.places[value] = Place(buffer)
        for value, buffer in zip(graph.parameters, self.parameters, strict=True):
            for constants in self.constants:
                constants[value] = Place(buffer)

    def name_seeds(self) -> tuple[Buffer, ...]:
        graph, names = self.graph, self.state_names
        pairs = list(zip(graph.states, names, strict=True))
        given, lane = Storage.GIVEN, Storage.LANE
        self.links = tuple(
            None
            if gradient is None
            else self.buffer(
                f"d{name}_link", v.shape, v.dtype, lane if graph.windows else Storage.SCRATCH
            )
            for (v, name), gradient in zip(pairs, graph.state_gradients, strict=True)
        )
        self.ends = tuple(
            self.buffer(f"d{name}_link_end", v.shape, v.dtype, given) for v, name in pairs
        )
        self.seeds = tuple(
            self.buffer(f"dL_d{name}", v.shape, v.dtype, given, 0) for v, name in pairs
        )
        return self.ends

    def place_states(self) -> None:
        """Lay out the rows of the forward loop, the states in them; and have results written where
        the states of all steps stand."""
        graph = self.graph
        state_place: dict[Value, Place] = {}
        layouts: dict[Value, Layout] = {}
        pieces: list[tuple[Value, Place]] = []
        for row in self.s.rows:
            parts = row_of_parts(row) or []
            state = next((p for p in parts if self.can_be_in_row(p, state_place)), None)
            hint = "_".join(map(label, parts)) if len(parts) < 5 else "row"
            storage, time = (Storage.KEPT, 0) if state is None else (Storage.STATE, 1)
            whole = Place(self.buffer(hint, row.shape, row.dtype, storage, time), name=row.name)
            self.places[row] = whole
            start = 0
            for part in parts:
                stop = start + part.shape[-1]
                place = replace(whole, views=(columns(start, stop, row.shape[-1]),), name=part.name)
                if part is state and state not in state_place:
                    state_place[part] = place
                    layouts[part] = Layout(row.shape, row.dtype, start, stop)
                elif self.can_be_piece(part):
                    self.places[part] = place
                    self.in_place.add(part)
                elif part.function is filled:
                    self.setup.append(Instr(copy, (part.args[1],), place.whole()))
                else:
                    pieces.append((part, place))
                start = stop
        self.row_parts = pieces
        for state, name in zip(graph.states, self.state_names, strict=True):
            if state not in state_place:
                made = Buffer(name, state.shape, state.dtype, Storage.STATE, 1)
                self.buffers.append(made)
                state_place[state] = Place(made)
                layouts[state] = Layout(state.shape, state.dtype, None, None)
            state_place[state] = replace(state_place[state], name=name)
            self.places[state] = state_place[state]
        self.layouts = tuple(layouts[state] for state in graph.states)
        self.after = [replace(state_place[state], offset=1) for state in graph.states]
        made_by: set[Value] = set(graph.states)
        self.copied: list[tuple[Ref, Value, bool]] = []
        for after, result, state in zip(self.after, graph.results, graph.states, strict=True):
            phase = self.phases[0].get(result)
            at_once = state in self.s.unread and phase is not Phase.LOOP
            own = result not in made_by and result not in self.places and not is_part(result)
            alone = at_once and phase is Phase.AFTER and not after.views
            if own and (phase is Phase.LOOP or alone):
                self.places[result] = after
            elif at_once and (not is_view(result) or self.is_known_at_once(result)):
                self.copied.append((after.whole(), result, True))
            else:
                self.copied.append((after.step(), result, False))
                continue
            made_by.add(result)

    def is_known_at_once(self, value: Value) -> bool:
        """Whether there is, or can be, an array with what a view looks into, of all steps."""
        base = source(value)
        return self.phases[0].get(base) is not Phase.LOOP or base in self.s.stored

    def can_be_in_row(self, part: Value, placed: dict[Value, Place]) -> bool:
        free = part not in placed and (part not in self.reshaped or is_row(part))
        return part in self.graph.states and free

    def can_be_piece(self, part: Value) -> bool:
        """Whether a value of the forward loop can be written where a row has it."""
        return (
            part not in self.places
            and (part not in self.reshaped or is_row(part))
            and self.phases[0].get(part) is Phase.LOOP
            and not is_part(part)
            and part not in self.s.rows
            and part not in self.graph.results
        )

    def place_fused(self) -> None:
        """Rows of the backward loop: δ of the step after, and what the loss adds."""
        for n, fused in self.graph.fused_adjoints.items():
            row, appended = fused.row, fused.appended
            width = row.shape[-1]
            shape = (*row.shape[:-1], width + appended.shape[-1])
            hint = f"{self.hint(row)}_dL_d{self.state_names[n]}"
            fill = 0 if row.function is assembled and not covers(row) else None
            kept = Storage.SCRATCH if fill is None else Storage.KEPT
            made = self.buffer(hint, shape, row.dtype, kept, 1, fill)
            self.fused[n] = made
            name = self.hint(row)
            self.places[row] = Place(made, 0, (columns(0, width, shape[-1]),), name)
            self.in_place.add(row)
            self.beside[n] = Place(made, 1, (columns(width, shape[-1], shape[-1]),))

    def place_stored(self) -> None:
        """Arrays of all steps for what the loops keep."""
        for value in self.s.order:
            if value not in self.s.stored or value in self.places:
                continue
            if self.graph.windows and Depends.GRADIENT in self.s.depends[value]:
                self.sums[value] = self.for_value(value, 0, Storage.SCRATCH)
                continue
            if value.function is not assembled and self.is_waiting_piece(value):
                continue
            partial = value.function is assembled and not covers(value)
            ahead = self.way(value) == 0
            storage = Storage.KEPT if ahead or partial else Storage.SCRATCH
            self.places[value] = self.for_value(value, 0, storage, 0 if partial else None)

    def is_waiting_piece(self, value: Value) -> bool:
        """Whether `place_pieces` will find a place in a stored assembly for a stored value."""
        way = self.way(value)
        for whole in self.assemblies(way):
            if whole in self.s.stored:
                pieces = zip(whole.args[2], whole.args[3], strict=True)
                if any(p is value and self.fits(p, whole, i, way) for i, p in pieces):
                    return True
        return False

    def assemblies(self, way: int) -> list[Value]:
        loop = (self.s.forward, self.s.backward)[way].loop
        return [v for v in loop if v.function is assembled]

    def fits(self, part: Value, whole: Value, index: Any, way: int) -> bool:
        """Whether a part of an assembly can be written right in its place there."""
        target = np.empty(whole.shape, whole.dtype)[index]
        return (
            self.phases[way].get(part) is Phase.LOOP
            and part not in self.in_place
            and part not in self.reshaped
            and part.function not in (None, assembled)
            and not is_part(part)
            and part not in self.graph.results
            and target.shape == part.shape
            and target.dtype == part.dtype
        )

    def place_pieces(self, way: int) -> None:
        """Give the parts of assemblies their places inside of them, so they need no copying."""
        for whole in self.assemblies(way):
            if whole not in self.places:
                partial = not covers(whole)
                storage = Storage.KEPT if partial else Storage.SCRATCH
                self.places[whole] = self.for_value(whole, None, storage, 0 if partial else None)
            place = self.places[whole]
            for index, part in zip(whole.args[2], whole.args[3], strict=True):
                if not self.fits(part, whole, index, way) or part in self.places:
                    continue
                if part in self.s.stored and place.buffer.time is None and part not in self.sums:
                    continue
                index = index if isinstance(index, tuple) else (index,)
                if not part.shape and Ellipsis not in index:
                    index = (*index, Ellipsis)
                self.places[part] = place.seen(View("index", index), part.name or self.hint(part))
                self.in_place.add(part)
        for value in (self.s.forward, self.s.backward)[way].loop:
            if value in self.s.stored and value not in self.places and value not in self.sums:
                if value.function is None and self.graph.windows:
                    continue
                storage = Storage.KEPT if way == 0 else Storage.SCRATCH
                self.places[value] = self.for_value(value, 0, storage)

    # Reading ------------------------------------------------------------------------------------

    def place(self, value: Value, way: int, whole: bool) -> Place:
        """Where a value is to be read. whole: as an array of all steps."""
        if not self.varies(value):
            return self.constant(value, way)
        if whole and value in self.sums:
            return self.sums[value]
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
        """What stands in an instruction for an argument of a call."""
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

    def number_of(self, leaf: Any, value: Value) -> Any:
        """An array for a number beside arrays of one dtype, which the result has too; otherwise
        the number."""
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

    # Constants ----------------------------------------------------------------------------------

    def constant(self, value: Value, way: int) -> Place:
        """What depends on parameters alone, computed once in each call; what depends on nothing is
        made once."""
        places, lines = self.constants[way], self.ways[way].constants
        if value in places:
            return places[value]
        other = self.constants[1 - way].get(value)
        if other is not None and not value.operands:
            places[value] = other
            return other
        if is_part(value):
            self.constant(value.args[0], way)
            part: Place = self.results_of_constant[value.args[0], way][value.args[1]]
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

    @property
    def results_of_constant(self) -> dict[tuple[Value, int], tuple[Place, ...]]:
        return self.__dict__.setdefault("_several", {})  # type: ignore[no-any-return]

    def several_constants(self, value: Value, way: int) -> None:
        places = self.new_results(value, None, Storage.RESULT)
        self.results_of_constant[value, way] = places
        refs = tuple(place.step() for place in places)
        self.ways[way].constants.append(self.instr_of(value, way, refs, self.step))

    def stacked_matrix(self, value: Value, way: int) -> Buffer:
        """Matrices under one another, copied into a buffer; what is known already, once."""
        known = [
            source(part).function is not None and not source(part).operands
            for part in value.args[0]
        ]
        storage = Storage.KEPT if any(known) else Storage.SCRATCH
        made = self.buffer("W_joined", value.shape, value.dtype, storage)
        start = 0
        for part, once in zip(value.args[0], known, strict=True):
            stop = start + part.shape[0]
            out = Ref(made, views=(first_axis(start, stop, value.shape[0]),))
            base, view = part, view_of(part)
            if once:
                if part.function is filled:
                    self.setup.append(Instr(copy, (part.args[1],), out))
                else:
                    self.setup.append(self.instr_of(part, way, out, self.step))
            elif view is not None:
                place = self.constant(part.args[0], way)
                # A vector is broadcast to a row.
                seen = place if view.kind == "reshape" and part.shape[0] == 1 else place.seen(view)
                self.ways[way].constants.append(Instr(copy, (seen.step(),), out))
            else:
                seen = self.constant(base, way)
                self.ways[way].constants.append(Instr(copy, (seen.step(),), out))
            start = stop
        return made

    def constant_hint(self, value: Value) -> str:
        if is_view(value) and source(value).name:
            return f"{source(value).name}_T"
        return "ones" if is_ones(value) else "w"

    def spread_out(self, leaf: Value, shape: tuple[int, ...], way: int) -> Ref:
        """An array of a larger shape with what is the same in all steps: a row is slow to be
        broadcast, 1.2 µs instead of 0.5 for 32×128 numbers."""
        key = way, leaf, shape
        if key not in self.spread:
            given = self.constant(leaf, way).step()
            made = self.buffer(f"{leaf.name or 'w'}_spread", shape, leaf.dtype, Storage.SCRATCH)
            self.spread[key] = Ref(made)
            self.ways[way].constants.append(Instr(copy, (given,), Ref(made)))
        return self.spread[key]

    # Calls --------------------------------------------------------------------------------------

    def instr_of(self, value: Value, way: int, out: Any, read: Any) -> Instr:
        """The call of a value as it is."""
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

    def in_loop(self, value: Value, way: int) -> None:
        """The call of a value in the loop."""
        lines = self.ways[way].loop
        if value.function is assembled:
            self.assemble(value, way)
            return
        if value in self.s.rows:
            for part, place in self.row_parts:
                if place.buffer is self.places[value].buffer and not self.is_before(part):
                    lines.append(Instr(copy, (self.step(part, way),), place.step()))
            return
        if is_part(value):  # a stored result of a call that has several
            made = self.results[value.args[0]][value.args[1]]
            lines.append(Instr(copy, (made.step(),), self.places[value].step()))
            return
        if value.results is not None:
            given = value.function in OUT_LAST
            storage = Storage.SCRATCH if given else Storage.RESULT
            self.results[value] = self.new_results(value, None, storage)
            refs = tuple(place.step() for place in self.results[value])
            lines.append(self.instr_of(value, way, refs, self.step))
            return
        if value not in self.places:
            direct = takes_out(value.function, value.kwargs) or not value.shape
            storage = Storage.SCRATCH if direct else Storage.RESULT
            self.places[value] = self.for_value(value, None, storage)
        out = self.places[value].step()
        if is_elementwise(value.function) and not value.kwargs:
            args = tuple(self.operand(leaf, value, way) for leaf in value.args)
            assert value.function is not None
            lines.append(Instr(value.function, args, out))
            return
        instr = self.instr_of(value, way, out, self.step)
        if value.function is np.matmul and self.can_be_dot(value, out):
            instr = replace(instr, function=np.dot)
        lines.append(instr)

    def is_before(self, part: Value) -> bool:
        """Whether a part of a row is known before the loop."""
        base = source(part)
        phase = self.phases[0].get(base)
        known = base.function is None and Depends.STATE not in self.s.depends[base]
        return known or phase in (Phase.BEFORE, Phase.CONSTANT)

    def can_be_dot(self, value: Value, out: Ref) -> bool:
        """Whether the shorter way to call a product is open: two matrices of one dtype, and memory
        without gaps to write to."""
        pair = [v for v in value.args if isinstance(v, Value)]
        plain = len(pair) == 2 and all(v.dtype == value.dtype and v.ndim <= 2 for v in pair)
        return plain and value.ndim > 0 and not value.kwargs and is_contiguous(out)

    def operand(self, leaf: Any, value: Value, way: int) -> Any:
        """An operand of an elementwise call in the loop, in the form that is the fastest."""
        leaf = self.number_of(leaf, value)
        if not isinstance(leaf, Value):
            return self.argument(leaf, way, self.step)
        if not self.varies(leaf) and leaf.shape != value.shape:
            return self.spread_out(leaf, value.shape, way)
        return self.step(leaf, way)

    def assemble(self, whole: Value, way: int) -> None:
        """The parts were written in their places before; here only those that could not be."""
        place = self.places[whole]
        for index, part in zip(whole.args[2], whole.args[3], strict=True):
            index = index if isinstance(index, tuple) else (index,)
            if not np.empty(whole.shape, np.int8)[index].shape and Ellipsis not in index:
                index = (*index, Ellipsis)
            target = place.seen(View("index", index))
            if self.places.get(part) is None or self.places[part].step() != target.step():
                self.ways[way].loop.append(Instr(copy, (self.step(part, way),), target.step()))

    def at_once(self, value: Value, way: int, lines: list[Instr]) -> None:
        """The call of a value for all steps."""
        if value.function is assembled:
            place = self.for_value(value, 0, Storage.KEPT, 0 if not covers(value) else None)
            self.places[value] = place
            for index, part in zip(value.args[2], value.args[3], strict=True):
                index = index if isinstance(index, tuple) else (index,)
                target = place.whole(View("index", (slice(None), *index)))
                lines.append(Instr(copy, (self.whole(part, way),), target))
            return
        call = batched(value, self.varies)
        assert call is not None, value
        args = tuple(self.at_once_argument(leaf, value, way) for leaf in call.args)
        if value.results is not None:
            kept = Storage.KEPT if way == 0 else Storage.SCRATCH
            self.results[value] = self.new_results(value, 0, kept)
            refs = tuple(place.whole() for place in self.results[value])
            lines.append(Instr(call.function, args, refs, call.kwargs))
            return
        if value not in self.places:
            self.places[value] = self.for_value(value, 0, self.storage_at_once(value, way, call))
        out = self.places[value].whole(*call.out_views)
        lines.append(Instr(call.function, args, out, call.kwargs or {}))

    def storage_at_once(self, value: Value, way: int, call: AtOnce) -> Storage:
        direct = takes_out(call.function, () if is_elementwise(call.function) else call.kwargs)
        if value in self.returned:
            return Storage.RETURNED if direct else Storage.RESULT
        if way == 0 and value in self.read_back:
            return Storage.KEPT
        return Storage.SCRATCH if direct else Storage.RESULT

    def at_once_argument(self, leaf: Any, value: Value, way: int) -> Any:
        def read(leaf: Any) -> Any:
            if not isinstance(leaf, Operand):
                return self.argument(self.number_of(leaf, value), way, self.whole)
            number = self.number_of(leaf.value, value)
            if not isinstance(number, Value):
                return number
            if leaf.spread is not None:
                return self.spread_out(leaf.value, leaf.spread, way)
            return self.whole(leaf.value, way, *leaf.views)

        return mapped(leaf, read)

    # The two functions --------------------------------------------------------------------------

    def forward(self) -> tuple[Ref | None, ...]:
        lines, way = self.ways[0], self.s.forward
        for value in way.before:
            self.at_once(value, 0, lines.before)
        for part, place in self.row_parts:
            if self.is_before(part):
                lines.before.append(Instr(copy, (self.whole(part, 0),), place.whole()))
        for after, initial in zip(self.after, self.initial, strict=True):
            first = after.at(When.FIRST, 0)
            lines.before.append(Instr(copy, (Ref(initial),), first))
        for value in way.loop:
            self.in_loop(value, 0)
        for out, result, whole in self.copied:
            if not whole:
                lines.loop.append(Instr(copy, (self.step(result, 0),), out))
        for value in way.after:
            self.at_once(value, 0, lines.after)
        for out, result, whole in self.copied:
            if whole:
                lines.after.append(Instr(copy, (self.whole(result, 0),), out))
        return tuple(after.whole() for after in self.after)

    def backward(self) -> tuple[tuple[Ref | None, ...], tuple[Instr, ...], tuple[Instr, ...]]:
        graph, lines, way = self.graph, self.ways[1], self.s.backward
        for state, adjoint, seed, end in zip(
            graph.states, graph.adjoints, self.seeds, self.ends, strict=True
        ):
            if adjoint is not None and state in self.s.unread and not graph.windows:
                self.given_whole(adjoint, seed, end)
        for value in way.before:
            self.at_once(value, 1, lines.before)
        self.given: dict[int, Ref] = {}
        for n in graph.fused_adjoints:
            self.begin_fused(n)
        heads = [v for v in way.loop if v.function is None]
        for adjoint in heads:
            self.head(adjoint)
        for n, link in enumerate(self.links):
            if link is not None and not graph.windows:
                lines.before.append(Instr(copy, (Ref(self.ends[n]),), Ref(link)))
        for place in self.sums.values():
            lines.before.append(Instr(copy, (0,), place.whole()))
        for value in way.loop:
            if value.function is not None:
                self.in_loop(value, 1)
        for value, place in self.sums.items():
            here = place.step()
            lines.loop.append(Instr(np.add, (here, self.step(value, 1)), here))
        for gradient, link in zip(graph.state_gradients, self.links, strict=True):
            if gradient is not None and link is not None:
                lines.loop.append(Instr(copy, (self.step(gradient, 1),), Ref(link)))
        for value in way.after:
            self.at_once(value, 1, lines.after)
        inputs = [self.of_input(gradient) for gradient in graph.input_gradients]
        parameters = self.of_parameters()
        states, entry, block_entry = self.of_states()
        return (*states, *inputs, *parameters), tuple(entry), tuple(block_entry)

    def given_whole(self, adjoint: Value, seed: Buffer, end: Buffer) -> None:
        """The gradient of an output, with what comes from behind the last step."""
        if adjoint not in self.s.depends or adjoint not in self.s.order:
            return
        made = self.buffer(f"{seed.name}_all", adjoint.shape, adjoint.dtype, Storage.RESULT, 0)
        self.places[adjoint] = Place(made)
        whole = Place(seed).whole()
        self.ways[1].before.append(Instr(with_end, (whole, Ref(end)), self.places[adjoint].whole()))

    def given_gradient(self, n: int) -> Ref:
        """∂L/∂h_t of all steps, without what comes along the link: the caller's; or where a step
        has outputs, what they add and the caller's, if there is one."""
        if n not in self.graph.output_grads:
            return Place(self.seeds[n]).whole()
        if n not in self.given:
            value, seed, lines = self.graph.output_grads[n], self.seeds[n], self.ways[1].before
            place = self.place(value, 1, whole=True)
            kept = (Storage.SCRATCH, Storage.KEPT)
            if is_view(value) or place.buffer.storage not in kept or place.views:
                made = self.buffer(
                    f"{seed.name}_here", value.shape, value.dtype, Storage.SCRATCH, 0
                )
                lines.append(Instr(copy, (self.whole(value, 1),), Place(made).whole()))
                place = Place(made)
            here = place.whole()
            if not self.graph.loss_alone:
                given = Place(seed).whole()
                lines.append(Instr(np.add, (here, given), here, guard=given))
            self.given[n] = here
        return self.given[n]

    def begin_fused(self, n: int) -> None:
        """What stands in the rows [δ_{t+1}, g_t] before the loop."""
        fused, made, lines = self.graph.fused_adjoints[n], self.fused[n], self.ways[1].before
        if self.graph.output_grads.get(n) is fused.appended:
            given = self.whole(fused.appended, 1)
        else:
            given = self.given_gradient(n)
        lines.append(Instr(copy, (given,), self.beside[n].whole()))
        left = columns(0, fused.row.shape[-1], made.shape[-1])
        last = Ref(made, When.LAST, 1, (left,))
        end = Ref(self.ends[n])
        lines.append(Instr(copy, (end if fused.is_complete else 0,), last))
        if self.links[n] is None and not fused.is_complete:
            here = self.beside[n].at(When.LAST, 1)
            lines.append(Instr(np.add, (here, end), here, guard=end))

    def head(self, adjoint: Value) -> None:
        """∂L/∂h_t as it enters a step: from the loss at t, and along the link from the step after
        it."""
        graph, n = self.graph, self.graph.adjoints.index(adjoint)
        lines = self.ways[1]
        link = self.links[n]
        fused, windows = n in graph.fused_adjoints, graph.windows
        loss: Ref | None = None
        if not fused and not (link is not None and self.nothing_is_given(n)):
            loss = self.loss_of_step(n, adjoint)
        if windows and loss is not None:
            loss = replace(loss, seeded=True)
        stored = adjoint in self.places
        if not fused and link is None and not stored and not windows:
            assert loss is not None
            self.places[adjoint] = Place(loss.buffer, loss.offset, name=adjoint.name)
            return
        if not stored:
            self.places[adjoint] = self.for_value(adjoint, None, Storage.SCRATCH)
        out = self.places[adjoint].step()
        if fused:
            matrix = self.constant(graph.fused_adjoints[n].matrix, 1).step()
            row = Ref(self.fused[n], When.STEP, 1)
            product = np.dot if is_contiguous(out) else np.matmul
            lines.loop.append(Instr(product, (row, matrix), out))
            if link is not None:
                lines.loop.append(Instr(np.add, (out, Ref(link)), out))
        elif link is not None and loss is not None:
            lines.loop.append(Instr(np.add, (Ref(link), loss), out))
        else:
            given = loss if loss is not None else Ref(link) if link is not None else 0
            lines.loop.append(Instr(copy, (given,), out))

    def loss_of_step(self, n: int, adjoint: Value) -> Ref:
        """What the loss at a step adds to the gradient of the state."""
        lines, link, seed, end = self.ways[1], self.links[n], self.seeds[n], Ref(self.ends[n])
        windows = self.graph.windows
        if n in self.graph.output_grads:
            given = self.given_gradient(n)
            if link is None:
                last = replace(given, when=When.LAST)
                lines.before.append(Instr(np.add, (last, end), last, guard=end))
            return replace(given, when=When.STEP)
        if adjoint in self.places and self.places[adjoint].buffer.storage is Storage.RESULT:
            return self.places[adjoint].step()
        if (link is None and not windows) or (adjoint.ndim and adjoint.size <= FEW):
            made = self.buffer(
                f"{seed.name}_here", adjoint.shape, adjoint.dtype, Storage.SCRATCH, 0
            )
            here = Place(made, name=seed.name)
            lines.before.append(Instr(copy, (Place(seed).whole(),), here.whole()))
            if link is None and not windows:
                last = here.at(When.LAST, 0)
                lines.before.append(Instr(np.add, (last, end), last, guard=end))
            return here.step()
        return Place(seed).step()

    def nothing_is_given(self, n: int) -> bool:
        """Whether a state gets its gradient from the steps after it alone."""
        outputs = (i for i, state in enumerate(self.graph.states) if state in self.s.unread)
        given = n in (*self.graph.output_grads, *outputs) or n == len(self.graph.states) - 1
        return self.graph.loss_alone and not given and not self.graph.windows

    # What is returned ---------------------------------------------------------------------------

    def result(self, hint: str, value: Value) -> Ref:
        made = self.buffer(hint, value.shape, value.dtype, Storage.RESULT)
        return Ref(made, name=hint)

    def of_states(self) -> tuple[list[Ref | None], list[Instr], list[Instr]]:
        """The gradients of the states that enter the first step."""
        graph = self.graph
        entry: list[Instr] = []
        block_entry: list[Instr] = []
        found: list[Ref | None] = []
        for n, state in enumerate(graph.states):
            link, fused = self.links[n], graph.fused_adjoints.get(n)
            if link is None and fused is None:
                found.append(None)
                continue
            out = self.result(f"d{self.state_names[n]}_0", state)
            found.append(out)
            if fused is None:
                assert link is not None
                function = over_lanes if graph.windows else np.copy
                lines = [Instr(function, (Ref(link),), out)]
                entry, block_entry = entry + lines, block_entry + lines
                continue
            width = fused.row.shape[-1]
            left = columns(0, width, self.fused[n].shape[-1])
            first = Ref(self.fused[n], When.FIRST, 0, (left,))
            matrix = self.constant(fused.matrix, 1).step()
            above = replace(matrix, views=(first_axis(0, width, fused.matrix.shape[0]),))
            lines = [Instr(np.matmul, (first, above), out)]
            if link is not None:
                lines.append(Instr(np.add, (out, Ref(link)), out))
            entry = entry + lines
            block_entry = block_entry + (
                [Instr(np.copy, (first,), out)] if fused.is_complete else lines
            )
        return found, entry, block_entry

    def of_input(self, gradient: Value | None) -> Ref | None:
        if gradient is None:
            return None
        lines = self.ways[1].after
        if not self.varies(gradient):
            given = self.constant(gradient, 1).step()
            made = self.buffer("dx", gradient.shape, gradient.dtype, Storage.RETURNED, 0)
            lines.append(Instr(copy, (given,), Place(made).whole()))
            return Place(made).whole()
        place = self.place(gradient, 1, whole=True)
        if place.buffer.storage is Storage.RETURNED and not place.views:
            return place.whole()
        made = self.buffer("dx", gradient.shape, gradient.dtype, Storage.RESULT, 0)
        lines.append(Instr(np.copy, (place.whole(),), Place(made).whole()))
        return Place(made).whole()

    def of_parameters(self) -> list[Ref | None]:
        found: list[Ref | None] = []
        known: dict[Value, Ref] = {}
        pairs = zip(self.parameters, self.graph.parameter_gradients, self.s.sums, strict=True)
        for parameter, gradient, how in pairs:
            if gradient is None or how is None:
                found.append(None)
                continue
            out = self.result(f"d{parameter.name}", gradient)
            if gradient in known:  # as that of a second bias; each has an array of its own
                self.ways[1].after.append(Instr(np.copy, (known[gradient],), out))
            else:
                self.sum(how, out)
                known[gradient] = out
            found.append(out)
        return found

    def sum(self, how: TimeSum, out: Ref | None = None) -> Ref:
        """The instructions for Σ_t of a value."""
        value, lines = how.value, self.ways[1].after
        out = out or self.result(value.name or "dw", value)

        def instr(function: Any, *args: Any, comment: str = "", **kwargs: Any) -> None:
            lines.append(Instr(function, args, out, kwargs or {}, comment=comment))

        kind = how.kind
        if kind == "times":
            instr(np.multiply, T, self.constant(value, 1).step())
        elif kind == "plus":
            left, right = (self.sum(term) for term in how.terms)
            instr(np.add, left, right)
        elif kind == "negated":
            instr(np.negative, self.sum(how.terms[0]))
        elif kind == "view":
            view = view_of(value)
            assert view is not None
            base = self.sum(how.terms[0])
            instr(np.copy, replace(base, views=(*base.views, view)))
        elif kind == "scatter":
            zeros, index, part = value.args
            instr(np.zeros, zeros.shape, zeros.dtype)
            what = self.whole(part, 1)
            if not self.varies(index):
                what = self.over_time(part)
            instr(add_at, self.whole(index, 1), what)
        elif kind == "assembled":
            shape, dtype, indices, _ = value.args
            instr(np.zeros, shape, dtype)
            for index, term in zip(indices, how.terms, strict=True):
                index = index if isinstance(index, tuple) else (index,)
                target = replace(out, views=(View("index", index),))
                lines.append(Instr(copy, (self.sum(term),), target))
        elif kind == "joint":
            instr(np.copy, self.from_row(how))
        elif kind == "product":
            first, second = how.values
            comment = f"Σ_t {self.symbol(first)}ᵀ {self.symbol(second)}"
            instr(np.matmul, transposed(self.rows(first)), self.rows(second), comment=comment)
        elif kind == "ones":
            (second,) = how.values
            comment = f"Σ_t {self.symbol(second)}"
            instr(np.dot, self.ones(second), self.rows(second), comment=comment)
        elif kind == "outer":
            first, second = how.values
            instr(np.matmul, transposed(self.whole(first, 1)), self.whole(second, 1))
        elif kind == "axis":
            instr(np.sum, self.whole(value, 1), axis=0)
        else:
            self.ways[1].before.append(Instr(np.zeros, (value.shape, value.dtype), out))
            self.ways[1].loop.append(Instr(np.add, (out, self.step(value, 1)), out))
        return out

    def over_time(self, part: Value) -> Ref:
        out = self.result(self.hint(part), part)
        self.ways[1].after.append(Instr(np.sum, (self.whole(part, 1),), out, {"axis": 0}))
        return out

    def rows(self, value: Value) -> Ref:
        return self.whole(value, 1, View("reshape", (-1, value.shape[-1])))

    def ones(self, value: Value) -> Ref:
        """A vector of ones to add up the rows of all steps."""
        key = value.shape[0], value.dtype
        if key not in self.vectors_of_ones:
            made = self.buffer("ones", (value.shape[0],), value.dtype, Storage.KEPT, 0, 1)
            self.vectors_of_ones[key] = Place(made).whole(View("reshape", (-1,)))
        return self.vectors_of_ones[key]

    def from_row(self, how: TimeSum) -> Ref:
        """Σ_t aᵀ b as a part of the product of whole rows."""
        row, right = how.values
        parts = row_of_parts(row) or []
        if (row, right) not in self.joint:
            shape = (row.shape[-1], right.shape[-1])
            made = self.buffer("dW_joined", shape, right.dtype, Storage.RESULT)
            self.joint[row, right] = Place(made)
            names = ", ".join(map(self.symbol, parts))
            comment = f"Σ_t [{names}]ᵀ {self.symbol(right)}"
            args = transposed(self.rows(row)), self.rows(right)
            self.ways[1].after.append(Instr(np.matmul, args, Ref(made), comment=comment))
        left = how.value.args[0]
        start = 0
        for part in parts:
            stop = start + part.shape[-1]
            if part is left or part in left.operands or (is_ones(part) and is_ones(left)):
                view = first_axis(start, stop, row.shape[-1])
                if left.ndim == 1:
                    view = View("index", (start,))
                return self.joint[row, right].seen(view).step()
            start = stop
        raise AssertionError(how)

    def symbol(self, value: Value) -> str:
        """What a value is called in the notation of the textbook."""
        if value.function is filled:
            return str(value.args[1])
        if value in self.graph.states:
            return f"{self.state_names[self.graph.states.index(value)]}_{{t−1}}"
        if value in self.graph.results:
            return f"{self.state_names[self.graph.results.index(value)]}_t"
        place = None if is_view(value) else self.places.get(value)
        return f"{value.name or (place.buffer.name if place is not None else self.hint(value))}_t"


# Small things -----------------------------------------------------------------------------------


def phases_of(way: Way) -> dict[Value, Phase]:
    return {value: phase for phase in Phase for value in way.of(phase)}


def all_values(found: TimeSum | None) -> list[Value]:
    """All values that a sum reads."""
    if found is None:
        return []
    return [*found.values, *(v for term in found.terms for v in all_values(term))]


def buffers_of(instr: Instr) -> set[Buffer]:
    refs = [*instr.reads(), *instr.writes()]
    return {ref.buffer for ref in refs}


def columns(start: int, stop: int, width: int) -> View:
    return View("index", (Ellipsis, slice(start or None, stop if stop < width else None)))


def first_axis(start: int, stop: int, length: int) -> View:
    return View("index", (slice(start or None, stop if stop < length else None),))


def transposed(ref: Ref) -> Ref:
    return replace(ref, views=(*ref.views, View("transpose", (1, 0))))


def is_contiguous(ref: Ref) -> bool:
    """Whether what is meant has no gaps. An axis of length one makes none."""
    if ref.buffer.storage is Storage.GIVEN:
        return False
    shape, strides, _ = ref.strided()
    expected = 1
    for length, stride in zip(reversed(shape), reversed(strides), strict=True):
        if length != 1 and stride != expected:
            return False
        expected *= length
    return True


def is_stacked_matrix(value: Value) -> bool:
    return (
        value.function is np.concatenate
        and value.args[1:] == (0,)
        and not value.kwargs
        and isinstance(value.args[0], tuple | list)
        and all(isinstance(part, Value) and part.ndim == 2 for part in value.args[0])
    )


def label(part: Value) -> str:
    """What a part of a row is called."""
    return str(part.args[1]) if part.function is filled else part.name or "a"
