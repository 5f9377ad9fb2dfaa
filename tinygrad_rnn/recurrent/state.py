"""States: a state is one array, or a nesting of tuples, lists and dicts of arrays."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from tinygrad_rnn.derivatives.functions import scale_gradient
from tinygrad_rnn.engine.graph import Array
from tinygrad_rnn.engine.table import derivative, plain
from tinygrad_rnn.engine.tensor import Tensor
from tinygrad_rnn.engine.trees import flatten, flatten_like, unflatten


def map_state(function: Callable[[Any], Any], state: Any) -> Any:
    """The same nesting, with `function` applied to every array in it.

    >>> from tinygrad_rnn.recurrent.state import map_state
    >>> map_state(lambda x: 2 * x, {"h": 1, "layers": (2, [3])})
    {'h': 2, 'layers': (4, [6])}
    """
    return unflatten(state, map(function, flatten(state)))


OUTPUT: Any = "output"
"""The placeholder for a part of an initial state that is None."""


def form_of(state: Any) -> Any:
    """The nesting of an initial state, with a leaf in place of each None.

    A part that is None marks an output: the cell returns it, and no step reads it.

    >>> from tinygrad_rnn.recurrent.state import form_of
    >>> form_of((1, None))
    (1, 'output')
    """
    if isinstance(state, dict):
        return {key: form_of(part) for key, part in state.items()}
    if isinstance(state, tuple | list):
        parts = [form_of(part) for part in state]
        return type(state)(*parts) if hasattr(state, "_fields") else type(state)(parts)
    return OUTPUT if state is None else state


def has_outputs(form: Any) -> bool:
    """Whether a nesting from `form_of` contains an output."""
    return any(part is OUTPUT for part in flatten(form))


def as_entered(form: Any, state: Any) -> Any:
    """The state that the next step reads: the returned state with None in place of each output."""
    pairs = zip(flatten(form), flatten_like(form, state), strict=True)
    return unflatten(form, (None if part is OUTPUT else new for part, new in pairs))


def as_returned(form: Any, state: Any) -> Any:
    """The state that a cell returned, in the nesting of the state that entered the step.

    Raises ValueError if the cell did not return one array for each part.
    """
    try:
        pairs = list(zip(flatten(form), flatten_like(form, state), strict=True))
    except ValueError:
        raise ValueError(
            f"the cell must return a state nested like the initial state, {described(form)}, where "
            f"None stands for an output, but it returned {described(state)}"
        ) from None
    return unflatten(form, (new if part is OUTPUT else part for part, new in pairs))


def described(nested: Any) -> str:
    """The nesting of a state or an input, for a message."""
    return str(map_state(lambda _: "...", nested)).replace("'...'", "...")


def tensor(x: Any) -> Tensor:
    """A Tensor unchanged; anything else as a Tensor that needs no gradient."""
    return x if isinstance(x, Tensor) else Tensor(x)


def link(state: Any, factor: Any) -> Any:
    """The state as the next step sees it: the gradient through the link is multiplied by ξ.

    factor: ξ, one number or one per sequence, (batch,). With 1 the state is unchanged, with 0 it
        is detached, and with any other factor the link is a `scale_gradient`.
    """
    if np.ndim(factor) == 0:
        if factor == 1:
            return state
        return detach(state) if factor == 0 else map_state(lambda h: scaled(h, factor), state)
    if (factor == 1).all():
        return state
    if not factor.any():
        return by_rows(lambda h, _: detach(h), factor, state)
    return by_rows(scaled, factor, state)


def scaled(h: Any, factor: Any) -> Any:
    """`scale_gradient` for a Tensor that needs a gradient; other values unchanged."""
    return scale_gradient(h, factor) if isinstance(h, Tensor) and h.requires_grad else h


def per_row(values: Array, h: Any) -> Array:
    """One value per sequence, (batch,), reshaped to broadcast to h: (batch, 1, ...)."""
    check_rows(len(values), np.shape(h))
    if not isinstance(values, Tensor):
        values = np.asarray(values, like=plain(h))
    return values.reshape(len(values), *[1] * (np.ndim(h) - 1))


def check_rows(count: int, shape: tuple[int, ...]) -> None:
    """ValueError if a part of a state has no row for each sequence."""
    if shape[:1] != (count,):
        raise ValueError(
            f"one value was given for each of {count} sequences, but the state has the shape "
            f"{shape}"
        )


def has_numbers(parts: list[Any]) -> bool:
    """Whether some parts of the state are single numbers, which belong to no sequence."""
    return len({np.ndim(part) > 0 for part in parts}) > 1


def by_rows(change: Callable[[Any, Array], Any], values: Array, state: Any) -> Any:
    """The state with each part changed by one value per sequence, (batch,).

    A single number beside the other parts, such as the loss at the step, stays unchanged: it
    belongs to no sequence."""
    alone = not any(np.ndim(h) for h in flatten(state))
    return map_state(lambda h: change(h, per_row(values, h)) if alone or np.ndim(h) else h, state)


def detach(state: Any, rows: Any = None) -> Any:
    """The same values without their history: no gradient flows back past this point.

    state: an array, or any nesting of tuples, lists and dicts.
    rows: booleans of shape (batch,): detach only these sequences of the batch.
    Raises TypeError for rows that are no booleans, ValueError for more or fewer than sequences.

    A detach between two chunks of a long text is truncated backpropagation through time. `reset`
    also sets the values to zero.

    >>> import numpy as np, tinygrad_rnn as tg
    >>> w = tg.Tensor(np.ones((2, 1)), requires_grad=True)
    >>> np.sum(3 * tg.detach(w, rows=[True, False])).backward()
    >>> w.grad.ravel()
    array([0., 3.])
    """
    if rows is None:
        return map_state(lambda h: h.detach() if isinstance(h, Tensor) else h, state)
    keep = 1.0 - chosen(rows)
    return by_rows(scaled, keep, state)


def reset(state: Any, rows: Any = None) -> Any:
    """Zeros in place of the state: neither values nor gradients pass this point.

    state: an array, or any nesting of tuples, lists and dicts.
    rows: booleans of shape (batch,): reset only these sequences of the batch, for example where a
        new text begins.
    Raises TypeError for rows that are no booleans, ValueError for more or fewer than sequences.

    `detach` keeps the values and cuts only the gradient.

    >>> import numpy as np, tinygrad_rnn as tg
    >>> w = tg.Tensor(np.ones((2, 1)), requires_grad=True)
    >>> h = tg.reset(3 * w, rows=[True, False])
    >>> h.data.ravel()
    array([0., 3.])
    >>> np.sum(h).backward()
    >>> w.grad.ravel()
    array([0., 3.])
    """
    if rows is None:
        return map_state(lambda h: Tensor(np.zeros_like(tensor(h)._data), name="0"), state)
    forgotten = chosen(rows)
    return by_rows(lambda h, rows: tensor(zero_rows(h, rows)).named("reset"), forgotten, state)


def chosen(rows: Any) -> Array:
    """The rows to detach or reset, as an array of booleans."""
    given = np.asarray(rows)
    if given.dtype != bool:
        raise TypeError(
            f"rows must be booleans, True for the sequences that are meant, but their dtype is "
            f"{given.dtype}"
        )
    return given


def _zero_rows(h: Array, rows: Array) -> Array:
    return np.where(rows, np.zeros_like(h), h)


_zero_rows.__name__ = "reset"
zero_rows = derivative(_zero_rows, lambda g, rows: g * ~rows)
