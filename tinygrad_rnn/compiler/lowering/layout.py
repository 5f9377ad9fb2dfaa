"""Layout: places for arguments, states, rows and saved values, before any instruction is emitted.

d: the draft of the program.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import numpy as np

from tinygrad_rnn.compiler.ir import Buffer, Depends, Instr, Layout, Phase, Storage, Value, View
from tinygrad_rnn.compiler.lowering.draft import Draft
from tinygrad_rnn.compiler.lowering.places import Place
from tinygrad_rnn.compiler.operations import assembled, copy, filled
from tinygrad_rnn.compiler.passes.assemble import covers
from tinygrad_rnn.compiler.passes.fuse_products import is_row, row_of_parts
from tinygrad_rnn.compiler.views import columns, is_part, is_view, source


def name_arguments(d: Draft) -> None:
    """Make the buffers of the caller's arguments."""
    graph = d.graph
    given = Storage.GIVEN

    def named(values: Iterable[Value], default: str, time: int | None) -> tuple[Buffer, ...]:
        return tuple(d.buffer(v.name or default, v.shape, v.dtype, given, time) for v in values)

    d.parameters = named(graph.parameters, "w", None)
    d.inputs = named(graph.inputs, "x", 0)
    d.state_names = [d.names.fresh(v.name or "h") for v in graph.states]
    d.initial = tuple(
        d.buffer(f"{name}_0", v.shape, v.dtype, given)
        for v, name in zip(graph.states, d.state_names, strict=True)
    )
    for value, buffer in zip(graph.inputs, d.inputs, strict=True):
        d.places[value] = Place(buffer)
    for value, buffer in zip(graph.parameters, d.parameters, strict=True):
        d.constants[None, value] = Place(buffer)


def name_seeds(d: Draft) -> None:
    """Make the buffers of the gradients that come from outside, and of the links that carry them
    on."""
    graph, names = d.graph, d.state_names
    pairs = list(zip(graph.states, names, strict=True))
    given, lane = Storage.GIVEN, Storage.LANE
    d.links = tuple(
        None
        if gradient is None
        else d.buffer(f"d{name}_link", v.shape, v.dtype, lane if graph.windows else Storage.SCRATCH)
        for (v, name), gradient in zip(pairs, graph.state_gradients, strict=True)
    )
    d.ends = tuple(d.buffer(f"d{name}_link_end", v.shape, v.dtype, given) for v, name in pairs)
    d.seeds = tuple(d.buffer(f"dL_d{name}", v.shape, v.dtype, given, 0) for v, name in pairs)


def place_states(d: Draft) -> None:
    """Lay out the rows of the forward loop, with the states in them. Results are then written
    directly into the array of the states of all steps."""
    graph = d.graph
    state_place: dict[Value, Place] = {}
    layouts: dict[Value, Layout] = {}
    pieces: list[tuple[Value, Place]] = []
    for row in d.s.rows:
        parts = row_of_parts(row) or []
        state = next((p for p in parts if can_be_in_row(d, p, state_place)), None)
        hint = "_".join(map(label, parts)) if len(parts) < 5 else "row"
        storage, time = (Storage.KEPT, 0) if state is None else (Storage.STATE, 1)
        whole = Place(d.buffer(hint, row.shape, row.dtype, storage, time), name=row.name)
        d.places[row] = whole
        start = 0
        for part in parts:
            stop = start + part.shape[-1]
            place = replace(whole, views=(columns(start, stop, row.shape[-1]),), name=part.name)
            if part is state and state not in state_place:
                state_place[part] = place
                layouts[part] = Layout(row.shape, row.dtype, start, stop)
            elif can_be_piece(d, part):
                d.places[part] = place
            elif part.function is filled:
                d.setup.append(Instr(copy, (part.args[1],), place.whole()))
            else:
                pieces.append((part, place))
            start = stop
    d.row_parts = pieces
    for state, name in zip(graph.states, d.state_names, strict=True):
        if state not in state_place:
            made = Buffer(name, state.shape, state.dtype, Storage.STATE, 1)
            d.buffers.append(made)
            state_place[state] = Place(made)
            layouts[state] = Layout(state.shape, state.dtype, None, None)
        state_place[state] = replace(state_place[state], name=name)
        d.places[state] = state_place[state]
    d.layouts = tuple(layouts[state] for state in graph.states)
    d.after = [replace(state_place[state], offset=1) for state in graph.states]
    made_by: set[Value] = set(graph.states)
    d.copied = []
    for after, result, state in zip(d.after, graph.results, graph.states, strict=True):
        phase = d.phases[0].get(result)
        at_once = state in d.s.unread and phase is not Phase.LOOP
        own = result not in made_by and result not in d.places and not is_part(result)
        alone = at_once and phase is Phase.AFTER and not after.views
        if own and (phase is Phase.LOOP or alone):
            d.places[result] = after
        elif at_once and (not is_view(result) or is_known_at_once(d, result)):
            d.copied.append((after.whole(), result, True))
        else:
            d.copied.append((after.step(), result, False))
            continue
        made_by.add(result)


