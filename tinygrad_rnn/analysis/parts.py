"""The parts of a summed gradient: by step, and by pair of loss and step."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from tinygrad_rnn.engine.gradients import contributions, gradients
from tinygrad_rnn.engine.graph import Array
from tinygrad_rnn.engine.tensor import Tensor
from tinygrad_rnn.engine.trees import flatten


def gradient_norms(loss: Tensor, states: Sequence[Any]) -> Array:
    """‖∂L/∂h_t‖ for every state, from the first to the last.

    loss: one number. states: the states from `unroll`; the parts of a state count as one vector.
    Returns (T,). For a loss at the last step, the reversed array is the norm over the lag.

    >>> import numpy as np, tinygrad_rnn as tg
    >>> w = tg.Tensor(0.5, requires_grad=True)
    >>> states, last = tg.unroll(lambda x, h: w * h, np.zeros(4), np.array(1.0))
    >>> tg.analysis.gradient_norms(last, states)
    array([0.125, 0.25 , 0.5  , 1.   ])
    """
    check_list("states", states)
    parts = [part for state in states for part in flatten(state)]
    squares = iter([float(np.sum(np.square(g))) for g in gradients(loss, parts)])
    return np.sqrt([sum(next(squares) for _ in flatten(state)) for state in states])


def step_contributions(loss: Tensor, tensor: Tensor, steps: int) -> Array:
    """The contribution of every step to the gradient of a tied weight: dL/dW = Σ_s entry s.

    loss: one number. tensor: the weight. steps: the number of steps.
    Returns (steps, *shape of the tensor); zeros for a step without a gradient. Uses outside any
    step, for example in an output layer computed for all steps at once, are left out.

    >>> import numpy as np, tinygrad_rnn as tg
    >>> w = tg.Tensor(0.5, requires_grad=True)
    >>> _, last = tg.unroll(lambda x, h: w * h + x, np.ones(4), np.array(0.0))
    >>> tg.analysis.step_contributions(last, w, 4)
    array([0.  , 0.25, 0.75, 1.75])
    """
    total = np.zeros((steps, *tensor.shape))
    for use in contributions(loss, tensor):
        if use.step is not None:
            total[use.step] += use.gradient
    return total


def pair_contributions(losses: Sequence[Tensor], tensor: Tensor) -> Array:
    """The norms ‖∂L_t/∂W_s‖ for every pair of the loss at step t and the use of W at step s.

    losses: the T losses, one per step. tensor: the tied weight W.
    Returns (T, T), lower triangular, with the norm for the loss at t and step s in [t, s]. With a
    truncation strategy it is zero for the pairs that the strategy cuts: compare `weights`.

    >>> import numpy as np, tinygrad_rnn as tg
    >>> w = tg.Tensor(0.5, requires_grad=True)
    >>> states, _ = tg.unroll(lambda x, h: w * h, np.zeros(3), np.array(1.0), tg.Window(1))
    >>> tg.analysis.pair_contributions(states, w)
    array([[1.  , 0.  , 0.  ],
           [0.5 , 0.5 , 0.  ],
           [0.  , 0.25, 0.25]])
    """
    check_list("losses", losses)
    T = len(losses)
    axes = tuple(range(1, tensor.ndim + 1))
    parts = [np.square(step_contributions(loss, tensor, T)).sum(axis=axes) for loss in losses]
    return np.sqrt(np.array(parts)).reshape(T, T)


def check_list(argument: str, given: Any) -> None:
    if not isinstance(given, list | tuple):
        raise TypeError(
            f"{argument} must be a list with an entry for each step, but its type is "
            f"{type(given).__name__}"
        )
