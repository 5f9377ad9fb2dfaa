"""What a scan is run on: inputs, initial state and truncation, looked at and made ready."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from tinygrad_rnn.differentiate import leaves as parts
from tinygrad_rnn.functions import scale_gradient
from tinygrad_rnn.names import names_of
from tinygrad_rnn.randomized import Randomized
from tinygrad_rnn.state import map_state, zero_rows
from tinygrad_rnn.tensor import Tensor, given
from tinygrad_rnn.truncation import Full, Links, Truncation, Windows
from tinygrad_rnn.unroll import checked, initial_state, restarts_of


class Sequence:
    """The arguments of a scan. `key` is what of them the program depends on.

    extras: what happens to the state between two steps, "link" or "reset", given to the cell of
    the program, step_cell, as further inputs.
    """

    __slots__ = (
        *("cell", "extras", "flat", "input_names", "input_parts", "key", "repeatable", "reset"),
        *("state", "state_parts", "step_cell", "steps", "truncation", "xs"),
    )

    cell: Callable[..., Any]
    step_cell: Callable[..., Any]
    xs: Any
    state: Any
    truncation: Truncation
    repeatable: Truncation
    reset: Any
    steps: int
    flat: bool
    input_parts: list[Any]
    state_parts: list[Any]
    input_names: tuple[str, ...]
    extras: tuple[str, ...]
    key: tuple[Any, ...]

    @property
    def state_names(self) -> list[str]:
        return [
            before.removesuffix("_") + "".join(after)  # h^(1) is all of h_1^(1), h_2^(1), ...
            for before, *after in names_of(self.cell, self.state)
        ]

    def sample_input(self) -> Any:
        """One step's input, as the cell of the program takes it."""
        samples = [_first(x.data if type(x) is Tensor else x) for x in self.input_parts]
        return (samples[0], *samples[1:]) if self.extras else samples[0]

    def sample_state(self) -> Any:
        return map_state(lambda h: h.data, self.state)

    def title(self) -> str:
        name = getattr(self.cell, "__name__", type(self.cell).__name__)
        return f"{name}: the steps of a sequence forward, and its gradients back through time."


def _first(array: Any) -> Any:
    if len(array):
        return array[0]
    return np.ones(array.shape[1:], array.dtype)


def prepared(cell: Any, xs: Any, state: Any, truncation: Truncation | None, reset: Any) -> Sequence:
    """Look at the arguments as `unroll` does, and bring them into one form."""
    sequence = Sequence()
    sequence.cell = sequence.step_cell = cell
    sequence.truncation = sequence.repeatable = FULL if truncation is None else checked(truncation)
    sequence.reset = reset
    kind = type(xs)
    if kind is not np.ndarray and kind is not Tensor:
        if isinstance(xs, list | tuple):
            xs = np.stack(xs) if len(xs) else np.zeros((0,))
        else:
            xs = np.asarray(xs)
        kind = type(xs)
    shape = xs.shape
    if not shape:
        raise TypeError(
            f"xs is the sequence of inputs, of shape (T, batch, input), but a single "
            f"{type(xs).__name__} was given"
        )
    width = getattr(cell, "input_size", None)
    if width is not None and (len(shape) != 3 or shape[2] != width):
        raise ValueError(
            f"xs is to have the shape (T, batch, {width}), but it has the shape {shape}"
            + (" (a batch of one sequence is xs[:, None, :])" if len(shape) == 2 else "")
        )
    sequence.steps = shape[0]
    sequence.xs = xs
    x = xs if kind is Tensor else given(xs, "x")
    sequence.input_parts, sequence.input_names, sequence.extras = [x], ("x",), ()
    sequence.state = state = _initial_state(cell, state, x)
    if type(state) is Tensor:
        sequence.flat = True
        sequence.state_parts = [state]
        h = state.data
        state_key: tuple[Any, ...] = (h.shape, h.dtype, state._requires_grad)
    else:
        sequence.flat = False
        sequence.state_parts = list(parts(state))
        state_key = (
            *[(h.shape, h.dtype, h.requires_grad) for h in sequence.state_parts],
            repr(map_state(lambda _: 0, state)),
        )
    windows = False
    if truncation is not None or reset is not None:
        windows = isinstance(truncation, Windows)
        _extras(sequence, reset)
    further = [(part.shape[1:], part.dtype) for part in sequence.input_parts[1:]]
    own = sequence.extras, *further, windows
    sequence.key = (shape[1:], xs.dtype, x._requires_grad, state_key, own)
    return sequence


FULL = Full()


def _initial_state(cell: Any, state: Any, x: Tensor) -> Any:
    """As `unroll` has it. Usual is one that the cell makes and names, and nothing is left to do."""
    data = x.data
    if state is None and data.ndim > 1 and len(data) and hasattr(cell, "initial_state"):
        state = cell.initial_state(data.shape[1])
    if type(state) is Tensor and state.name is not None:
        return state
    return initial_state(cell, state, [Tensor(data[0])] if len(data) else [])


def _extras(sequence: Sequence, reset: Any) -> None:
    """What else happens to the state between two steps, as further inputs of the cell."""
    T, cell = sequence.steps, sequence.cell
    extras: list[str] = []
    names = ["x"]
    if isinstance(sequence.truncation, Links) and not isinstance(sequence.truncation, Full):
        xi = np.asarray(sequence.truncation.links(T))
        if not (xi == 1).all():
            extras.append("link")
            sequence.repeatable = Randomized.from_links(xi[1:])
            floats = [h.dtype for h in sequence.state_parts if h.dtype.kind == "f"]
            sequence.input_parts.append(xi.astype(floats[0] if floats else np.float64))
            names.append("xi")
    if reset is not None:
        first = [sequence.xs[t] for t in range(T)]
        rows = restarts_of(reset, first)
        if rows.any():
            extras.append("reset")
            sequence.input_parts.append(rows)
            names.append("restart")
    sequence.extras, sequence.input_names = tuple(extras), tuple(names)
    if not extras:
        sequence.step_cell = cell
        return

    def step_cell(given: Any, state: Any) -> Any:
        x, *rest = given
        following = iter(rest)
        if "link" in extras:
            xi = next(following)
            state = map_state(lambda h: scale_gradient(h, _rows_of(xi, h)), state)
        if "reset" in extras:
            restart = next(following)
            state = map_state(lambda h: zero_rows(h, _rows_of(restart, h)), state)
        return cell(x, state)

    sequence.step_cell = step_cell


def _rows_of(values: Any, h: Any) -> Any:
    """One value per sequence, as a column beside the state."""
    if values.ndim == 0:
        return values
    return values.reshape(len(values), *[1] * (h.ndim - 1))
