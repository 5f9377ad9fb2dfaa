"""Rows that are joined from parts: one array for all steps, each part written in its place there.

So nothing has to be copied in the loop: a state is written where the row of the next step has it,
the inputs of all steps are in their places before the loop begins.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from tinygrad_rnn.compiler.emitter.batch import is_view
from tinygrad_rnn.compiler.emitter.places import Places
from tinygrad_rnn.compiler.emitter.write import literal
from tinygrad_rnn.compiler.frontend.tracer import Value, filled
from tinygrad_rnn.compiler.passes.assembly import assembled, covers
from tinygrad_rnn.compiler.passes.joining import is_row


class Place(NamedTuple):
    """Where a part stands in a row: its first and last column, and the view of all steps; and
    whether it is computed right there, or copied to it."""

    part: Value
    start: int
    stop: int
    view: str
    computed_here: bool


class Row(NamedTuple):
    """An array with the rows of all steps, the places in it, and what it is in the textbook's
    notation."""

    steps: str
    places: list[Place]
    notation: str


class Layout(NamedTuple):
    """The array in which the states of all steps stand: shape and dtype of its row for one step,
    and where the state begins and ends in it."""

    shape: tuple[int, ...]
    dtype: np.dtype
    start: int | None
    stop: int | None


class Rows(Places):
    """The rows of the two loops.

    rows: the joined values of the forward loop. carried_rows: for a part of the state whose
    gradient is carried to the step before as a row, the array with these rows, and carried_here the
    place in it for what the loss adds. ends: lines that put in what comes from behind the last
    step, where no link does. state_arrays: the arrays in which the states stand, and layouts: how.
    joint: products of all steps that are parts of the product of a row, and products_of_rows: the
    names of these.
    """

    rows: dict[Value, Row]
    carried_rows: dict[int, str]
    carried_here: dict[int, str]
    state_names: list[str]
    seeds: list[str]
    copies: list[str]
    joint: dict[tuple[Value | None, Value], tuple[Value, Place]]

    def lay_out_rows(self) -> None:
        """Choose for the joined values of the forward loop what is written in its place."""
        self.rows, self.carried_rows, self.carried_here = {}, {}, {}
        self.ends: list[str] = []
        self.products_of_rows: dict[tuple[Value, Value], str] = {}
        self.state_arrays: list[str] = []
        self.layouts: list[Layout] = []
        self.array_with: dict[Value, tuple[str, Layout]] = {}
        for value in self.order:
            given_out = value in self.trace.results
            in_loop = value in self.ahead and not self.outside(value) and not given_out
            if in_loop and is_row_of_parts(value):
                self._lay_out(value)

    def _lay_out(self, value: Value) -> None:
        pieces = value.args[0]
        states = (p for p in pieces if p in self.trace.states and self._is_free(p))
        state: Value | None = next(states, None)
        name = self.fresh("_".join(map(label, pieces)) if len(pieces) < 5 else "row")
        steps = name if state is None else self.fresh(f"{name}_before")
        self.names_of_steps[steps] = self.fresh(f"{name}_t")
        notation = f"[{', '.join(map(self._notation, pieces))}]"
        shape = self.stack_shape(value, "T" if state is None else "T + 1")
        made = f"np.empty({shape}, {literal(value.dtype)})"
        if state is None:
            self.factory.append(f"{name} = {made}  # rows {notation}")
        else:
            self.factory += [
                f"{name} = {made} if {name} is None else {name}  # rows {notation}",
                f"{steps} = {name}[:-1]",
            ]
        self.mine |= {name, steps}
        self.stack[value] = steps
        self.stored[value] = None
        places, start = [], 0
        for piece in pieces:
            stop = start + piece.shape[-1]
            columns = span(start, stop, value.shape[-1])
            view = f"{steps}[..., {columns}]"
            here = False
            if state is not None and piece is state and piece not in self.placed:
                self.placed[state], here = f"{name}[..., {columns}]", True
                self.array_with[state] = name, Layout(value.shape, value.dtype, start, stop)
            elif self._can_be_placed(piece):
                self.placed[piece], here = view, True
            places.append(Place(piece, start, stop, view, here))
            start = stop
        self.rows[value] = Row(steps, places, notation)

    def _is_free(self, piece: Value) -> bool:
        return piece not in self.placed and (piece not in self.reshaped or is_row(piece))

    def _can_be_placed(self, piece: Value) -> bool:
        return (
            self._is_free(piece)
            and piece.function is not None
            and piece in self.ahead
            and self.stacked(piece)
            and not self.outside(piece)
            and not is_view(piece)
            and piece not in self.rows
            and piece not in self.trace.results
        )

    def _notation(self, piece: Value) -> str:
        if piece.function is filled:
            return label(piece)
        return f"{label(piece)}_{'{t−1}' if piece in self.trace.states else 't'}"

    def array_of_state(self, state: Value, name: str) -> list[str]:
        """The lines that make the array with a state of all steps."""
        if state in self.array_with:
            array, layout = self.array_with[state]
            lines = [f"{name} = {self.placed[state]}"]
        else:
            array, layout = name, Layout(state.shape, state.dtype, None, None)
            shape = self.stack_shape(state, "T + 1")
            made = f"np.empty({shape}, {literal(state.dtype)})"
            lines = [f"{name} = {made} if {name} is None else {name}"]
        self.state_arrays.append(array)
        self.layouts.append(layout)
        return lines

    def step_bytes(self) -> int:
        carried = [v for pair in self.trace.carried.values() for v in (pair.row, pair.beside)]
        return super().step_bytes() + sum(np.asarray(v.sample).nbytes for v in carried)

    def lay_out_carried(self) -> None:
        """Rows of the backward loop: what is carried from the step after and what the loss adds."""
        for part, carried in self.trace.carried.items():
            row, beside, seed = carried.row, carried.beside, self.seeds[part]
            width = row.shape[-1]
            widths = (*row.shape[:-1], width + beside.shape[-1])
            name = self.fresh(f"{self.hint(row)}_{seed}")
            here, after = self.fresh(f"{seed}_here"), self.fresh(f"{name}_after")
            maker = "np.zeros" if row.function is assembled and not covers(row) else "empty"
            shape = ", ".join(["T + 1", *map(str, widths)])
            loss = self.hint(beside) if carried.alone else f"∂L/∂{self.state_names[part]}"
            notation = f"[{self.hint(row)}_{{t+1}}, {loss}_t]"
            self.factory += [
                f"{name} = {maker}(({shape}), {literal(row.dtype)})  # rows {notation}",
                f"{after}, {here} = {name}[1:], {name}[1:, ..., {width}:]",
            ]
            self.placed[row] = f"{name}[:-1, ..., :{width}]"
            self.mine.add(after)
            self.names_of_steps[after] = self.fresh(f"{name}_t")
            self.backward.owned[after] = self.names_of_steps[after]
            self.carried_rows[part] = after
            end = f"{self.links[part]}_end" if carried.alone else "0"
            self.copies.append(f"{name}[-1, ..., :{width}] = {end}")
            self.carried_here[part] = here
            if self.trace.state_gradients[part] is None and not carried.alone:
                self.end(here, self.links[part])

    def end(self, given: str, link: str) -> None:
        """Add to the gradients of the last step what comes from behind it, where no link does."""
        self.ends += [f"if type({link}_end) is not int:", f"    {given}[-1] += {link}_end"]


def is_row_of_parts(value: Value) -> bool:
    """Whether a value is joined from others along its last axis."""
    if value.function is not np.concatenate or len(value.args) > 2:
        return False
    axis = value.args[1] if len(value.args) > 1 else value.kwargs.get("axis", 0)
    return (
        not value.kwargs.keys() - {"axis"}
        and axis in (-1, value.ndim - 1)
        and all(isinstance(p, Value) and p.dtype == value.dtype for p in value.args[0])
    )


def label(piece: Value) -> str:
    """What a part of a row is called."""
    return str(piece.args[1]) if piece.function is filled else piece.name or "a"


def span(start: int, stop: int, width: int) -> str:
    """Columns as a slice."""
    return f"{start or ''}:{stop if stop < width else ''}"
