"""Several layers as one cell."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from tinygrad_rnn.engine.tensor import Tensor
from tinygrad_rnn.engine.trees import flatten, unflatten
from tinygrad_rnn.recurrent.names import declared, names_of, templates
from tinygrad_rnn.recurrent.state import map_state, tensor


class Stacked:
    """Layers, each with the layer below as its input: h_t^(l) = cell_l(h_t^(l−1), h_{t−1}^(l)).

    cells: the layers, the lowest first. The state is the tuple of their states.
    Raises ValueError if there is no layer, or if the width of a layer does not fit the one above.

    Parameters and states have the number of their layer, counted from 1: W_hh^(1), h_t^(1).

    >>> import numpy as np, tinygrad_rnn as tg
    >>> cell = tg.Stacked([tg.LSTMCell(3, 4, rng=0), tg.RNNCell(4, 5, rng=1)])
    >>> states, last = tg.unroll(cell, np.ones((6, 2, 3)))
    >>> cell.output(last).shape, cell.output(last).name
    ((2, 5), 'h_6^(2)')
    """

    def __init__(self, cells: Sequence[Any]) -> None:
        if not isinstance(cells, Iterable):
            raise TypeError(
                f"cells must be a list of cells, the lowest first, but its type is "
                f"{type(cells).__name__}"
            )
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

    def state_names(self, states: Any) -> Any:
        """h_{t}^(1), ...: the layers' own names, or names by place, with the number of the layer.
        None where a layer has no names and the states are not one for each layer."""
        each = isinstance(states, tuple | list) and len(states) == len(self.cells)
        parts = states if each else [None] * len(self.cells)
        names: list[Any] = []
        for n, (cell, state) in enumerate(zip(self.cells, parts, strict=True), 1):
            own = declared(cell, state)
            if own is not None:
                names.append(unflatten(own, (f"{name}^({n})" for name in flatten(own))))
            elif each:
                names.append(templates(state, place=(str(n),)))
            else:
                return None
        return tuple(names)

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
        states = tuple(map_state(tensor, cell.initial_state(batch_size)) for cell in self.cells)
        for part, (before, after) in zip(flatten(states), names_of(self, states), strict=True):
            part.named(f"{before}0{after}")
        return states

    def output(self, state: Any) -> Any:
        """The output of the last layer: its h."""
        return output_of(self.cells[-1], state[-1])

    def __repr__(self) -> str:
        return f"Stacked({self.cells!r})"


def output_of(cell: Any, state: Any) -> Any:
    """The output to the layer above: `cell.output(state)`, or else the first part of the state."""
    output = getattr(cell, "output", None)
    return flatten(state)[0] if output is None else output(state)
