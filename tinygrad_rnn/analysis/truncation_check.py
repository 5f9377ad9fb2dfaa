"""Check truncated gradients against differences, with the cut states held constant."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from tinygrad_rnn.analysis.differences import compare, too_coarse
from tinygrad_rnn.engine.gradients import gradients
from tinygrad_rnn.engine.recording import no_grad
from tinygrad_rnn.engine.substitution import substituted
from tinygrad_rnn.engine.tensor import Tensor, tracked
from tinygrad_rnn.engine.trees import flatten
from tinygrad_rnn.recurrent.arguments import checked, length
from tinygrad_rnn.recurrent.parameters import parameters as reached
from tinygrad_rnn.recurrent.state import link, map_state, per_row
from tinygrad_rnn.recurrent.truncation import Truncation
from tinygrad_rnn.recurrent.unroll import Unroller


def check_truncated_gradients(
    loss: Callable[[list[Any]], Tensor],
    cell: Callable[[Any, Any], Any],
    xs: Any,
    state: Any = None,
    truncation: Truncation | None = None,
    parameters: dict[str, Tensor] | None = None,
) -> None:
    """Compare the gradients of a truncated loss with central differences of it.

    loss: a function from the list of states that `unroll` returns to one number.
    cell, xs, state, truncation: as for `unroll`.
    parameters: the Tensors to differentiate by, by name; None takes those that the cell reaches.
    Raises TypeError below float64; AssertionError, with the parameter, the entry and both numbers,
    if they differ.

    A truncated gradient is not the gradient of the loss, so plain differences disagree with it.
    But it is the gradient of another function: the loss in which h̄ + ξ (h − h̄) replaces each
    state h that goes through a link ξ. Here h̄ is the value of h at the point of differentiation,
    held constant. For ξ = 0 the cut state is a constant, and for ξ = 1 the function is the loss
    itself. Random links are drawn once and kept.

    >>> import numpy as np, tinygrad_rnn as tg
    >>> cell = tg.RNNCell(2, 3, rng=0)
    >>> xs = np.random.default_rng(0).normal(size=(6, 1, 2))
    >>> loss = lambda states: sum(np.sum(h * h) for h in states)
    >>> tg.check_truncated_gradients(loss, cell, xs, truncation=tg.Window(2))
    """
    truncation = checked(truncation).fixed(length(xs))
    parameters = reached(cell) if parameters is None else parameters
    for name, parameter in parameters.items():
        if parameter.dtype != np.float64:
            raise too_coarse(name, parameter.dtype)

    constants: list[Any] = []

    def remember(h: Any, factor: Any) -> Any:
        constants.append(map_state(lambda part: np.array(part.data), h))
        return link(h, factor)

    states, _ = Unroller(cell, xs, state, None, remember).unrolled(truncation)
    found = gradients(loss(states), list(parameters.values()))

    def frozen_loss() -> float:
        replay = Replay(iter(constants))
        with no_grad():
            states, _ = Unroller(cell, xs, state, None, replay).unrolled(truncation)
            return float(loss(states).item())

    for (name, parameter), gradient in zip(parameters.items(), found, strict=True):
        point = parameter._data

        def value_at(moved: Any, parameter: Tensor = parameter) -> float:
            with substituted([parameter], [tracked(moved, parameter.node)]):
                return frozen_loss()

        def label(where: str, name: str = name) -> str:
            return f"the gradient by {name}, {where}, under {truncation!r}"

        compare(gradient, value_at, point, label, np.random.default_rng(0))


class Replay:
    """A link with the states of an earlier run as constants: h̄ + ξ (h − h̄)."""

    def __init__(self, constants: Iterator[Any]) -> None:
        self.constants = constants

    def __call__(self, state: Any, factor: Any) -> Any:
        parts = iter(flatten(next(self.constants)))
        return map_state(lambda h: self._linked(h, next(parts), factor), state)

    @staticmethod
    def _linked(h: Any, constant: Any, factor: Any) -> Any:
        if np.ndim(factor):  # a single number belongs to no sequence
            factor = per_row(factor, h) if np.ndim(h) else 1.0
        return constant + factor * (h - constant)
