"""Sequences of different lengths in one batch: the valid steps and the padding after the end."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np

from tinygrad_rnn.engine.graph import Array
from tinygrad_rnn.engine.table import plain
from tinygrad_rnn.engine.trees import flatten, flatten_like, unflatten
from tinygrad_rnn.recurrent.state import OUTPUT, check_rows, form_of


def valid_steps(lengths: Any, mask: Any, T: int, batch: int | None) -> Array | None:
    """The valid steps of each sequence, booleans (T, batch); None if all steps are valid.

    lengths: (batch,), from 0 to T. mask: booleans (T, batch). At most one of them is given.
    batch: the batch size; None if the inputs do not tell it.
    Raises TypeError or ValueError, with the shapes, where they do not fit.
    """
    if lengths is not None and mask is not None:
        raise ValueError("pass either lengths or a mask, not both")
    if batch is None:
        batch = np.size(lengths) if mask is None else (*np.shape(mask), 0, 0)[1]
    if mask is not None:
        valid = np.asarray(mask)
        if valid.dtype != bool or valid.shape != (T, batch):
            raise ValueError(
                f"mask must be booleans of shape {(T, batch)}, True for the steps that count, but "
                f"it has the shape {valid.shape} and the dtype {valid.dtype}"
            )
    elif lengths is not None:
        ends = np.asarray(lengths)
        if ends.dtype.kind not in "iu" or ends.shape != (batch,):
            raise ValueError(
                f"lengths must be one whole number for each sequence, of shape {(batch,)}, but it "
                f"has the shape {ends.shape} and the dtype {ends.dtype}"
            )
        if ends.size and (ends.min() < 0 or ends.max() > T):
            raise ValueError(
                f"lengths must lie in 0..{T}, because xs has {T} steps, but they range over "
                f"{ends.min()}..{ends.max()}"
            )
        valid = np.arange(T)[:, None] < ends
    else:
        return None
    return None if valid.all() else valid


def batch_of(xs: Any) -> int | None:
    """The batch size; None without inputs, ValueError if the inputs have no batch axis."""
    if not flatten(xs):
        return None
    if isinstance(xs, dict):
        return next(batch_of(part) for part in xs.values() if flatten(part))
    one_by_one = isinstance(xs, list | tuple)
    shape = np.shape(flatten(xs)[0])[0 if one_by_one else 1 :]
    if not shape:
        raise ValueError(
            f"lengths and mask need xs of shape (T, batch, ...), but xs has the shape "
            f"{np.shape(flatten(xs)[0])}"
        )
    return int(shape[0])


def last_valid(valid: Array) -> tuple[Array, Array]:
    """An index that replaces each invalid step by a valid one.

    The replacement is the last valid step before it, or else the first valid step.

    Returns the steps, (T, batch), and the sequences, (batch,). A sequence without any valid step is
    replaced by another sequence.

    >>> import numpy as np
    >>> from tinygrad_rnn.recurrent.lengths import last_valid
    >>> steps, sequences = last_valid(np.array([[True, False], [False, True], [False, False]]))
    >>> steps.T, sequences
    (array([[0, 0, 0],
           [1, 1, 1]]), array([0, 1]))
    """
    steps = np.where(valid, np.arange(len(valid))[:, None], -1)
    steps = np.maximum.accumulate(steps, axis=0)
    steps = np.where(steps < 0, np.argmax(valid, axis=0), steps)
    some = valid.any(axis=0)
    sequences = np.where(some, np.arange(len(some)), np.argmax(some))
    return steps[:, sequences], sequences


def beside(values: Array, xs: Any) -> Any:
    """The values in an array of the same library as the inputs (NEP 35)."""
    first = plain(next(iter(flatten(xs)), values))
    return np.asarray(values, like=first) if hasattr(first, "__array_function__") else values


def taken(xs: Any, index: tuple[Array, Array]) -> Any:
    """The inputs at the steps that an index from `last_valid` names.

    Arrays without a batch axis are returned as they are."""
    if isinstance(xs, dict):
        return {key: taken(part, index) for key, part in xs.items()}
    if isinstance(xs, list | tuple):
        parts = [taken(np.stack(steps), index) for steps in zip(*map(flatten, xs), strict=True)]
        return [unflatten(xs[0], iter([part[t] for part in parts])) for t in range(len(xs))]
    if np.shape(xs)[:2] != index[0].shape:
        return xs
    return xs[tuple(beside(part, xs) for part in index)]


def frozen(valid: Any, new: Any, old: Any) -> Any:
    """The new state where the step is valid, and the old one elsewhere.

    valid: one boolean, or one per sequence, (batch,).
    Outputs (None in the old state) are always those of the new state. So are single numbers,
    because they belong to no sequence.
    """
    form = form_of(old)

    @cache
    def rows(ndim: int) -> Any:
        """valid, to broadcast to a part of so many axes."""
        shaped: Any = np.reshape(valid, (-1, *[1] * (ndim - 1)))
        name = getattr(valid, "name", None)  # no node leads from a mask to its shape in pictures
        return shaped.named(name) if name else shaped

    def chosen(after: Any, before: Any) -> Any:
        if before is OUTPUT or (valid.ndim and not np.ndim(before)):
            return after
        if valid.ndim:
            check_rows(len(valid), np.shape(before))
        return np.where(rows(np.ndim(before)) if valid.ndim else valid, after, before)

    pairs = zip(flatten_like(form, new), flatten(form), strict=True)
    return unflatten(form, (chosen(after, before) for after, before in pairs))


class Wrapper:
    """A cell that wraps another one and has its initial state and names."""

    def __init__(self, cell: Any) -> None:
        self.cell = cell

    def __getattr__(self, name: str) -> Any:
        if name not in ("initial_state", "output", "state_names"):
            raise AttributeError(name)
        return getattr(self.cell, name)


class Padded(Wrapper):
    """A cell for sequences of different lengths: after its end a sequence keeps its state.

    A step takes {"x": x_t, "valid": booleans (batch,)}.
    """

    def __call__(self, given: Any, state: Any) -> Any:
        return frozen(given["valid"], self.cell(given["x"], state), state)


class WithoutInputs(Wrapper):
    """A wrapper for a cell without inputs: the cell gets None as its input."""

    def __call__(self, nothing: Any, state: Any) -> Any:
        return self.cell(None, state)
