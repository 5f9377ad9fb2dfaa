"""Checks of the arguments of a run (inputs, initial state, resets) and of the cell's results."""

from __future__ import annotations

import numbers
import operator
from collections.abc import Sequence
from typing import Any

import numpy as np

from tinygrad_rnn.engine.graph import Array, Leaf
from tinygrad_rnn.engine.recording import Mark, current_mark, set_mark
from tinygrad_rnn.engine.tensor import Tensor, untracked
from tinygrad_rnn.engine.trees import flatten, flatten_like
from tinygrad_rnn.recurrent.names import by_place, declared, name, names_of
from tinygrad_rnn.recurrent.state import (
    OUTPUT,
    as_returned,
    form_of,
    has_outputs,
    map_state,
    tensor,
)
from tinygrad_rnn.recurrent.truncation import Full, Links, Truncation, Windows


def checked(truncation: Truncation | None) -> Truncation:
    if truncation is None:
        return Full()
    if not isinstance(truncation, Links | Windows):
        raise TypeError(
            f"truncation must be a strategy such as tg.Subsequence(20) or tg.Window(20), or a "
            f"tg.Links or tg.Windows of your own, not {truncation!r}"
        )
    return truncation


def length(xs: Any, name: str = "xs", shape: str = "(T, batch, input)") -> int:
    """The number of steps. TypeError if `xs` is not a sequence or a dict of sequences, ValueError
    if the lengths in a dict differ.

    name, shape: of the argument, for the message."""
    if isinstance(xs, dict):
        lengths = {key: length(part, f"{name}[{key!r}]", "(T, ...)") for key, part in xs.items()}
        if len(set(lengths.values())) != 1:
            raise ValueError(
                f"the sequences of a dict must have one length T, but these have "
                f"{', '.join(f'{n} ({key})' for key, n in lengths.items()) or 'none: it is empty'}"
            )
        return next(iter(lengths.values()))
    if isinstance(xs, tuple):
        raise TypeError(
            f"{name} is a tuple of {len(xs)}, which could mean steps or parts of each step: pass "
            f"the steps as a list or an array, or several parts as a dict of sequences"
        )
    if xs is None and name == "xs":
        raise TypeError(
            f"xs must be the sequence of inputs, of shape {shape}, but it is None: for a system "
            f"without inputs, pass the number of steps, steps=T"
        )
    if not is_list(xs) and np.ndim(xs) == 0:
        raise TypeError(
            f"{name} must be a sequence, of shape {shape}, but it is a single {type(xs).__name__}"
        )
    return len(xs)


def check_cell(cell: Any) -> None:
    """TypeError if this is no cell."""
    if isinstance(cell, type):
        raise TypeError(f"the cell is the class {cell.__name__}: make one, {cell.__name__}(...)")
    if not callable(cell):
        raise TypeError(
            f"the cell must be a function (x, state) -> state, but its type is "
            f"{type(cell).__name__}; the order of the arguments is (cell, xs, state)"
        )


def has_lists(xs: Any) -> bool:
    """Whether some of the inputs are given as a list of steps."""
    return any(map(has_lists, xs.values())) if isinstance(xs, dict) else is_list(xs)


def is_list(xs: Any) -> bool:
    """Whether the inputs are a list of steps and not one array."""
    return isinstance(xs, Sequence) and not isinstance(xs, str)


def inputs_of(cell: Any, xs: Any, marks: list[Mark | None], numbers: range) -> list[Any]:
    """The input of each step as a Tensor. The names x_1, x_2, ... have the given numbers."""
    if type(xs) is np.ndarray and xs.ndim > 1:
        inputs = [of_array(x, n, mark) for x, n, mark in zip(xs, numbers, marks, strict=True)]
    else:
        inputs = _recorded_inputs(xs, marks, numbers)
    if has_lists(xs):
        first = shapes_of(inputs[0]) if inputs else []
        for t, x in enumerate(inputs):
            check_width(cell, x, t)
            check_rows_of_step(first, x, t)
    elif inputs:
        check_width(cell, inputs[0], 0)
    return inputs


