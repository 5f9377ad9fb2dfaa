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
from tinygrad_rnn.tensor import Tensor
from tinygrad_rnn.truncation import Full, Links, Truncation, Windows
from tinygrad_rnn.unroll import checked, initial_state, restarts_of


class Sequence:
    """The arguments of a scan. `key` is what of them the program depends on."""

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
    input_names: list[str]
    state_names: list[str]
    extras: tuple[str, ...]
    key: tuple[Any, ...]

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
    sequence.cell = cell
    sequence.truncation = sequence.repeatable = checked(truncation)
    if isinstance(xs, list | tuple):
        xs = np.stack(xs) if len(xs) else np.zeros((0,))
    elif type(xs) is not Tensor and not isinstance(xs, np.ndarray):
        xs = np.asarray(xs)
    if xs.ndim == 0:
        raise TypeError(
            f"xs is the sequence of inputs, of shape (T, batch, input), but a single "
            f"{type(xs).__name__} was given"
        )
    width = getattr(cell, "input_size", None)
    if width is not None and (xs.ndim != 3 or xs.shape[2] != width):
        raise ValueError(
            f"xs is to have the shape (T, batch, {width}), but it has the shape {xs.shape}"
            + (" (a batch of one sequence is xs[:, None, :])" if xs.ndim == 2 else "")
        )
    sequence.xs = xs
    T = sequence.steps = len(xs)
    first = [Tensor(xs.data[0] if type(xs) is Tensor else xs[0])] if T else []
    sequence.state = initial_state(cell, state, first)
    sequence.flat = type(sequence.state) is Tensor
    sequence.state_parts = [sequence.state] if sequence.flat else list(parts(sequence.state))
    sequence.input_parts = [xs if type(xs) is Tensor else Tensor(xs, name="x")]
    sequence.input_names = ["x"]
    sequence.state_names = [
        before.removesuffix("_") + "".join(after)  # h^(1) is all of h_1^(1), h_2^(1), ...
        for before, *after in names_of(cell, sequence.state)
    ]
    sequence.reset = reset
    _extras(sequence, reset)
    sequence.key = (
        sequence.extras,
        tuple(
            [
                (x.shape[1:], x.dtype, getattr(x, "requires_grad", False))
                for x in sequence.input_parts
            ]
        ),
        tuple([(h.data.shape, h.data.dtype, h.requires_grad) for h in sequence.state_parts]),
        None if sequence.flat else repr(map_state(lambda _: 0, sequence.state)),
        isinstance(sequence.truncation, Windows),
    )
    return sequence


def _extras(sequence: Sequence, reset: Any) -> None:
    """What else happens to the state between two steps, as further inputs of the cell."""
    T, cell = sequence.steps, sequence.cell
    extras: list[str] = []
    if isinstance(sequence.truncation, Links) and not isinstance(sequence.truncation, Full):
        xi = np.asarray(sequence.truncation.links(T))
        if not (xi == 1).all():
            extras.append("link")
            sequence.repeatable = Randomized.from_links(xi[1:])
            floats = [h.dtype for h in sequence.state_parts if h.dtype.kind == "f"]
            sequence.input_parts.append(xi.astype(floats[0] if floats else np.float64))
            sequence.input_names.append("xi")
    if reset is not None:
        first = [sequence.xs[t] for t in range(T)]
        rows = restarts_of(reset, first)
        if rows.any():
            extras.append("reset")
            sequence.input_parts.append(rows)
            sequence.input_names.append("restart")
    sequence.extras = tuple(extras)
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
