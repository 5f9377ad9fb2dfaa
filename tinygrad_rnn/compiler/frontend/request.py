"""The request of a scan: inputs, initial state and truncation, checked and prepared."""

from __future__ import annotations

import numbers
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from tinygrad_rnn.compiler.frontend.captures import CellKey
from tinygrad_rnn.compiler.frontend.trace import Step
from tinygrad_rnn.derivatives.functions import scale_gradient
from tinygrad_rnn.engine.tensor import Tensor
from tinygrad_rnn.engine.trees import flatten as parts, flatten_like, unflatten
from tinygrad_rnn.recurrent.arguments import (
    check_cell,
    check_parts,
    checked,
    initial_state,
    length,
    length_of_each,
    of_numbers,
    restarts_of,
)
from tinygrad_rnn.recurrent.names import by_place, identifier, names_of, without_step
from tinygrad_rnn.recurrent.state import (
    check_rows,
    described,
    form_of,
    has_numbers,
    map_state,
    zero_rows,
)
from tinygrad_rnn.recurrent.truncation import Full, Links, Truncation, Windows


class Sequence:
    """The arguments of a scan. `key` has the properties of them on which the program depends.

    input_parts, state_parts: the arrays and Tensors in the inputs and in the state. Where the state
        has None, for an output, state_parts has None until the program is found. The program knows
        what the cell returns there.
    extras: the operations on the state between two steps, as further inputs of the program's cell
        `step_cell`, with their names.
    """

    __slots__ = (
        *("cell", "extras", "flat", "input_parts", "key", "loss_alone", "repeatable", "reset"),
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
        samples = [_first(x._data if type(x) is Tensor else x) for x in self.input_parts]
        following = iter(samples)
        x = map_state(lambda _: next(following), self.xs)
        return (x, *following) if self.extras else x

    def sample_state(self) -> Any:
        return map_state(lambda h: h._data, self.state)

    def for_trace(self, captured: CellKey) -> Step:
        """One step of the program's cell, for tracing."""
        check_parts(self.cell, self.state)
        needs = [type(x) is Tensor and x.requires_grad for x in self.input_parts]
        names = self.input_names, [identifier(name) for name in self.state_names]
        samples = self.sample_input(), self.sample_state()
        return Step(self.step_cell, *samples, captured, needs, *names)

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
        further = _extras(sequence, reset)
        key += (sequence.extras, *[(part.shape[1:], part.dtype) for part in further])
    sequence.key = tuple(key)
    return sequence


def no_inputs(xs: Any) -> None:
    """None, for steps without an input. Raises ValueError if only some steps have none."""
    given = [t for t, x in enumerate(xs) if x is not None]
    if given:
        raise ValueError(
            f"xs[0] is None, but xs[{given[0]}] is not: pass an input for every step or for none"
        )


def native(h: Any) -> Any:
    """The same values in this machine's byte order, which is that of the cell's results."""
    return h.astype(h.dtype.newbyteorder("="))


def check_reach(truncation: Truncation | None, states: list[Any]) -> None:
    """Raise ValueError if windows have a reach for each sequence of another batch size."""
    reach = np.shape(truncation.earliest(0)) if isinstance(truncation, Windows) else ()
    for h in states:
        if reach and h is not None and h.ndim:
            check_rows(reach[0], h.shape)


def flatten(tree: Any, found: list[Any], structure: list[Any], outputs: bool = False) -> None:
    """Add the arrays of a nesting to `found`, and the nesting to `structure`. A single array adds
    nothing to `structure`. outputs: whether to add a None like an array."""
    if isinstance(tree, dict):
        structure += (type(tree), *tree)
        tree = tree.values()
    elif isinstance(tree, (tuple, list)):
        structure += (type(tree), len(tree))
    else:
        found.append(tree)
        return
    for branch in tree:
        structure.append(len(found))
        if type(branch) is Tensor or type(branch) is np.ndarray:  # what most of them are
            found.append(branch)
        elif branch is not None:
            flatten(branch, found, structure, outputs)
        elif outputs:
            found.append(None)


def steps_in(cell: Any, xs: Any, inputs: list[Any], nested: bool) -> int:
    """The number of steps. Raises ValueError or TypeError where the argument cannot be inputs."""
    if not nested:
        check_shape(cell, xs, np.shape(xs))
        return len(xs)
    try:
        (T,) = {array.shape[0] for array in inputs}
    except (AttributeError, IndexError, ValueError):
        return length_of_each(dict(zip(names_of_inputs(xs), inputs, strict=True)))  # says why
    return int(T)


def names_of_inputs(xs: Any) -> tuple[str, ...]:
    """The names of the parts of the inputs."""
    if isinstance(xs, np.ndarray | Tensor):
        return ("x",)
    if xs is None:
        return ()
    return tuple(identifier(without_step(name)) for name in by_place(xs, "x"))


def stacked(xs: Any) -> Any:
    """The inputs of all steps in one array, or in a nesting of arrays where a step has several."""
    kind = type(xs)
    if kind is np.ndarray or kind is Tensor:
        return xs
    if isinstance(xs, dict):
        for part in xs.values():
            if type(part) is not np.ndarray:
                length_of_each(xs)  # each must be a sequence
                return {key: stacked(part) for key, part in xs.items()}
        return xs
    if not isinstance(xs, list | tuple):
        refuse_elsewhere(xs)
        return np.asarray(xs) if np.ndim(xs) else xs
    if not len(xs):
        return np.zeros((0,))
    first = xs[0]
    if first is None:
        return no_inputs(xs)
    if not isinstance(first, (list, tuple, dict)):
        refuse_elsewhere(first)
        return stack(xs, "the steps")
    if all(isinstance(part, numbers.Number) for part in parts(first)):
        return of_numbers(xs)
    try:
        steps = zip(*[flatten_like(first, step) for step in xs], strict=True)
    except ValueError:
        raise ValueError(
            f"the inputs of all steps must be nested alike, but the first is {described(first)} "
            f"and others are {', '.join(dict.fromkeys(map(described, xs[1:])))}"
        ) from None
    return unflatten(first, (stack(part, "a part of the steps") for part in steps))


def is_elsewhere(thing: Any) -> bool:
    """Whether an array supports NumPy's protocols but is not NumPy's own, such as an array on a GPU
    or in chunks."""
    if type(thing) is Tensor:
        thing = thing._data
    return hasattr(thing, "__array_function__") and not isinstance(thing, np.ndarray | Tensor)


def refuse_elsewhere(thing: Any) -> None:
    """Raise TypeError for an array that would silently become a NumPy array."""
    if is_elsewhere(thing):
        kind = type(thing._data if type(thing) is Tensor else thing)
        raise TypeError(
            f"scan and BPTT need NumPy arrays, but a {kind.__module__}.{kind.__name__} was given: "
            f"convert it, or use tg.unroll, which computes with it as it is"
        )


def stack(arrays: Any, what: str) -> Any:
    """The arrays of all steps as one array. Raises ValueError, with the shapes, if they differ."""
    shapes = dict.fromkeys(map(np.shape, arrays))
    if len(shapes) > 1:
        raise ValueError(
            f"{what} must have one shape, but they have {', '.join(map(str, shapes))}; if a step "
            f"takes several inputs, pass a dict of sequences"
        )
    return np.stack(arrays)


def check_shape(cell: Any, xs: Any, shape: tuple[int, ...]) -> None:
    """Raise TypeError or ValueError if this cannot be a sequence of inputs of the cell."""
    if not shape:
        raise TypeError(
            f"xs must be a sequence, of shape (T, batch, input), but it is a single "
            f"{type(xs).__name__}"
        )
    width = getattr(cell, "input_size", None)
    if width is not None and (len(shape) != 3 or shape[2] != width):
        raise ValueError(
            f"xs must have the shape (T, batch, {width}), but it has "
            f"{shape if shape != (0,) else 'no steps'}"
            + ("; for a batch of one sequence, pass xs[:, None, :]" if len(shape) == 2 else "")
        )


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


def _extras(sequence: Sequence, reset: Any) -> list[Any]:
    """The other operations on the state between two steps, as further inputs of the cell."""
    T, cell = sequence.steps, sequence.cell
    extras: list[str] = []
    further: list[Any] = []
    known = [h for h in sequence.state_parts if h is not None]
    alone = has_numbers(known)
    if isinstance(sequence.truncation, Links) and not isinstance(sequence.truncation, Full):
        xi = np.asarray(sequence.truncation.links(T))
        xi = xi if alone else for_all(xi)
        if not (xi == 1).all():
            extras.append("xi")
            if xi.ndim > 1 and not any(h.ndim for h in known):
                check_rows(xi.shape[1], ())  # says what is wrong
            floats = [h.dtype for h in known if h.dtype.kind == "f"]
            further.append(xi.astype(floats[0] if floats else np.float64))
    if reset is not None:
        first = [part[t] for part in sequence.input_parts[:1] for t in range(T)] or [None] * T
        rows = restarts_of(reset, first)
        rows = rows if alone else for_all(rows)
        if rows.any():
            extras.append("restart")
            further.append(rows)
    sequence.extras = tuple(extras)
    sequence.input_parts += further
    if not extras:
        return further

    def step_cell(given: Any, state: Any) -> Any:
        x, *rest = given
        following = iter(rest)
        if "xi" in extras:
            xi = next(following)
            state = changed(scale_gradient, xi, state)
        if "restart" in extras:
            restart = next(following)
            state = changed(zero_rows, restart, state)
        return cell(x, state)

    sequence.step_cell = step_cell
    return further


def for_all(values: Any) -> Any:
    """One value for each step, (T,), where the values of its sequences, (T, batch), are all
    equal."""
    if values.ndim == 2 and values.shape[1] and (values == values[:, :1]).all():
        return values[:, 0]
    return values


def changed(change: Callable[[Any, Any], Any], values: Any, state: Any) -> Any:
    """The state with each part changed by one value for all sequences, or by one value per
    sequence. In the second case a scalar, which belongs to no sequence, does not change."""
    if values.ndim == 0:
        return map_state(lambda h: change(h, values), state)

    def by_row(h: Any) -> Any:
        if h.ndim == 0:
            return h
        check_rows(len(values), h.shape)
        return change(h, values.reshape(len(values), *[1] * (h.ndim - 1)))

    return map_state(by_row, state)
