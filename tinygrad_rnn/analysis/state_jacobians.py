"""The Jacobians of single steps, and their products over many."""

from __future__ import annotations

from collections.abc import Callable
from itertools import accumulate
from typing import Any

import numpy as np

from tinygrad_rnn.engine.gradients import gradients
from tinygrad_rnn.engine.graph import Array
from tinygrad_rnn.engine.tensor import Tensor
from tinygrad_rnn.engine.trees import flatten
from tinygrad_rnn.recurrent.state import map_state
from tinygrad_rnn.recurrent.unroll import unroll


def jacobians(cell: Callable[[Any, Any], Any], xs: Any, state: Any = None) -> Array:
    """∂h_t/∂h_{t−1} for every step of a sequence.

    cell, xs, state: as for `unroll`; each part of the state must be (batch, width).
    Returns (T, batch, n, n): entry [t, b, i, j] is ∂(h_t)_i/∂(h_{t−1})_j of sequence b, with steps
    counted from 0. The parts of a state are joined to one vector: for an LSTM, n is twice the
    hidden size.
    Raises ValueError for parts of other shapes.

    Lecture "Back propagation through time", the factors of ∂h_t/∂h_{t−k}.

    >>> import numpy as np, tinygrad_rnn as tg
    >>> cell = tg.RNNCell(1, 2, nonlinearity="identity", rng=0)
    >>> J = tg.analysis.jacobians(cell, np.zeros((5, 1, 1)))
    >>> J.shape, np.allclose(J[3, 0], cell.W_hh.data.T)
    ((5, 1, 2, 2), True)
    """
    states, _ = unroll(cell, xs, state)
    if not states:
        raise ValueError("xs has no steps, so there are no Jacobians")
    first = state if state is not None else cell.initial_state(len(flatten(states[0])[0]))  # type: ignore[attr-defined]
    shapes = [np.shape(part) for part in flatten(states[0])]
    if any(len(shape) != 2 for shape in shapes):
        raise ValueError(
            f"each part of the state must have the shape (batch, width), but the shapes are "
            f"{shapes}"
        )
    batch, n = shapes[0][0], sum(width for _, width in shapes)
    # Row i of the Jacobian is the gradient of unit i. A batch of copies gives all rows at once.
    seed = np.tile(np.eye(n), (batch, 1))
    result = np.empty((len(states), batch, n, n))

    def copied(value: Any) -> Array:
        return np.repeat(value._data if isinstance(value, Tensor) else np.asarray(value), n, axis=0)

    for t, entering in enumerate([first, *states[:-1]]):
        copies = map_state(lambda h: Tensor(copied(h), requires_grad=True), entering)
        x = map_state(copied, xs[t])
        after: Any = np.concatenate(flatten(cell(x, copies)), axis=1)
        rows = np.concatenate(gradients(after, flatten(copies), seed=seed), axis=1)
        result[t] = rows.reshape(batch, n, n)
    return result


def jacobian_products(J: Array, t: int = -1) -> Array:
    """∂h_t/∂h_{t−k} = ∏_{u=0}^{k−1} ∂h_{t−u}/∂h_{t−u−1}, for k = 0, 1, ... to the initial state.

    J: (T, ..., n, n), the Jacobians of the steps. t: the step to look back from.
    Returns (t+2, ..., n, n). Entry k is the product of k Jacobians; entry 0 is the identity.

    >>> import numpy as np, tinygrad_rnn as tg
    >>> J = np.full((4, 1, 1), 0.5)
    >>> tg.analysis.jacobian_products(J).ravel()
    array([1.    , 0.5   , 0.25  , 0.125 , 0.0625])
    """
    steps = len(J)
    if not -steps <= t < steps:
        raise ValueError(f"t must lie in {-steps}..{steps - 1}, for {steps} steps, but it is {t}")
    t = range(steps)[t]
    identity = np.broadcast_to(np.eye(J.shape[-1]), J.shape[1:])
    return np.array([*accumulate(J[t::-1], np.matmul, initial=identity)])


def jacobian_norms(
    cell: Callable[[Any, Any], Any], xs: Any, state: Any = None, t: int = -1
) -> Array:
    """‖∂h_t/∂h_{t−k}‖ for k = 0, 1, ...: the largest effect of a change of h_{t−k} on h_t.

    cell, xs, state: as for `jacobians`. t: the step to look back from.
    Returns (t+2, batch): the largest singular value of each product.

    >>> import numpy as np, tinygrad_rnn as tg
    >>> cell = tg.RNNCell(1, 2, rng=0, recurrent_weights="orthogonal", nonlinearity="identity")
    >>> tg.analysis.jacobian_norms(cell, np.zeros((3, 1, 1))).ravel().round(12)
    array([1., 1., 1., 1.])
    """
    J = jacobians(cell, xs, state)
    return np.linalg.svd(jacobian_products(J, t), compute_uv=False)[..., 0]
