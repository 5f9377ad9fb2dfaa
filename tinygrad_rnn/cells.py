"""Recurrent cells: one step of a recurrent network, written as its textbook writes it.

A cell is any function `(x, state) -> state`. The classes here only carry parameters around.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from tinygrad_rnn.functions import relu
from tinygrad_rnn.tensor import Tensor

NONLINEARITIES: dict[str, Callable[[Any], Any]] = {
    "tanh": np.tanh,
    "relu": relu,
    "identity": lambda x: x,
}


class RNNCell:
    """The Elman cell: h_t = φ(x_t W_xh + h_{t−1} W_hh + b_h).

    input_size, hidden_size: the widths of x_t and h_t.
    nonlinearity: "tanh", "relu" or "identity" (the chapter's linear network).
    bias: whether there is a b_h.
    rng: a NumPy Generator or a seed for the initial weights, which are uniform in
        ±1/√hidden_size, as in the common frameworks.
    dtype: of the parameters.
    Raises ValueError for an unknown nonlinearity.

    >>> import numpy as np, tinygrad_rnn as tg
    >>> cell = tg.RNNCell(3, 4, rng=0)
    >>> cell(np.ones((2, 3)), cell.initial_state(2)).shape
    (2, 4)
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        nonlinearity: str = "tanh",
        bias: bool = True,
        rng: np.random.Generator | int | None = None,
        dtype: Any = np.float64,
    ) -> None:
        if nonlinearity not in NONLINEARITIES:
            raise ValueError(
                f"the nonlinearity {nonlinearity!r} is unknown; "
                f"there are {', '.join(NONLINEARITIES)}, and a cell can be any function of yours"
            )
        rng = np.random.default_rng(rng)
        self.input_size, self.hidden_size, self.nonlinearity = input_size, hidden_size, nonlinearity
        self.phi = NONLINEARITIES[nonlinearity]
        self.W_xh = uniform(rng, (input_size, hidden_size), hidden_size, dtype, "W_xh")
        self.W_hh = uniform(rng, (hidden_size, hidden_size), hidden_size, dtype, "W_hh")
        self.b_h = uniform(rng, (hidden_size,), hidden_size, dtype, "b_h") if bias else None

    def __call__(self, x: Any, h: Any) -> Any:
        try:
            a = x @ self.W_xh + h @ self.W_hh
        except ValueError as problem:
            raise misfit(self, x, h) from problem
        if self.b_h is not None:
            a = a + self.b_h
        return self.phi(a)

    def parameters(self) -> dict[str, Tensor]:
        named = {"W_xh": self.W_xh, "W_hh": self.W_hh, "b_h": self.b_h}
        return {name: tensor for name, tensor in named.items() if tensor is not None}

    def initial_state(self, batch_size: int) -> Tensor:
        """h_0 = 0, of shape (batch_size, hidden_size)."""
        return Tensor(np.zeros((batch_size, self.hidden_size), self.W_hh.dtype), name="h_0")


def misfit(cell: Any, x: Any, h: Any) -> ValueError:
    """One sentence for shapes that do not fit a cell."""
    return ValueError(
        f"{type(cell).__name__}({cell.input_size}, {cell.hidden_size}) takes x of shape "
        f"(batch, {cell.input_size}) and a state of shape (batch, {cell.hidden_size}), "
        f"but x has the shape {np.shape(x)} and the state {np.shape(h)}"
    )


def uniform(
    rng: np.random.Generator, shape: tuple[int, ...], fan: int, dtype: Any, name: str
) -> Tensor:
    """A parameter with entries uniform in ±1/√fan."""
    bound = 1 / np.sqrt(fan)
    return Tensor(rng.uniform(-bound, bound, shape).astype(dtype), requires_grad=True, name=name)
