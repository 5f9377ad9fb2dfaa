"""Recurrent cells: one step of a recurrent network, with the equations of the textbook.

A cell is any function `(x, state) -> state`. The classes here add the parameters.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar, TypeAlias

import numpy as np
from numpy.typing import NDArray

from tinygrad_rnn.derivatives.functions import relu, sigmoid
from tinygrad_rnn.engine.tensor import Tensor
from tinygrad_rnn.engine.trees import flatten
from tinygrad_rnn.recurrent.gates import name_blocks
from tinygrad_rnn.recurrent.initial import recurrent, uniform
from tinygrad_rnn.recurrent.lengths import Wrapper
from tinygrad_rnn.support.describe import as_typed


def identity(x: Any) -> Any:
    """φ(x) = x, for the linear network of the chapter."""
    return x


def tanh(x: Any) -> Any:
    """`np.tanh`, asked of the Tensor itself.

    NumPy's dispatch would come to the same. It takes as long as a small `np.tanh`, which is a tenth
    of a small step.
    """
    return x.__array_ufunc__(np.tanh, "__call__", x) if type(x) is Tensor else np.tanh(x)


NONLINEARITIES: dict[str, Callable[[Any], Any]] = {
    "tanh": tanh,
    "relu": relu,
    "identity": identity,
}


ArrayOrTensor: TypeAlias = NDArray[Any] | Tensor


class Cell:
    """The base of the built-in cells: the weights of all gates side by side, a state of zeros."""

    gates: int
    """The number of blocks of width hidden_size in W_xh and W_hh, side by side."""

    biases: ClassVar[dict[str, int]]
    """The biases by name, each with its number of blocks."""

    b_h: Tensor | None

    gate_names: ClassVar[dict[str, tuple[str, ...]]] = {}
    """The names of the blocks in pictures, by parameter."""

    state_names: Any = "h_{t}"
    """The names of the parts of the state in pictures, nested like the state."""

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        rng: np.random.Generator | int | None = None,
        dtype: Any = np.float64,
        recurrent_weights: str = "uniform",
    ) -> None:
        for argument, size in (("input_size", input_size), ("hidden_size", hidden_size)):
            if not isinstance(size, int | np.integer) or size < 1:
                raise ValueError(f"{argument} must be a whole number of at least 1, not {size!r}")
        if not isinstance(bias, bool | np.bool_):
            raise TypeError(f"bias must be True or False, not {bias!r}")
        if np.dtype(dtype).kind != "f":
            raise TypeError(f"the dtype of a cell must be one of floats, not {np.dtype(dtype)}")
        rng = np.random.default_rng(rng)
        self.input_size, self.hidden_size = input_size, hidden_size
        self.recurrent_weights = recurrent_weights
        shape = (input_size, self.gates * hidden_size)
        self.W_xh = uniform(rng, shape, hidden_size, dtype, "W_xh")
        self.W_hh = recurrent(recurrent_weights, rng, hidden_size, self.gates, dtype, "W_hh")
        for name, blocks in self.biases.items():
            width = (blocks * hidden_size,)
            vector = uniform(rng, width, hidden_size, dtype, name) if bias else None
            setattr(self, name, vector)
        for name, blocks_named in self.gate_names.items():
            if (parameter := getattr(self, name)) is not None:
                name_blocks(parameter, blocks_named)

    def __call__(self, x: Any, state: Any) -> Any:
        try:
            return self.step(self._product(x), state)
        except (TypeError, ValueError) as problem:
            raise explained(problem, self, x, state) from None

    def step(self, a: Any, state: Any) -> Any:
        """One step, given the projected input: the equations of the cell."""
        raise NotImplementedError

    def project(self, x: Any) -> Any:
        """The input's share of the pre-activations: x W_xh + b_h, of one step or of all at once.

        x: (batch, input), or a whole sequence (T, batch, input); the result has the width of all
            gates in place of the input's.
        Raises ValueError, with the shapes, for an input of another width.

        The product depends on no state, so one product can serve all steps. `advance` is then the
        cell to run.

        >>> import numpy as np, tinygrad_rnn as tg
        >>> cell, xs = tg.RNNCell(3, 4, rng=0), np.ones((5, 2, 3))
        >>> states, last = tg.unroll(cell.advance, cell.project(xs))
        >>> np.allclose(last.data, tg.unroll(cell, xs)[1].data)
        True
        """
        if np.shape(x)[-1:] != (self.input_size,):
            raise ValueError(
                f"{self} takes inputs of shape (..., {self.input_size}), "
                f"but x has the shape {np.shape(x)}"
            )
        return self._product(x)

    def _product(self, x: Any) -> Any:
        a = x @ self.W_xh
        return a if self.b_h is None else a + self.b_h

    @property
    def advance(self) -> Recurrence:
        """The cell for inputs that `project` has already computed."""
        return Recurrence(self)

    def parameters(self) -> dict[str, Tensor]:
        """The parameters by name."""
        return {name: value for name, value in vars(self).items() if isinstance(value, Tensor)}

    def initial_state(self, batch_size: int) -> Any:
        """h_0 = 0, of shape (batch_size, hidden_size)."""
        return self._zeros(batch_size, "h_0")

    def output(self, state: Any) -> Any:
        """The output to the layer above: h."""
        return state

    def _zeros(self, batch_size: int, name: str) -> Tensor:
        if not isinstance(batch_size, int | np.integer):
            raise TypeError(
                f"batch_size must be a whole number, but its type is {type(batch_size).__name__}"
            )
        like = self.W_hh.data  # an array of the same library (NEP 35)
        return Tensor(np.zeros((batch_size, self.hidden_size), like.dtype, like=like), name=name)

    def _slice(self, gates: Any, n: int) -> Any:
        return gates[..., n * self.hidden_size : (n + 1) * self.hidden_size]

    def __repr__(self) -> str:
        widths = str(self.input_size), str(self.hidden_size)
        return as_typed(self, *widths, bias=self.b_h is not None, dtype=self.W_hh.dtype)


class Recurrence(Wrapper):
    """A cell without its product with the input: its inputs are the results of `project`."""

    def __init__(self, cell: Cell) -> None:
        super().__init__(cell)
        self.input_size, self.hidden_size = cell.gates * cell.hidden_size, cell.hidden_size

    def __call__(self, a: Any, state: Any) -> Any:
        try:
            return self.cell.step(a, state)
        except (TypeError, ValueError) as problem:
            raise explained(problem, self, a, state) from None

    def __repr__(self) -> str:
        return f"{self.cell!r}.advance"


def explained(problem: Exception, cell: Cell | Recurrence, x: Any, state: Any) -> Exception:
    """Turn an error from arguments that do not fit into one sentence."""
    if isinstance(x, dict | list | tuple):
        return TypeError(f"{cell} takes one array as x, but the type of x is {type(x).__name__}")
    nested = isinstance(state, tuple | list)
    if any(part is None for part in (x, *(state if nested else (state,)))):
        return TypeError(f"{cell} reads x and every part of its state, so none may be None")
    for what, part in (("x", x), *(("the state", part) for part in flatten(state))):
        if (kind := getattr(part, "dtype", np.dtype(float))).kind not in "biuf":
            return TypeError(f"{cell} takes arrays of floats, but {what} has the dtype {kind}")
    if isinstance(problem, TypeError):
        return problem
    widths = [np.shape(part)[-1:] for part in (x, *flatten(state))]
    if widths == [(cell.input_size,)] + [(cell.hidden_size,)] * (len(widths) - 1) and (
        len({np.shape(part)[:-1] for part in (x, *flatten(state))}) == 1
    ):
        return problem
    shapes = ", ".join(str(np.shape(part)) for part in flatten(state))
    return ValueError(
        f"{cell} takes x of shape (batch, {cell.input_size}) and a state of shape "
        f"(batch, {cell.hidden_size}), but x has the shape {np.shape(x)} and the state {shapes}"
    )


class RNNCell(Cell):
    """The Elman cell: h_t = φ(x_t W_xh + h_{t−1} W_hh + b_h).

    input_size, hidden_size: the widths of x_t and h_t.
    nonlinearity: φ: "tanh", "relu" or "identity" (the linear network of the chapter).
    bias: whether the cell has the bias b_h.
    rng: a NumPy Generator or a seed for the initial weights, which are uniform in
        ±1/√hidden_size, as in the common frameworks.
    dtype: the dtype of the parameters.
    recurrent_weights: the initial W_hh: "uniform", "orthogonal" or "identity".
    residual: add a skip connection: h_t = h_{t−1} + φ(...). Then ∂h_t/∂h_{t−1} = 1 + ...: one path
        of the gradient passes through no weight.
    Raises ValueError for an unknown nonlinearity or kind of weights, or shapes that do not fit.

    Elman (1990), "Finding Structure in Time".

    >>> import numpy as np, tinygrad_rnn as tg
    >>> cell = tg.RNNCell(3, 4, rng=0)
    >>> cell(np.ones((2, 3)), cell.initial_state(2)).shape
    (2, 4)
    """

    if TYPE_CHECKING:

        def __call__(self, x: Any, state: ArrayOrTensor) -> Tensor: ...

    gates = 1
    biases: ClassVar[dict[str, int]] = {"b_h": 1}

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        nonlinearity: str = "tanh",
        bias: bool = True,
        rng: np.random.Generator | int | None = None,
        dtype: Any = np.float64,
        recurrent_weights: str = "uniform",
        residual: bool = False,
    ) -> None:
        if nonlinearity not in NONLINEARITIES:
            raise ValueError(
                f"nonlinearity must be one of {', '.join(map(repr, NONLINEARITIES))}, not "
                f"{nonlinearity!r}; for another one, write the cell as a function of your own"
            )
        super().__init__(input_size, hidden_size, bias, rng, dtype, recurrent_weights)
        self.nonlinearity, self.residual = nonlinearity, residual
        self.phi = NONLINEARITIES[nonlinearity]

    def step(self, a: Any, h: Any) -> Any:
        a = a + h @ self.W_hh
        return h + self.phi(a) if self.residual else self.phi(a)


class LSTMCell(Cell):
    """Long short-term memory: the state is the pair (h, c) of hidden state and memory cell.

        i, f, g, o = x_t W_xh + h_{t−1} W_hh + b_h, in four blocks of width hidden_size
        c_t = σ(f) c_{t−1} + σ(i) tanh(g)
        h_t = σ(o) tanh(c_t)

    The arguments are those of `RNNCell`. W_xh is (input_size, 4·hidden_size). The order of the
    gates is that of the common frameworks.

    Hochreiter & Schmidhuber (1997), with the forget gate of Gers et al. (2000).

    >>> import numpy as np, tinygrad_rnn as tg
    >>> cell = tg.LSTMCell(3, 4, rng=0)
    >>> h, c = cell(np.ones((2, 3)), cell.initial_state(2))
    >>> h.shape, c.shape
    ((2, 4), (2, 4))
    """

    if TYPE_CHECKING:

        def __call__(
            self, x: Any, state: tuple[ArrayOrTensor, ArrayOrTensor]
        ) -> tuple[Tensor, Tensor]: ...

    gates = 4
    gate_names: ClassVar[dict[str, tuple[str, ...]]] = dict.fromkeys(
        ("W_xh", "W_hh", "b_h"), ("i", "f", "g", "o")
    )
    biases: ClassVar[dict[str, int]] = {"b_h": 4}
    state_names = ("h_{t}", "c_{t}")

    def step(self, a: Any, state: Any) -> Any:
        if not isinstance(state, tuple | list):
            raise TypeError(
                f"the state of an LSTMCell is a pair (h, c), as initial_state(batch_size) returns "
                f"it, but one {type(state).__name__} of shape {np.shape(state)} was given"
            )
        h, c = state
        gates = a + h @ self.W_hh
        i, f, g, o = (self._slice(gates, n) for n in range(4))
        c = sigmoid(f) * c + sigmoid(i) * tanh(g)
        return sigmoid(o) * tanh(c), c

    def initial_state(self, batch_size: int) -> Any:
        """The pair h_0 = 0, c_0 = 0, each of shape (batch_size, hidden_size)."""
        return self._zeros(batch_size, "h_0"), self._zeros(batch_size, "c_0")

    def output(self, state: Any) -> Any:
        """The output to the layer above: h."""
        return state[0]


class GRUCell(Cell):
    """The gated recurrent unit, with the reset gate after the recurrent product.

        r, z, n = x_t W_xh + b_h  and  r', z', n' = h_{t−1} W_hh, in three blocks
        ñ = tanh(n + σ(r + r') (n' + b_hn))
        h_t = (1 − σ(z + z')) ñ + σ(z + z') h_{t−1}

    The arguments are those of `RNNCell`. W_xh is (input_size, 3·hidden_size). b_hn, (hidden_size,),
    stands inside the product with the reset gate. Order and convention are those of the common
    frameworks.

    Cho et al. (2014), where the reset gate stands before the recurrent product.

    >>> import numpy as np, tinygrad_rnn as tg
    >>> cell = tg.GRUCell(3, 4, rng=0)
    >>> cell(np.ones((2, 3)), cell.initial_state(2)).shape
    (2, 4)
    """

    if TYPE_CHECKING:

        def __call__(self, x: Any, state: ArrayOrTensor) -> Tensor: ...

    gates = 3
    gate_names: ClassVar[dict[str, tuple[str, ...]]] = {
        "W_xh": ("r", "z", "n"),
        "W_hh": ("r'", "z'", "n'"),
    }
    biases: ClassVar[dict[str, int]] = {"b_h": 3, "b_hn": 1}
    b_hn: Tensor | None

    def step(self, a: Any, h: Any) -> Any:
        from_x, from_h = a, h @ self.W_hh
        r = sigmoid(self._slice(from_x, 0) + self._slice(from_h, 0))
        z = sigmoid(self._slice(from_x, 1) + self._slice(from_h, 1))
        inner = self._slice(from_h, 2)
        if self.b_hn is not None:
            inner = inner + self.b_hn
        n = tanh(self._slice(from_x, 2) + r * inner)
        return (1 - z) * n + z * h