def _recorded_inputs(xs: Any, marks: list[Mark | None], numbers: range) -> list[Any]:
    """The inputs of a nesting of sequences, each taken out of it under the mark of its step."""
    before = current_mark()
    take = at_step if isinstance(xs, dict) else operator.getitem
    inputs: list[Any] = []
    try:
        for t, mark in enumerate(marks):
            if mark is not None:
                set_mark(mark)
            inputs.append(input_of(take(xs, t), numbers[t] - 1))
    finally:
        set_mark(before)
    return inputs


def shapes_of(x: Any) -> list[tuple[int, ...]]:
    """The shapes of the parts of an input."""
    return list(map(shape_of, flatten(x)))


def shape_of(x: Any) -> tuple[int, ...]:
    """`np.shape(x)`, without NumPy's dispatch for a Tensor."""
    return x.shape if isinstance(x, Tensor) else np.shape(x)


def check_rows_of_step(first: list[tuple[int, ...]], x: Any, t: int) -> None:
    """ValueError if one step has a batch of one row and another has more.

    Broadcasting would use the single row for all sequences.

    first: the shapes of the first step's input.
    """
    for before, shape in zip(first, shapes_of(x), strict=False):
        if (
            (shape != before and len(shape) == len(before) > 1)
            and shape[1:] == before[1:]
            and 1 in (shape[0], before[0])
        ):
            raise ValueError(
                f"all steps must have one batch size, but the input of step 0 has the shape "
                f"{before} and that of step {t} has {shape}"
            )


def of_numbers(xs: Any) -> Any:
    """Nested lists of numbers as an array; anything else unchanged."""
    nested = type(xs) is list and xs and isinstance(xs[0], list)
    if nested and all(isinstance(part, numbers.Number) for part in flatten(xs[0])):
        try:
            return np.asarray(xs)
        except ValueError:
            raise ValueError(
                "the steps must have one shape, but they are lists of numbers of different lengths"
            ) from None
    return xs


def at_step(xs: Any, t: int) -> Any:
    """The entry of a sequence at step t; for a dict of sequences, the dict of their entries."""
    return {k: at_step(part, t) for k, part in xs.items()} if isinstance(xs, dict) else xs[t]


def input_of(x: Any, t: int) -> Any:
    """The input of step t as a named Tensor, or as a nesting of named Tensors."""
    if type(x) is np.ndarray:
        return of_array(x, t + 1, current_mark())
    if type(x) is Tensor and (node := x._node) is not None:  # of a sequence that is a Tensor
        if node.name is None:
            node.name = f"x_{t + 1}"
        return x
    x = map_state(tensor, x)
    if current_mark() is not None:
        name(x, by_place(x, "x"), t + 1)
    return x


def of_array(x: Any, number: int, mark: Mark | None) -> Tensor:
    """The input of a step as a Tensor named x_1, x_2, ..., recorded under a mark."""
    tensor = untracked(x)
    if mark is not None:
        tensor._node = Leaf(x.shape, x.dtype, False, f"x_{number}", mark)
    return tensor


def check_width(cell: Any, x: Any, t: int) -> None:
    """ValueError if the cell declares an input width and this input has another one."""
    if isinstance(x, Tensor):
        check_shape(cell, x.shape, t)


def check_shape(cell: Any, shape: tuple[int, ...], t: int) -> None:
    """The same for the shape of an input."""
    width = getattr(cell, "input_size", None)
    if width is None or (len(shape) == 2 and shape[1] == width):
        return
    raise ValueError(
        f"the cell takes inputs of shape (batch, {width}), so xs must have the shape "
        f"(T, batch, {width}), but the input of step {t} has the shape {shape}"
        + ("; for a batch of one sequence, pass xs[:, None, :]" if len(shape) == 1 else "")
    )


def initial_state(cell: Any, state: Any, inputs: list[Any]) -> Any:
    """The state that enters the first step. Its parts are named Tensors."""
    if state is None:
        make = getattr(cell, "initial_state", None)
        if make is None:
            raise TypeError(
                f"{getattr(cell, '__name__', type(cell).__name__)} has no initial_state(batch_size)"
                f", so pass the initial state: unroll(cell, xs, state)"
            )
        if not inputs:
            raise ValueError(
                "xs has no steps, so the batch size is unknown: pass the initial state"
            )
        if not flatten(inputs[0]):
            raise TypeError(
                "the steps have no input, so the batch size is unknown: pass the initial state"
            )
        state = make(len(flatten(inputs[0])[0]))
    else:
        check_parts(cell, state)
    if type(state) is not Tensor:
        state = map_state(tensor, state)
    if current_mark() is not None:
        name(form_of(state), names_of(cell, form_of(state)), 0)
    return state


