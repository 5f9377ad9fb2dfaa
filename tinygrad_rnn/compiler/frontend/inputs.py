"""The inputs of a scan: one array with all steps, or a nesting of such arrays, checked."""

from __future__ import annotations

import numbers
from typing import Any

import numpy as np

from tinygrad_rnn.engine.tensor import Tensor
from tinygrad_rnn.engine.trees import flatten as parts, flatten_like, unflatten
from tinygrad_rnn.recurrent.arguments import check_shape, length, of_numbers
from tinygrad_rnn.recurrent.names import by_place, identifier, without_step
from tinygrad_rnn.recurrent.state import described


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
        shape: Any = getattr(xs, "shape", ())
        if not shape:
            length(xs)  # says what is wrong
        if shape != (0,):
            check_shape(cell, shape[1:], 0)
        return int(shape[0])
    try:
        (T,) = {array.shape[0] for array in inputs}
    except (AttributeError, IndexError, ValueError):
        return length(dict(zip(names_of_inputs(xs), inputs, strict=True)))  # says why
    return int(T)


def names_of_inputs(xs: Any) -> tuple[str, ...]:
    """The names of the parts of the inputs."""
    return tuple(identifier(without_step(name)) for name in by_place(xs, "x"))


def stacked(xs: Any) -> Any:
    """The inputs of all steps in one array, or in a nesting of arrays where a step has several."""
    kind = type(xs)
    if kind is np.ndarray or kind is Tensor:
        return xs
    if isinstance(xs, dict):
        for part in xs.values():
            if type(part) is not np.ndarray:
                length(xs)  # each must be a sequence
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
            f"convert it, or use tg.unroll or bptt.record, which compute with it as it is"
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


def no_inputs(xs: Any) -> None:
    """None, for steps without an input. Raises ValueError if only some steps have none."""
    given = [t for t, x in enumerate(xs) if x is not None]
    if given:
        raise ValueError(
            f"xs[0] is None, but xs[{given[0]}] is not: pass an input for every step or for none"
        )
