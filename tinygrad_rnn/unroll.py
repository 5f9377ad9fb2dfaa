"""Unrolling: one step after the other, one node per operation."""

from __future__ import annotations

from typing import Any

from tinygrad_rnn.functions import scale_gradient
from tinygrad_rnn.graph import scope, recording, Mark
from tinygrad_rnn.tensor import Tensor
from tinygrad_rnn.truncation import Full


def unroll(cell: Any, xs: Any, state: Any = None, truncation: Any = None) -> tuple[list[Any], Any]:
    """Run the cell over the sequence; return the list of T states and the last one."""
    truncation = truncation or Full()
    if state is None:
        state = cell.initial_state(xs.shape[1])
    states = []
    with scope("cell"):
        mark = recording.mark
        for t in range(len(xs)):
            recording.mark = mark and Mark(t, mark.scope)
            x = (
                xs[t].named(f"x_{t + 1}")
                if isinstance(xs, Tensor)
                else Tensor(xs[t], name=f"x_{t + 1}")
            )
            if t > 0:
                state = linked(state, truncation.link(t))
            state = cell(x, state).named(f"h_{t + 1}")
            states.append(state)
    return states, state


def linked(state: Any, factor: Any) -> Any:
    """The state as the next step sees it: the gradient that comes back is scaled by `factor`."""
    if factor == 1:
        return state
    return state.detach() if factor == 0 else scale_gradient(state, factor)
