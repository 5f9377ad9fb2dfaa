"""A bidirectional layer: one cell reads the sequence forward, and another one backward."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from tinygrad_rnn.compiler.runtime.scan import scan
from tinygrad_rnn.engine.tensor import Tensor
from tinygrad_rnn.recurrent.parameters import parameters
from tinygrad_rnn.recurrent.stacked import output_of
from tinygrad_rnn.recurrent.truncation import Truncation


class Bidirectional:
    """Two cells over one sequence, in both directions, with their outputs side by side.

        o_t = [h_t, g_t],   h_t = forward(x_t, h_{t−1}),   g_t = backward(x_t, g_{t+1})

    forward, backward: two cells.
    run: `scan`, or `unroll` to record every step in the graph.
    Called as `outputs, last = layer(xs)`. It takes `state` (a pair, or None), `truncation`, `reset`
    and `lengths` as `scan` does. It returns the outputs, (T, batch, 2·hidden), and the pair of the
    last states. The last state of the backward cell is the one after the first step.

    It is a layer and not a cell, because it needs the whole sequence. To stack several layers, call
    one after the other.

    Schuster & Paliwal (1997), "Bidirectional Recurrent Neural Networks".

    >>> import numpy as np, tinygrad_rnn as tg
    >>> layer = tg.Bidirectional(tg.GRUCell(3, 4, rng=0), tg.GRUCell(3, 4, rng=1))
    >>> outputs, (last, first) = layer(np.ones((5, 2, 3)), lengths=[5, 3])
    >>> outputs.shape, last.shape
    ((5, 2, 8), (2, 4))
    """

    def __init__(self, forward: Any, backward: Any, run: Callable[..., Any] = scan) -> None:
        self.forward, self.backward, self.run = forward, backward, run

    def __call__(
        self,
        xs: Any,
        state: Any = None,
        truncation: Truncation | None = None,
        reset: Any = None,
        lengths: Any = None,
    ) -> tuple[Any, Any]:
        before, behind = (None, None) if state is None else state
        stacked = {} if self.run is scan else {"stacked": True}
        options = {"truncation": truncation, "reset": reset, "lengths": lengths, **stacked}
        ahead, last = self.run(self.forward, xs, before, **options)
        back, first = self.run(self.backward, xs, behind, reverse=True, **options)
        outputs = output_of(self.forward, ahead), output_of(self.backward, back)
        return np.concatenate(outputs, axis=-1), (last, first)

    def parameters(self) -> dict[str, Tensor]:
        """The parameters of both cells: "forward.W_hh", "backward.W_hh", ..."""
        return parameters({"forward": self.forward, "backward": self.backward})

    def __repr__(self) -> str:
        return f"Bidirectional({self.forward!r}, {self.backward!r})"
