"""The arguments `steps`, `reverse` and `lengths` of `unroll` and `scan`.

The inputs are brought into the order of the run before the cell runs. The states are brought back
into the caller's order afterwards."""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np

from tinygrad_rnn.engine.graph import Array
from tinygrad_rnn.engine.trees import flatten, unflatten
from tinygrad_rnn.recurrent.arguments import check_resets
from tinygrad_rnn.recurrent.lengths import (
    Padded,
    WithoutInputs,
    batch_of,
    beside,
    last_valid,
    taken,
    valid_steps,
)
from tinygrad_rnn.recurrent.state import form_of, has_outputs, map_state
from tinygrad_rnn.recurrent.truncation import Full, Truncation


class Order:
    """The arguments of a run, rewritten for a plain run from the first step to the last.

    `results` does the run and brings the states into the caller's order.

    A cell without inputs gets None. A sequence that ends early is run over its own steps, reversed
    or not, and then keeps its state. Its states are those of a run of this sequence alone.
    """

    def __init__(
        self,
        cell: Any,
        xs: Any,
        state: Any,
        reset: Any,
        steps: int | None,
        reverse: bool,
        lengths: Any,
    ) -> None:
        if steps is not None:
            if xs is not None or state is None:
                raise TypeError(
                    "steps=T is for a system without inputs: pass None as xs, and the initial "
                    "state, which says how many sequences there are"
                )
            if operator.index(steps) < 0:
                raise ValueError(f"steps must be at least 0, not {steps}")
            cell, xs = WithoutInputs(cell), np.zeros((steps, 0))
        T = count(xs)
        batch = None if lengths is None or steps is not None else batch_of(xs)
        valid = valid_steps(lengths, None, T, batch)
        self.back: Any = None  # the index that brings the states back
        self.ends: Any = None  # that of the last step of each sequence
        self.reverse = reverse
        if valid is not None and T:
            ends = np.sum(valid, axis=0)
            t, sequences = np.arange(T)[:, None], np.arange(valid.shape[1])
            there, rows = last_valid(valid)
            if reverse:
                there = np.where(valid[:, rows], ends[rows] - 1 - t, 0)
                self.back = np.where(valid, ends - 1 - t, np.maximum(ends - 1, 0)), sequences
            else:
                self.back = np.minimum(t, np.maximum(ends - 1, 0)), sequences
            self.ends = np.maximum(ends - 1, 0), sequences
            if reset is not None:
                reset = np.broadcast_to(rows_of(reset, valid.shape), valid.shape)
                reset = reset[there, sequences] & valid
            cell, xs = Padded(cell), {"x": taken(xs, (there, rows)), "valid": beside(valid, xs)}
        elif reverse:
            xs = backwards(xs)
            reset = None if reset is None else np.atleast_1d(reset)[::-1]
        self.cell, self.xs, self.state, self.reset = cell, xs, state, reset

    def results(
        self,
        run: Callable[[Any, Any, Any], tuple[Any, Any]],
        truncation: Truncation | None,
        stacked: bool,
    ) -> tuple[Any, Any]:
        """The result of a run in the caller's order: the states of all steps, and the last state.

        run: the run, a function of cell, inputs and resets. It returns the states stacked, or as a
        list, or None, and the last one. truncation: the truncation of the run.
        """
        states, last = run(self.cell, self.xs, self.reset)
        if self.back is None:
            if self.reverse and states is not None:
                turn = partial(map_state, backwards) if stacked else backwards
                states = turn(states)
            return states, last
        # After its end a sequence shows its state at the end, so gradients flow into that state.
        # The state that was handed on has the same values, but truncation may have cut it.
        whole = truncation is None or isinstance(truncation, Full)
        simple = whole and not self._has_outputs()
        if simple and (states is None or not self.reverse):
            return states, last
        if states is None:
            raise ValueError(
                'outputs="last" does not work with lengths where there is a truncation or the '
                'state has outputs: use outputs="all"'
            )
        if not stacked:
            stacks = [np.stack(parts) for parts in zip(*map(flatten, states), strict=True)]
            index, sequences = self.back
            states = [
                unflatten(states[0], (at(part, (index[t], sequences), t) for part in stacks))
                for t in range(len(states))
            ]
        else:
            stacks = flatten(states)
            states = map_state(lambda part: at(part, self.back, slice(None)), states)
        return states, unflatten(last, (at(part, self.ends, -1) for part in stacks))

    def _has_outputs(self) -> bool:
        state = self.cell.initial_state(1) if self.state is None else self.state
        return has_outputs(form_of(state))


def at(states: Any, index: tuple[Array, Array], otherwise: Any) -> Any:
    """The stacked states at an index. A part without a batch axis is indexed by `otherwise`."""
    if states.ndim == 1:
        return states[otherwise]
    return states[tuple(beside(part, states) for part in index)]


def count(xs: Any) -> int:
    """T, the number of steps of a nesting of sequences. The run itself refuses other inputs, so
    here they have no steps."""
    if isinstance(xs, dict) and xs:
        return count(next(iter(xs.values())))
    return len(xs) if is_sequence(xs) else 0


def is_sequence(xs: Any) -> bool:
    return isinstance(xs, Sequence) or np.ndim(xs) > 0


def backwards(xs: Any) -> Any:
    """The sequence, or the dict of sequences, in reversed order."""
    if isinstance(xs, dict):
        return {key: backwards(part) for key, part in xs.items()}
    return xs[::-1] if is_sequence(xs) else xs


def rows_of(reset: Any, shape: tuple[int, ...]) -> Array:
    """The resets in the shape (T, batch) or (T, 1); ValueError if they do not fit (T, batch)."""
    rows = np.asarray(reset)
    check_resets(rows, shape[0], shape[1:])
    return rows if rows.ndim > 1 else rows[:, None]
