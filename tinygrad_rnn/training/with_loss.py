"""A cell together with the loss at each of its steps."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from tinygrad_rnn.engine.tensor import Tensor
from tinygrad_rnn.engine.trees import flatten, unflatten
from tinygrad_rnn.recurrent.names import names_of
from tinygrad_rnn.recurrent.stacked import output_of


class WithLoss:
    """A cell that also takes a label, and has the loss at the step as a second part of its state.

        h_t = cell(x_t, h_{t−1}),   l_t = loss(h_t, y_t)

    cell: any cell with an `initial_state`. loss: a function of what the cell gives out, h_t, and
        the label y_t that returns one number, such as the mean over the batch.
    A step takes the dict {"x": x_t, "y": y_t}, so a sequence is {"x": xs, "y": labels}; the state
    is the pair of the cell's state and l_t. No step reads the loss before it, so `scan` takes
    output layer and loss out of the loop, as products over all steps; and no truncation cuts it.

    Chapter "Backpropagation Through Time": o_t = g(h_t, w_o), L = 1/T Σ_t l(y_t, o_t).

    >>> import numpy as np, tinygrad_rnn as tg
    >>> cell = tg.RNNCell(3, 4, rng=0)
    >>> W_hq = tg.Tensor(np.ones((4, 2)), requires_grad=True)
    >>> model = tg.WithLoss(cell, lambda h, y: tg.cross_entropy(h @ W_hq, y))
    >>> sequence = {"x": np.ones((5, 2, 3)), "y": np.zeros((5, 2), int)}
    >>> (states, losses), last = tg.scan(model, sequence)
    >>> np.mean(losses).backward()
    >>> states.shape, losses.shape, W_hq.grad.shape
    ((5, 2, 4), (5,), (4, 2))
    """

    def __init__(self, cell: Any, loss: Callable[[Any, Any], Any]) -> None:
        self.cell, self.loss = cell, loss

    def __call__(self, given: Any, state: Any) -> Any:
        if not isinstance(given, dict) or given.keys() != {"x", "y"}:
            raise TypeError(
                f'a step takes {{"x": x_t, "y": y_t}}, so the sequence is '
                f'{{"x": xs, "y": labels}}, but a step got {describe(given)}'
            )
        if not isinstance(state, (tuple, list)) or len(state) != 2:
            raise TypeError(
                f"the state is the pair of the cell's state and the loss, as initial_state(batch) "
                f"gives it, but it is {describe(state)}"
            )
        h = self.cell(given["x"], state[0])
        return h, self.loss(output_of(self.cell, h), given["y"])

    @property
    def state_names(self) -> Any:
        """Those of the cell, and l_t."""
        inner = self.cell.initial_state(1)
        names = ("{t}".join(parts) for parts in names_of(self.cell, inner))
        return unflatten(inner, names), "l_{t}"

    def initial_state(self, batch_size: int) -> Any:
        """The cell's own, and a loss of zero; TypeError for a cell that has none."""
        if not hasattr(self.cell, "initial_state"):
            raise TypeError(
                f"{getattr(self.cell, '__name__', self.cell)} has no initial_state(batch_size), so "
                f"the sequence needs the state to begin with: the pair of the cell's state and 0.0"
            )
        state = self.cell.initial_state(batch_size)
        return state, no_loss((state if type(state) is Tensor else flatten(state)[0]).dtype)

    def output(self, state: Any) -> Any:
        """What a layer above sees of the state: that of the cell."""
        return output_of(self.cell, state[0])

    def parameters(self) -> dict[str, Tensor]:
        """The cell's; those of the loss are with whoever made it."""
        return dict(getattr(self.cell, "parameters", dict)())

    def __repr__(self) -> str:
        return f"WithLoss({self.cell!r})"


@functools.lru_cache
def no_loss(dtype: Any) -> Tensor:
    """What stands for the loss before the first step; no step reads it."""
    return Tensor(dtype.type(0), name="l_0")


def describe(given: Any) -> str:
    """What was given in place of a dict or a pair."""
    if isinstance(given, dict):
        return f"a dict with {', '.join(map(repr, given)) or 'nothing in it'}"
    if isinstance(given, (tuple, list)):
        return f"a {type(given).__name__} of {len(given)}"
    return f"one {type(given).__name__} of shape {np.shape(given)}"
