"""Online runs: the states of an endless sequence, one after the other, in bounded memory."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np

from tinygrad_rnn.engine.graph import Leaf, next_position
from tinygrad_rnn.engine.recording import current_mark, set_mark
from tinygrad_rnn.engine.tensor import Tensor
from tinygrad_rnn.engine.trees import flatten, flatten_like
from tinygrad_rnn.recurrent.arguments import (
    at_step,
    check_cell,
    check_first_step,
    check_rows_of_step,
    check_width,
    checked,
    initial_state,
    input_of,
    length,
    shapes_of,
)
from tinygrad_rnn.recurrent.names import name, names_of
from tinygrad_rnn.recurrent.state import (
    OUTPUT,
    as_entered,
    by_rows,
    form_of,
    link,
    map_state,
    scaled,
)
from tinygrad_rnn.recurrent.truncation import Links, Truncation, Windows, checked_reach


def stream(
    cell: Callable[[Any, Any], Any],
    xs: Iterable[Any],
    state: Any = None,
    truncation: Truncation | None = None,
) -> Iterator[Any]:
    """Run the cell over an iterable of inputs of any length, and yield the states one by one.

    cell: any function `(x, state) -> state`.
    xs: an iterable of inputs, each (batch, input). The stream takes the next input only when you
        ask for the next state. Or a dict of sequences, as for `unroll`.
    state: the initial state; None calls `cell.initial_state(batch)`.
    truncation: how far the gradient of each loss goes back; None is `Full()`. With `Full()` the
        memory grows with the sequence.
    Raises ValueError or TypeError, with the shapes, if the arguments do not fit.

    A stream has no `lengths`: all sequences of a batch are as long as the stream. For sequences of
    different lengths use `unroll` or `scan`.

    Differentiate the loss at step t before you ask for the next state. The stream then frees
    every step that no later loss can reach. If you keep no state or loss yourself, k+1 states
    are alive with `Window(k)`, at most k2 with `TBPTT(k1, k2)`, and one chunk with
    `Subsequence(k)`. With the last two you may add up the k1 new losses, or those of a chunk, and
    differentiate the sum at the last of them.
    The gradients are those of `unroll` as long as the parameters stay the same. Online learning
    changes them on the way: assign new arrays, `w.data = w.data - 0.1 * w.grad`, as the optimizers
    do. A step that is still to be differentiated then keeps the weights that it used.

    >>> import itertools, numpy as np, tinygrad_rnn as tg
    >>> cell = tg.RNNCell(3, 4, rng=0)
    >>> endless = (np.ones((2, 3)) for _ in itertools.count())
    >>> for h in itertools.islice(tg.stream(cell, endless, truncation=tg.Window(2)), 100):
    ...     np.sum(h).backward()
    >>> h.name, len(tg.tape(h))
    ('h_100', 22)
    """
    check_cell(cell)
    truncation = checked(truncation)
    if isinstance(truncation, Links):
        return _run(cell, xs, state, Linked(truncation))
    assert isinstance(truncation, Windows)
    return _run(cell, xs, state, Sliding(truncation))


def _run(cell: Any, xs: Iterable[Any], state: Any, enter: Linked | Sliding) -> Iterator[Any]:
    names: list[tuple[str, ...]] = []
    form: Any = None
    first: list[tuple[int, ...]] = []
    t = -1
    steps = (at_step(xs, n) for n in range(length(xs))) if isinstance(xs, dict) else xs
    for t, x in enumerate(steps):
        before = current_mark()
        try:
            if before is not None:
                set_mark(before.replace(step=t))
            x = input_of(x, t)
            check_width(cell, x, t)
            first = first or shapes_of(x)
            check_rows_of_step(first, x, t)
            if t == 0:
                state = initial_state(cell, state, [x])
                form = map_state(lambda part: part if part is OUTPUT else 0, form_of(state))
                names, entered = names_of(cell, form), state
            else:
                entered = enter(as_entered(form, state), t)
            since = next_position()
            state = fresh(cell(x, entered), since)
            if t == 0:
                check_first_step(entered, state)
            if before is not None:
                name(flatten_like(form, state), names, t + 1)
        finally:
            set_mark(before)
        del x, entered  # while the caller holds the state, the generator holds nothing else
        yield state
    enter.ended(t + 1)


def fresh(state: Any, since: int) -> Any:
    """The state with a new node for each part that the cell did not compute at this step.

    since: the tape position at which the step began. A later cut then cuts the link of this step
    and not the value of the caller: the state that entered, a parameter, or what was computed
    before."""

    def own(h: Any) -> Any:
        given = isinstance(h, Tensor) and (isinstance(h.node, Leaf) or h.node.position < since)
        return scaled(h, 1.0) if given else h

    return map_state(own, state)


class Linked:
    """Truncation by `Links`: the next step sees the state through a weight on the link."""

    def __init__(self, truncation: Links) -> None:
        self.truncation, self.factors = truncation, truncation.factors()

    def __call__(self, state: Any, t: int) -> Any:
        """The state of step t−1 as step t sees it."""
        return link(state, next(self.factors))

    def ended(self, T: int) -> None:
        self.truncation.ended(T)


class Sliding:
    """Truncation by `Windows`: each state is cut in place once no later loss reaches it.

    The state of step f(t)−1 is a constant for the loss at t. Step f(t) has already used this state,
    when earlier losses could still reach it. So the state is cut in place, after its use.
    """

    def __init__(self, truncation: Windows) -> None:
        self.truncation = truncation
        self.recent: deque[Any] = deque()  # what can still be cut: from step f(t) on
        self.first = 0  # the step of the first of them
        self.reach: Any = 0

    def __call__(self, state: Any, t: int) -> Any:
        """The state of step t−1 as step t sees it, after the cuts that the loss at t needs."""
        reach = checked_reach(self.truncation.earliest(t), t, self.truncation)
        if np.any(reach < self.reach):
            raise ValueError(
                f"a stream has freed the steps before {np.max(self.reach)}, but "
                f"{self.truncation!r} reaches back to step {np.min(reach)} from step {t}: use "
                f"tg.unroll or tg.scan"
            )
        self.reach = reach
        entry = Entry(state, rows=np.shape(reach))
        self.recent.append(entry)
        last = int(np.min(reach))
        for step, behind in enumerate(self.recent, self.first + 1):
            if step > np.max(reach):
                break
            behind.cut(step <= reach)
        while self.recent and self.first < last:
            self.recent.popleft()
            self.first += 1
        return entry.seen

    def ended(self, T: int) -> None:
        pass


class Entry:
    """The state of one step as the next one reads it, with a method to cut it later."""

    def __init__(self, state: Any, rows: tuple[int, ...]) -> None:
        self.state = state
        # To cut single sequences of a batch, `cut` writes into a factor on the link.
        self.factor = np.ones(rows)
        self.seen = by_rows(scaled, self.factor, state) if rows else state

    def cut(self, rows: Any) -> None:
        """Cut the gradient for these rows (or, if rows is a bool, for all of them)."""
        if np.ndim(rows):
            self.factor[rows] = 0
        if np.all(rows):
            for part in flatten(self.state):
                if isinstance(part, Tensor):
                    part.cut()
