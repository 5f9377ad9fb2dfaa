"""Several layers as one cell, and cells with the weights of another framework's layers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from tinygrad_rnn.engine.tensor import Tensor
from tinygrad_rnn.engine.transforms import leaves, rebuilt
from tinygrad_rnn.recurrent.cells import GRUCell, LSTMCell, RNNCell


class Stacked:
    """Layers, each fed with the output of the one below: h_t^(l) = cell_l(h_t^(l−1), h_{t−1}^(l)).

    cells: the layers, the lowest first; a state is the tuple of their states.
    Raises ValueError if there is none, or if the width of one does not fit the one above.

    Parameters and states are called after their layer, W_hh^(1), h_t^(1), from 1.

    >>> import numpy as np, tinygrad_rnn as tg
    >>> cell = tg.Stacked([tg.LSTMCell(3, 4, rng=0), tg.RNNCell(4, 5, rng=1)])
    >>> states, last = tg.unroll(cell, np.ones((6, 2, 3)))
    >>> cell.output(last).shape, cell.output(last).name
    ((2, 5), 'h_6^(2)')
    """

    def __init__(self, cells: Sequence[Any]) -> None:
        self.cells = list(cells)
        if not self.cells:
            raise ValueError("a stack needs at least one cell")
        for n, (below, above) in enumerate(zip(self.cells, self.cells[1:], strict=False), 1):
            gives, takes = getattr(below, "hidden_size", None), getattr(above, "input_size", None)
            if gives is not None and takes is not None and gives != takes:
                raise ValueError(
                    f"layer {n} gives outputs of width {gives}, "
                    f"but layer {n + 1} takes inputs of width {takes}"
                )
        self.input_size = getattr(self.cells[0], "input_size", None)
        self.hidden_size = getattr(self.cells[-1], "hidden_size", None)
        for name, parameter in self.parameters().items():
            parameter.named(name)

    @property
    def state_names(self) -> Any:
        """h_{t}^(1), ...: the layers' own names with the number of the layer."""
        names = [getattr(cell, "state_names", None) for cell in self.cells]
        if None in names:
            return None
        return tuple(
            rebuilt(nested, (f"{name}^({n})" for name in leaves(nested)))
            for n, nested in enumerate(names, 1)
        )

    def __call__(self, x: Any, states: Any) -> Any:
        new = []
        for cell, state in zip(self.cells, states, strict=True):
            state = cell(x, state)
            x = output_of(cell, state)
            new.append(state)
        return tuple(new)

    def parameters(self) -> dict[str, Tensor]:
        """The parameters of all layers, as W_xh^(1), W_hh^(1), ..."""
        return {
            f"{name}^({n})": parameter
            for n, cell in enumerate(self.cells, 1)
            for name, parameter in getattr(cell, "parameters", dict)().items()
        }

    def initial_state(self, batch_size: int) -> Any:
        """The tuple of the layers' initial states."""
        states = tuple(cell.initial_state(batch_size) for cell in self.cells)
        for part, name in zip(leaves(states), leaves(self.state_names), strict=False):
            part.named(name.replace("{t}", "0"))
        return states

    def output(self, state: Any) -> Any:
        """What stands at the top: h of the last layer."""
        return output_of(self.cells[-1], state[-1])

    def __repr__(self) -> str:
        return f"Stacked({self.cells!r})"


def output_of(cell: Any, state: Any) -> Any:
    """What a layer above sees of a state: what the cell says, or else the state's first part."""
    output = getattr(cell, "output", None)
    return leaves(state)[0] if output is None else output(state)


def from_torch(module: Any, dtype: Any = np.float64) -> Any:
    """A cell that computes what a `torch.nn.RNN`, `LSTM` or `GRU` computes, with its weights.

    module: of one layer or several (then a `Stacked`), in one direction; PyTorch itself is not
        needed here, only what the module offers.
    dtype: of the parameters.
    Raises TypeError for another module, or one with two directions or projections.

    PyTorch keeps W_xhᵀ and W_hhᵀ, and two biases where one would do.
    """
    make = _CELLS.get(type(module).__name__)
    if make is None or module.bidirectional or module.proj_size:
        raise TypeError(
            f"weights can be carried over from a torch.nn.RNN, LSTM or GRU in one direction and "
            f"without projections, not from {module!r}"
        )
    weights = {name: value.detach().cpu().numpy() for name, value in module.named_parameters()}
    cells = []
    for layer in range(module.num_layers):
        W_xh, W_hh = weights[f"weight_ih_l{layer}"].T, weights[f"weight_hh_l{layer}"].T
        options = {"nonlinearity": module.nonlinearity} if make is RNNCell else {}
        cell = make(len(W_xh), len(W_hh), bias=module.bias, rng=0, dtype=dtype, **options)
        cell.W_xh.data, cell.W_hh.data = W_xh.astype(dtype), W_hh.astype(dtype)
        if cell.b_h is not None:
            from_x = weights[f"bias_ih_l{layer}"].astype(dtype)
            from_h = weights[f"bias_hh_l{layer}"].astype(dtype)
            if isinstance(cell, GRUCell) and cell.b_hn is not None:
                cell.b_hn.data = from_h[-cell.hidden_size :].copy()
                from_h[-cell.hidden_size :] = 0
            cell.b_h.data = from_x + from_h
        cells.append(cell)
    return cells[0] if len(cells) == 1 else Stacked(cells)


_CELLS: dict[str, Any] = {"RNN": RNNCell, "LSTM": LSTMCell, "GRU": GRUCell}
