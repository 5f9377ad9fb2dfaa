"""A cell together with the loss at each of its steps: what `BPTT` compiles."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tinygrad_rnn.recurrent.arguments import check_cell
from tinygrad_rnn.recurrent.lengths import frozen
from tinygrad_rnn.recurrent.names import declared, templates


class CellWithLoss:
    """A cell with inputs {"x": x_t, "y": y_t} and the state (state of the cell, loss at the step).

    The loss is an output, which no step reads. So the compiler moves output layer and loss out of
    the loop, and no truncation cuts them. For sequences of different lengths a step also takes
    "valid": the sequences that have this step.

    >>> import numpy as np, tinygrad_rnn as tg
    >>> from tinygrad_rnn.training.cell_with_loss import CellWithLoss
    >>> model = CellWithLoss(tg.RNNCell(3, 4, rng=0), tg.mse)
    >>> (states, losses), last = tg.scan(model, {"x": np.ones((5, 2, 3)), "y": np.ones((5, 2, 4))})
    >>> states.shape, losses.shape
    ((5, 2, 4), (5,))
    """

    def __init__(self, cell: Callable[[Any, Any], Any], loss: Callable[[Any, Any], Any]) -> None:
        check_cell(cell)
        if not callable(loss):
            raise TypeError(
                f"the loss must be a function loss(output, target), but its type is "
                f"{type(loss).__name__}"
            )
        self.cell, self.loss = cell, loss

    def __call__(self, given: Any, state: Any) -> Any:
        new = self.cell(given["x"], state[0])
        if "valid" in given:
            new = frozen(given["valid"], new, state[0])
        loss = self.loss(self.output(new), given["y"])
        if not hasattr(loss, "dtype"):
            raise TypeError(
                f"the loss must return one number, or one for each sequence, computed from the "
                f"output by NumPy's functions, but it returned {loss!r}"
            )
        return new, loss

    def output(self, state: Any) -> Any:
        """The argument of the loss: the cell's `output` of the state, or else the whole state."""
        output = getattr(self.cell, "output", None)
        return state if output is None else output(state)

    def state_names(self, state: Any) -> Any:
        """The cell's own names for its state, and l_t for the loss."""
        named = declared(self.cell, state[0])
        return templates(state[0]) if named is None else named, "l_{t}"

    def initial_state(self, batch_size: int) -> Any:
        """The cell's initial state, and None for the loss; TypeError if the cell has none."""
        make = getattr(self.cell, "initial_state", None)
        if make is None:
            raise TypeError(
                f"{getattr(self.cell, '__name__', self.cell)} has no initial_state(batch_size), so "
                f"pass the initial state: bptt(xs, targets, state)"
            )
        return make(batch_size), None