def is_known_at_once(d: Draft, value: Value) -> bool:
    """Whether the source of a view has, or can have, an array of all steps."""
    base = source(value)
    return d.phases[0].get(base) is not Phase.LOOP or base in d.s.saved


def can_be_in_row(d: Draft, part: Value, placed: dict[Value, Place]) -> bool:
    free = part not in placed and (part not in d.reshaped or is_row(part))
    return part in d.graph.states and free


def can_be_piece(d: Draft, part: Value) -> bool:
    """Whether a value of the forward loop can be written directly into a row."""
    return (
        part not in d.places
        and (part not in d.reshaped or is_row(part))
        and d.phases[0].get(part) is Phase.LOOP
        and not is_part(part)
        and part not in d.s.rows
        and part not in d.graph.results
    )


def place_fused(d: Draft) -> None:
    """Place the rows of the backward loop: δ of the step after, and the contribution of the
    loss."""
    for n, fused in d.graph.fused_adjoints.items():
        row, appended = fused.row, fused.appended
        width = row.shape[-1]
        shape = (*row.shape[:-1], width + appended.shape[-1])
        hint = f"{d.hint(row)}_dL_d{d.state_names[n]}"
        fill = 0 if row.function is assembled and not covers(row) else None
        kept = Storage.SCRATCH if fill is None else Storage.KEPT
        made = d.buffer(hint, shape, row.dtype, kept, 1, fill)
        d.fused[n] = made
        name = d.hint(row)
        d.places[row] = Place(made, 0, (columns(0, width, shape[-1]),), name)
        d.appended[n] = Place(made, 1, (columns(width, shape[-1], shape[-1]),))


def place_loops(d: Draft) -> None:
    """Place what the loops compute: the parts of assemblies in the assemblies, so they need no
    copy, and saved values in arrays of all steps."""
    for way, phases in enumerate((d.s.forward, d.s.backward)):
        for whole in phases.loop:
            if whole.function is not assembled:
                continue
            if whole not in d.places:
                d.places[whole] = array_of(
                    d, whole, whole in d.s.saved and not is_lane_sum(d, whole)
                )
            place = d.places[whole]
            for index, part in zip(whole.args[2], whole.args[3], strict=True):
                lost = part in d.s.saved and place.buffer.time is None and not is_lane_sum(d, part)
                if fits(d, part, whole, index, way) and not lost:
                    d.places[part] = place.seen(View("index", index), part.name or d.hint(part))
    for value in d.s.order:
        if value in d.s.saved and is_lane_sum(d, value):
            d.lane_sums[value] = d.for_value(value, 0, Storage.SCRATCH)
        elif value in d.s.saved and value not in d.places:
            d.places[value] = array_of(d, value, True)


def array_of(d: Draft, value: Value, saved: bool) -> Place:
    """An array for a value of a loop. saved: for all steps."""
    fill = 0 if value.function is assembled and not covers(value) else None
    kept = fill is not None or (saved and d.way(value) == 0)
    storage = Storage.KEPT if kept else Storage.SCRATCH
    return d.for_value(value, 0 if saved else None, storage, fill)


def is_lane_sum(d: Draft, value: Value) -> bool:
    """Whether a saved value has a lane for each loss. The array of all steps has the sums."""
    return d.graph.windows and Depends.GRADIENT in d.s.depends[value]


def fits(d: Draft, part: Value, whole: Value, index: Any, way: int) -> bool:
    """Whether a part of an assembly can be written directly in its place there."""
    target = np.empty(whole.shape, whole.dtype)[index]
    return (
        d.phases[way].get(part) is Phase.LOOP
        and part not in d.places
        and part not in d.reshaped
        and part.function not in (None, assembled)
        and not is_part(part)
        and part not in d.graph.results
        and (target.shape, target.dtype) == (part.shape, part.dtype)
    )


def label(part: Value) -> str:
    """The name of a part of a row."""
    return str(part.args[1]) if part.function is filled else part.name or "a"