def check_parts(cell: Any, state: Any) -> None:
    """TypeError if a part of the state is no array, or if the parts differ from those of the cell's
    own initial state."""
    form = form_of(state)
    given = flatten(form)
    for part in given:
        if not (hasattr(part, "dtype") or isinstance(part, numbers.Number) or part is OUTPUT):
            raise TypeError(
                f"the state must be an array or a nesting of arrays, but it has the part {part!r}"
            )
    named = declared(cell, form)
    if named is None:
        return
    wanted = flatten(named)
    if len(wanted) != len(given):
        shapes = [np.shape(part) for part in given]
        parts = ", ".join(wanted).replace("_{t}", "")
        had = f"{len(given)} arrays were"
        if len(given) == 1:
            had = f"one array of shape {shapes[0]} was"
        raise TypeError(
            f"the state of {type(cell).__name__} has {len(wanted)} part{'s'[: len(wanted) - 1]} "
            f"({parts}), as initial_state(batch_size) returns them, but {had} given"
        )


def restarts_of(reset: Any, inputs: list[Any]) -> Any:
    """The resets as booleans: True where a sequence begins anew before a step."""
    if reset is None:
        return None
    rows = np.asarray(reset)
    parts = flatten(inputs[0]) if inputs else []
    check_resets(rows, len(inputs), np.shape(parts[0])[:1] if parts else rows.shape[1:2])
    return rows


def check_resets(rows: Array, steps: int, batch: tuple[int, ...]) -> None:
    """ValueError unless the resets have a boolean for each step, or for each step and sequence."""
    if rows.dtype != bool or rows.shape not in [(steps,), (steps, *batch)]:
        raise ValueError(
            f"reset must be booleans of shape {(steps, *batch)}, True where a sequence "
            f"starts anew, but it has the shape {rows.shape} and the dtype {rows.dtype}"
        )


def check_first_step(entered: Any, state: Any) -> None:
    """ValueError or TypeError if the first step returned another shape or dtype than it was given.

    A part that is None on entry is an output, which may be any array.
    """
    form = form_of(entered)
    before = as_returned(form, state) if has_outputs(form) else entered
    given = shapes(before)
    if given != shapes(state):
        raise misshapen(given, state)
    check_dtypes(before, state)


def misshapen(given: Any, returned: Any) -> Exception:
    """The error for a cell that returned a state of another shape than it was given."""
    if returned is None:
        return TypeError("the cell returned None: it must return the new state")
    if flatten(given) == flatten(shapes(returned)):
        return ValueError(
            f"at step 0 the cell was given a state nested as {given} and returned one nested as "
            f"{shapes(returned)}: nest the initial state as the cell does"
        )
    return ValueError(
        f"at step 0 the cell was given a state of shape {given} and returned one of shape "
        f"{shapes(returned)}: both must be the same, so change the initial state or the cell"
    )


def check_dtypes(entered: Any, state: Any) -> None:
    """TypeError if a part of a state changes its dtype from one step to the next.

    NumPy's promotion makes float64 of float32 and float64. The caller chose the dtype of the
    state by the initial state, so the state must keep it.
    """
    for before, after in zip(flatten(entered), flatten_like(entered, state), strict=True):
        old, new = getattr(before, "dtype", None), getattr(after, "dtype", None)
        if old is None or new is None or old == new:  # a Python number takes any dtype
            continue
        if old.newbyteorder("=") != new.newbyteorder("="):
            raise TypeError(
                f"the cell was given a state of {old} and returned one of {new}: inputs, "
                f"parameters and initial state must have one dtype, so convert them with "
                f".astype(...)"
            )


def shapes(state: Any) -> Any:
    """The nesting of a state, with each array replaced by its shape."""
    return map_state(shape_of, state)
