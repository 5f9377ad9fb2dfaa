"""The network that the command line draws: the chapter's RNN, with an output and a loss per
step."""

from __future__ import annotations

from typing import Any

import numpy as np

import tinygrad_rnn as tg

CELLS = {"rnn": tg.RNNCell, "lstm": tg.LSTMCell, "gru": tg.GRUCell}
INPUTS, CLASSES, BATCH = 4, 4, 2


def recurrent_loss(
    steps: int = 3,
    hidden: int = 5,
    cell: str = "rnn",
    layers: int = 1,
    bias: bool = False,
    truncation: Any = None,
) -> tg.Tensor:
    """L = 1/T Σ l(o_t, y_t) with o_t = h_t W_hq, on random inputs and labels.

    steps, hidden, layers: at least 1. cell: "rnn", "lstm" or "gru".
    Raises ValueError for numbers below 1.
    Chapter "Backpropagation Through Time", section "Backpropagation Through Time in Detail".

    >>> from viz.models import recurrent_loss
    >>> recurrent_loss(steps=2).shape
    ()
    """
    for name, number in (("steps", steps), ("hidden", hidden), ("layers", layers)):
        if number < 1:
            raise ValueError(f"{name} must be at least 1, not {number}")
    rng = np.random.default_rng(0)
    kinds = [
        CELLS[cell](INPUTS if layer == 0 else hidden, hidden, bias=bias, rng=rng)
        for layer in range(layers)
    ]
    whole = kinds[0] if layers == 1 else tg.Stacked(kinds)
    W_hq = tg.Tensor(rng.normal(size=(hidden, CLASSES)), requires_grad=True, name="W_hq")
    xs = rng.normal(size=(steps, BATCH, INPUTS))
    states, _ = tg.unroll(whole, xs, truncation=truncation)
    loss: Any = 0.0
    for t, state in enumerate(states):
        o = (whole.output(state) @ W_hq).named(f"o_{t + 1}")
        y = tg.Tensor(rng.integers(0, CLASSES, BATCH), name=f"y_{t + 1}")
        loss = loss + tg.cross_entropy(o, y)
    result: tg.Tensor = (loss / steps).named("L")
    return result
