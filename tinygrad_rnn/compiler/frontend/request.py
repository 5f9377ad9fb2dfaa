"""The request of a scan: inputs, initial state and truncation, checked and prepared."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from tinygrad_rnn.compiler.frontend.between_steps import between_steps, check_reach
from tinygrad_rnn.compiler.frontend.captures import CellKey
from tinygrad_rnn.compiler.frontend.inputs import (
    flatten,
    names_of_inputs,
    refuse_elsewhere,
    stacked,
    steps_in,
)
from tinygrad_rnn.compiler.frontend.trace import Step, needs_gradient
from tinygrad_rnn.engine.tensor import Tensor
from tinygrad_rnn.engine.trees import flatten as parts, unflatten
from tinygrad_rnn.recurrent.arguments import (
    check_cell,
    check_parts,
    checked,
    initial_state,
    length,
)
from tinygrad_rnn.recurrent.names import identifier, names_of, without_step
from tinygrad_rnn.recurrent.state import (
    form_of,
    map_state,
)
from tinygrad_rnn.recurrent.truncation import Full, Truncation, Windows


@dataclass(slots=True, init=False, eq=False, repr=False)
class Sequence:
    """The arguments of a scan. `key` has the properties of them on which the program depends.

    input_parts, state_parts: the arrays and Tensors in the inputs and in the state. Where the state
        has None, for an output, state_parts has None until the program is found. The program knows
        what the cell returns there.
    extras: the operations on the state between two steps, as further inputs of the program's cell
        `step_cell`, with their names.
    """

    cell: Callable[..., Any]
    step_cell: Callable[..., Any]
    xs: Any
    state: Any
    truncation: Truncation
    repeatable: Truncation
    reset: Any
    steps: int
    flat: bool
    loss_alone: bool
    input_parts: list[Any]
    state_parts: list[Any]
    extras: tuple[str, ...]
    key: tuple[Any, ...]

    @property
    def form(self) -> Any:
        """The nesting of the state. A None in it is a leaf, too."""
        return form_of(self.state)

    @property
    def state_names(self) -> list[str]:
        return [without_step(name) for name in names_of(self.cell, self.form)]

    @property
    def input_names(self) -> tuple[str, ...]:
        return (*names_of_inputs(self.xs), *self.extras)

    def sample_input(self) -> Any:
        """One step's input, in the form that the program's cell takes."""
        following = iter([_first(x._data if type(x) is Tensor else x) for x in self.input_parts])
        x = unflatten(self.xs, following)
        return (x, *following) if self.extras else x

    def for_trace(self, captured: CellKey) -> Step:
        """One step of the program's cell, for tracing."""
        check_parts(self.cell, self.state)
        state = map_state(lambda h: h._data, self.state)
        needs = list(map(needs_gradient, self.input_parts))
        names = self.input_names, [identifier(name) for name in self.state_names]
        return Step(self.step_cell, self.sample_input(), state, captured, needs, *names)

    def steps_of(self, inputs: Iterator[Any]) -> Any:
        """These arrays of all steps, in the form that `unroll` takes."""
        nested = unflatten(self.xs, inputs)
        if not isinstance(nested, tuple | list):
            return self._with_steps(nested)
        return [unflatten(nested, (part[t] for part in parts(nested))) for t in range(self.steps)]

    def _with_steps(self, xs: Any) -> Any:
        """The inputs, with a None for every step in place of one None for all steps."""
        if isinstance(xs, dict):
            return {key: self._with_steps(part) for key, part in xs.items()}
        return [None] * self.steps if xs is None else xs

    def name(self) -> str:
        return str(getattr(self.cell, "__name__", type(self.cell).__name__))

    def title(self) -> str:
        return (
            f"{self.name()}: the steps of a sequence forward, and its gradients back through time."
        )


def _first(array: Any) -> Any:
    if len(array):
        return array[0]
    return np.ones(array.shape[1:], array.dtype)


def prepared(
    cell: Any,
    xs: Any,
    state: Any,
    truncation: Truncation | None,
    reset: Any,
    loss_alone: bool = False,
) -> Sequence:
    """Check the arguments as `unroll` does, and bring them into one form.

    loss_alone: whether only the last part of the state will get a gradient.
    """
    check_cell(cell)
    sequence = Sequence()
    sequence.loss_alone = loss_alone
    sequence.cell = sequence.step_cell = cell
    whole = truncation is None or type(truncation) is Full
    sequence.truncation = sequence.repeatable = FULL if whole else checked(truncation)
    sequence.reset = reset
    if xs is None or isinstance(xs, tuple):
        length(xs)  # says what is wrong
    given, xs = xs, stacked(xs)
    sequence.xs = xs
    inputs: list[Any] = []
    states: list[Any] = []
    sequence.input_parts, sequence.state_parts = inputs, states
    key: list[Any] = []
    if xs is None:
        key.append(None)
    else:
        flatten(xs, inputs, key)
    nested = bool(key)
    sequence.steps = steps_in(cell, xs, inputs, nested) if inputs else length(given)
    key.append(loss_alone)
    for array in inputs:
        is_tensor = type(array) is Tensor
        if is_tensor and type(array._data) is not np.ndarray:
            refuse_elsewhere(array)
        key += (array.shape[1:], array.dtype, is_tensor, is_tensor and array._requires_grad)
    sequence.state = state = _initial_state(cell, state, inputs[0] if inputs else None)
    count = len(key)
    flatten(state, states, key, outputs=True)
    sequence.flat = len(key) == count
    for n, h in enumerate(states):
        if h is None:
            key.append(n)
            continue
        array = h._data
        if type(array) is not np.ndarray:
            refuse_elsewhere(array)
        if not array.dtype.isnative:
            return prepared(cell, xs, map_state(native, state), truncation, reset, loss_alone)
        key += (array.shape, array.dtype, h._requires_grad)
    sequence.extras = ()
    if sequence.truncation is not FULL or reset is not None:
        key.append(isinstance(truncation, Windows))
        if truncation is not None:
            sequence.truncation = sequence.repeatable = truncation.fixed(sequence.steps)
        check_reach(sequence.truncation, states)
        sequence.extras, further, sequence.step_cell = between_steps(
            cell, sequence.truncation, reset, sequence.steps, inputs, states
        )
        inputs += further
        key += (sequence.extras, *[(part.shape[1:], part.dtype) for part in further])
    sequence.key = tuple(key)
    return sequence


def native(h: Any) -> Any:
    """The same values in this machine's byte order, which is that of the cell's results."""
    return h.astype(h.dtype.newbyteorder("="))


FULL = Full()


def _initial_state(cell: Any, state: Any, x: Any) -> Any:
    """The initial state, as in `unroll`. Usually the cell makes and names it, and nothing is left
    to do."""
    if x is None:
        return initial_state(cell, state, [None])
    data = x._data if type(x) is Tensor else x
    if state is None and data.ndim > 1 and len(data) and hasattr(cell, "initial_state"):
        state = cell.initial_state(data.shape[1])
    if state is not None and _is_named(state):
        return state
    return initial_state(cell, state, [Tensor(data[0])] if len(data) else [])


def _is_named(state: Any) -> bool:
    """Whether all parts of the state are Tensors with a name, or outputs."""
    if type(state) is tuple:
        return all(map(_is_named, state))
    return state is None or (type(state) is Tensor and state.name is not None)
