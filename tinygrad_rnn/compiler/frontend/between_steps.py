"""What happens to the state between two steps: links and resets, as further inputs of the cell."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from tinygrad_rnn.derivatives.functions import scale_gradient
from tinygrad_rnn.recurrent.arguments import restarts_of
from tinygrad_rnn.recurrent.state import by_rows, check_rows, has_numbers, map_state, zero_rows
from tinygrad_rnn.recurrent.truncation import Full, Links, Truncation, Windows


def between_steps(
    cell: Callable[..., Any],
    truncation: Truncation,
    reset: Any,
    T: int,
    inputs: list[Any],
    states: list[Any],
) -> tuple[tuple[str, ...], list[Any], Callable[..., Any]]:
    """The links and resets of a run: their names, their values for all steps, and a cell that takes
    them with its input.

    inputs, states: the parts of the inputs and of the initial state. Without links and resets the
    cell is the given one.
    """
    extras: list[str] = []
    further: list[Any] = []
    known = [h for h in states if h is not None]
    alone = has_numbers(known)
    if isinstance(truncation, Links) and not isinstance(truncation, Full):
        xi = np.asarray(truncation.links(T))
        xi = xi if alone else for_all(xi)
        if not (xi == 1).all():
            extras.append("xi")
            floats = [h.dtype for h in known if h.dtype.kind == "f"]
            further.append(xi.astype(floats[0] if floats else np.float64))
    if reset is not None:
        first = [part[t] for part in inputs[:1] for t in range(T)] or [None] * T
        rows = restarts_of(reset, first)
        rows = rows if alone else for_all(rows)
        if rows.any():
            extras.append("restart")
            further.append(rows)

    def step_cell(given: Any, state: Any) -> Any:
        x, *rest = given
        following = iter(rest)
        if "xi" in extras:
            state = changed(scale_gradient, next(following), state)
        if "restart" in extras:
            state = changed(zero_rows, next(following), state)
        return cell(x, state)

    return tuple(extras), further, step_cell if extras else cell


def check_reach(truncation: Truncation | None, states: list[Any]) -> None:
    """Raise ValueError if windows have a reach for each sequence of another batch size."""
    reach = np.shape(truncation.earliest(0)) if isinstance(truncation, Windows) else ()
    for h in states:
        if reach and h is not None and h.ndim:
            check_rows(reach[0], h.shape)


def for_all(values: Any) -> Any:
    """One value for each step, (T,), where the values of its sequences, (T, batch), are all
    equal."""
    if values.ndim == 2 and values.shape[1] and (values == values[:, :1]).all():
        return values[:, 0]
    return values


def changed(change: Callable[[Any, Any], Any], values: Any, state: Any) -> Any:
    """The state with each part changed by one value for all sequences, or by one per sequence."""
    if values.ndim == 0:
        return map_state(lambda h: change(h, values), state)
    return by_rows(change, values, state)
