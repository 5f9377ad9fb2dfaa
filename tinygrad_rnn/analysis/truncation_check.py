"""Checking truncated gradients against differences, which needs the cut states held constant."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from tinygrad_rnn.analysis.gradient_check import directions
from tinygrad_rnn.engine.gradients import gradients
from tinygrad_rnn.engine.recording import no_grad
from tinygrad_rnn.engine.tensor import Tensor
from tinygrad_rnn.engine.trees import flatten
from tinygrad_rnn.recurrent.state import link, map_state, per_row
from tinygrad_rnn.recurrent.truncation import Truncation
from tinygrad_rnn.recurrent.unroll import Run, checked, length


def check_truncated_gradients(
    loss: Callable[[list[Any]], Tensor],
    cell: Callable[[Any, Any], Any],
    xs: Any,
    state: Any = None,
    truncation: Truncation | None = None,
    parameters: dict[str, Tensor] | None = None,
    step: float = 1e-5,
    tolerance: float = 1e-6,
) -> None:
    """Compare the gradients of a truncated loss with central differences of it.

    loss: from the list of states that `unroll` returns to one number.
    cell, xs, state, truncation: as for `unroll`.
    parameters: what to differentiate by, by name; None takes those of the cell.
    step: half of the difference's width, for entries of size 1.
    tolerance: the largest relative difference (absolute, below 1).
    Raises TypeError below float64; AssertionError with the parameter, the entry and both numbers
    where they differ.

    A truncated gradient is not the gradient of the loss, so plain differences disagree with it.
    But it is the gradient of *something*: of the loss in which a state h that goes through a link
    ξ is h̄ + ξ (h − h̄), h̄ being its value at the point where one differentiates, held constant.
    For ξ = 0 that is the cut state as a constant, for ξ = 1 the loss itself. Random links are
    drawn once and kept.

    >>> import numpy as np, tinygrad_rnn as tg
    >>> cell = tg.RNNCell(2, 3, rng=0)
    >>> xs = np.random.default_rng(0).normal(size=(6, 1, 2))
    >>> loss = lambda states: sum(np.sum(h * h) for h in states)
    >>> tg.check_truncated_gradients(loss, cell, xs, truncation=tg.Window(2))
    """
    truncation = checked(truncation).fixed(length(xs))
    parameters = cell.parameters() if parameters is None else parameters  # type: ignore[attr-defined]
    for name, parameter in parameters.items():
        if parameter.dtype != np.float64:
            raise TypeError(
                f"{name} is {parameter.dtype}, and differences of less than float64 are too coarse "
                f"to check a gradient"
            )

    constants: list[Any] = []

    def remember(h: Any, factor: Any) -> Any:
        constants.append(map_state(lambda part: np.array(part.data), h))
        return link(h, factor)

    states, _ = Run(cell, xs, state, None, remember).unrolled(truncation)
    found = gradients(loss(states), list(parameters.values()))

    def frozen_loss() -> float:
        replay = Replay(iter(constants))
        with no_grad():
            return float(loss(Run(cell, xs, state, None, replay).unrolled(truncation)[0]).item())

    value = frozen_loss()
    for (name, parameter), gradient in zip(parameters.items(), found, strict=True):
        point = parameter._data
        for where, direction in directions(point, np.random.default_rng(0)):
            width = step * max(1.0, float(np.max(np.abs(point * (direction != 0)))))
            try:
                parameter.data = point + width * direction
                above = frozen_loss()
                parameter.data = point - width * direction
                below = frozen_loss()
            finally:
                parameter.data = point
            difference = (above - below) / (2 * width)
            expected = float(np.sum(gradient * direction))
            rounding = 8 * np.finfo(np.float64).eps * abs(value) / width
            if not abs(expected - difference) <= tolerance * max(1, abs(difference)) + rounding:
                raise AssertionError(
                    f"the gradient by {name}, {where}, under {truncation!r}, is {expected:.10g} by "
                    f"differentiation but {difference:.10g} by differences"
                )


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
