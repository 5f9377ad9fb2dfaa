"""Unrolling: run the cell step by step, and record one node per operation."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, TypeVar, overload

import numpy as np

from tinygrad_rnn.engine.recording import Mark, current_mark, scope, set_mark
from tinygrad_rnn.engine.tensor import Tensor
from tinygrad_rnn.engine.trees import flatten, flatten_like, unflatten
from tinygrad_rnn.recurrent.arguments import (
    check_cell,
    check_first_step,
    checked,
    initial_state,
    inputs_of,
    length,
    of_numbers,
    restarts_of,
)
from tinygrad_rnn.recurrent.names import following, name, names_of, without_step
from tinygrad_rnn.recurrent.order import Order
from tinygrad_rnn.recurrent.state import (
    as_entered,
    form_of,
    has_numbers,
    has_outputs,
    link,
    map_state,
    reset as reset_state,
)
from tinygrad_rnn.recurrent.truncation import Links, Truncation, Windows
from tinygrad_rnn.support.collector import without_collection
from tinygrad_rnn.support.memory import keep_freed_memory

State = TypeVar("State")
"""An array or a Tensor, or a nesting of them: the inputs and states of cells."""


@overload
def unroll(
    cell: Callable[[Any, State], State],
    xs: Any = None,
    state: Any = None,
    truncation: Truncation | None = None,
    reset: Any = None,
    *,
    reverse: bool = False,
    lengths: Any = None,
    steps: int | None = None,
    stacked: Literal[False] = False,
) -> tuple[list[State], State]: ...
@overload
def unroll(
    cell: Callable[[Any, State], State],
    xs: Any = None,
    state: Any = None,
    truncation: Truncation | None = None,
    reset: Any = None,
    *,
    reverse: bool = False,
    lengths: Any = None,
    steps: int | None = None,
    stacked: Literal[True],
) -> tuple[State, State]: ...
def unroll(
    cell: Callable[[Any, Any], Any],
    xs: Any = None,
    state: Any = None,
    truncation: Truncation | None = None,
    reset: Any = None,
    *,
    reverse: bool = False,
    lengths: Any = None,
    steps: int | None = None,
    stacked: bool = False,
) -> tuple[Any, Any]:
    """Run the cell over a sequence: h_t = cell(x_t, h_{t−1}) for every step.

    cell: any function `(x, state) -> state`, whose state may be an array, or tuples, lists and
        dicts of them.
    xs: the inputs, (T, batch, input): an array, a Tensor, or a list of T of them. If a step takes
        several inputs, such as input and label, xs is a dict of sequences; the cell gets a dict.
    state: the initial state; None calls `cell.initial_state(batch)`. A part that is None is an
        output: the cell returns it, and no step reads it.
    truncation: how far the gradient of each loss goes back; None is `Full()`. The loss at step t
        is the one computed from `states[t]`.
    reset: booleans (T, batch): before step t, these sequences begin anew with a state of zeros.
    reverse: run from the last step to the first. `states[t]` is the state after the input of step
        t. Resets, truncation and the last state follow the order of the run.
    lengths: the number of steps of each sequence, (batch,). After its end a sequence keeps its
        state, and its inputs are ignored. In a reversed run it begins at its own end.
    steps: T, in place of xs, for a system without inputs: the cell gets None.
    stacked: return the states as `scan` does: in place of the list one Tensor (T, batch, hidden),
        or one for each part of the state.
    Returns the list of the T states, and the last state.
    Raises ValueError or TypeError, with the shapes, if the arguments do not fit.

    Strategies with weights on links (`Full`, `Subsequence`, `Randomized`) need one chain of states.
    For windows (`Window`, `TBPTT`) the window of every loss is run again from a constant state. So
    `states[t]` depends on the steps f(t)..t and on no others, as the definition says.

    The input projection of a built-in cell depends on no state. `unroll(cell.advance,
    cell.project(xs))` records it as one product for all steps, which saves a third of the nodes.

    Inputs and states have the textbook's names in pictures: x_1, h_1, ...; h_t and c_t for an LSTM;
    h_t^(1), h_t^(2) for layers and for the parts of a list; h_t^a, h_t^b for the parts of a tuple;
    `key_t` for a dict. A state that the cell has named keeps its name. In a reversed run x_T comes
    first, and h_t follows h_{t+1}.

    >>> import numpy as np, tinygrad_rnn as tg
    >>> cell = tg.RNNCell(3, 4, rng=0)
    >>> states, last = tg.unroll(cell, np.ones((5, 2, 3)), truncation=tg.Subsequence(2))
    >>> len(states), last.shape, last.name
    (5, (2, 4), 'h_5')
    """
    keep_freed_memory()
    truncation = checked(truncation)

    turned = reverse and lengths is None

    def run(cell: Any, xs: Any, reset: Any) -> tuple[Any, Any]:
        whole = Unroller(cell, xs, state, reset, turned=turned)
        states, last = whole.unrolled(truncation)
        return (whole.stack(states) if stacked else states), last

    if steps is None and not reverse and lengths is None:
        return without_collection(lambda: run(cell, xs, reset))
    order = Order(cell, xs, state, reset, steps, reverse, lengths)
    return without_collection(lambda: order.results(run, truncation, stacked))


def groups(truncation: Windows, T: int) -> list[tuple[int, int]]:
    """The losses with the same reach, as (first, last + 1). One run serves each group."""
    reach = [np.atleast_1d(truncation.earliest(t)).tolist() for t in range(T)]
    first = [t for t in range(T) if t == 0 or reach[t] != reach[t - 1]]
    return list(zip(first, [*first[1:], T], strict=False))


def cuts(f: Any, start: int, last: int) -> Any:
    """ξ for a run over the steps start..last−1 of a window with reach f.

    There are links to cut only if the sequences of the batch have different reaches."""
    if np.ndim(f) == 0:
        return np.ones(last - start)
    return np.where(np.arange(start, last)[:, None] == f, 0.0, 1.0)


class Unroller:
    """A cell with its inputs, ready to be run over any range of steps.

    link: the function that gives the state as the next step sees it through a link ξ.
    turned: the inputs are in reversed order, so names count down from x_T and h_T.
    """

    def __init__(
        self,
        cell: Any,
        xs: Any,
        state: Any,
        reset: Any,
        link: Callable[[Any, Any], Any] = link,
        turned: bool = False,
    ) -> None:
        check_cell(cell)
        self.cell, self.link = cell, link
        xs = of_numbers(xs)
        T = length(xs)
        self.mark, self.marks = current_mark(), marks(0, T)
        self.numbers = range(T, 0, -1) if turned else range(1, T + 1)
        self.inputs = inputs_of(cell, xs, self.marks, self.numbers)
        self.state = initial_state(cell, state, self.inputs)
        self.restarts = restarts_of(reset, self.inputs)
        self.form = form_of(self.state)
        self.names = following(self.form, names_of(cell, self.form))
        self.outputs = has_outputs(self.form)
        self.has_numbers = self.restarts is not None and has_numbers(flatten(self.state))

    def unrolled(self, truncation: Truncation) -> tuple[list[Any], Any]:
        """The states of all steps, as the losses at these steps see them, and the last state."""
        T = len(self.inputs)
        truncation = truncation.fixed(T)
        if isinstance(truncation, Links):
            states = self(0, T, self.state, truncation.links(T))
            return states, states[-1] if states else self.state
        assert isinstance(truncation, Windows)
        states = []
        for first, last in groups(truncation, T):
            f = truncation.earliest(first)
            start = int(np.min(f))
            entering = self.link(self.entered(states[start - 1]), 0.0) if start else self.state
            with scope(f"window {len(states) + 1}"):
                window = self(start, last, entering, cuts(f, start, last))
            states += window[first - start :]
        return states, states[-1] if states else self.state

    def stack(self, states: list[Any]) -> Any:
        """The states of all steps, stacked and named as `scan` does."""
        if not states:
            return map_state(lambda h: Tensor(np.zeros((0, *h.shape), h.dtype)), self.state)
        in_order = [flatten_like(self.form, state) for state in states]
        parts: list[Any] = [np.stack(part) for part in zip(*in_order, strict=True)]
        for part, label in zip(parts, self.names, strict=True):
            if isinstance(part, Tensor) and current_mark() is not None:
                part.named(without_step(label))
        return unflatten(self.form, iter(parts))

    def entered(self, state: Any) -> Any:
        """The part of a state that the next step reads."""
        return as_entered(self.form, state) if self.outputs else state

    def __call__(self, first: int, last: int, state: Any, xi: Any) -> list[Any]:
        """The states of the steps first..last−1; ξ of a step scales the link that enters it."""
        cell, inputs, restarts, link = self.cell, self.inputs, self.restarts, self.link
        names = self.names
        head, tail = names[0] if names else ("", "")
        before = current_mark()
        under = self.marks[first:last] if before is self.mark else marks(first, last)
        factors: list[Any] = [None] * len(xi)
        if not (xi == 1).all():
            factors = [None if np.all(factor == 1) else factor for factor in xi]
        numbers = self.numbers[first:last]
        states = []
        try:
            for t, n, mark, factor in zip(range(first, last), numbers, under, factors, strict=True):
                if mark is not None:  # changing it costs a fortieth of a small step
                    set_mark(mark)
                if t > first and factor is not None:
                    state = link(state, factor)
                if restarts is not None and restarts[t].any():
                    whole = restarts[t].all() and (restarts.ndim == 1 or not self.has_numbers)
                    state = reset_state(state, None if whole else restarts[t])
                entered, state = state, cell(inputs[t], state)
                if t == 0:
                    check_first_step(entered, state)
                if type(state) is Tensor and (node := state._node) is not None:  # the usual one
                    if node.name is None:
                        node.name = f"{head}{n}{tail}"
                elif mark is not None:
                    name(flatten_like(self.form, state), names, n)
                returned = state
                if self.outputs:
                    state = self.entered(state)
                states.append(returned)
        finally:
            set_mark(before)
        return states


def marks(first: int, last: int) -> list[Mark | None]:
    """The marks under which the steps first..last−1 are recorded; None if nothing is recorded."""
    mark = current_mark()
    if mark is None:
        return [None] * (last - first)
    scope, watch = mark.scope, mark.watch
    return [Mark(t, scope, watch) for t in range(first, last)]
