"""Exchange weights with PyTorch: those of a recurrent layer or cell, or of a model with some.

PyTorch has W_xhᵀ and W_hhᵀ, one matrix per layer and direction, and two biases. Except in the
candidate of the GRU, our single bias is their sum; in the other direction the second bias is zero.
The weights are exchanged as a state dict. A module with an option that cells lack is refused.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from tinygrad_rnn.engine.tensor import Tensor
from tinygrad_rnn.recurrent.cells import Cell, GRUCell, LSTMCell, RNNCell
from tinygrad_rnn.recurrent.stacked import Stacked
from tinygrad_rnn.training.bidirectional import Bidirectional

Arrays = dict[str, Any]

RECURRENT = re.compile(r"(?P<prefix>(?:.*\.)?)(?:weight|bias)_(?:ih|hh|hr)(?P<layer>_l\d+.*)?")
"""The names of the parameters of recurrent layers and of single cells."""

KINDS: dict[int, Any] = {1: RNNCell, 3: GRUCell, 4: LSTMCell}
"""The cells by their number of gates, which follows from the shape of W_hh."""


def from_torch(source: Any, dtype: Any = None, nonlinearity: str = "tanh") -> Any:
    """A cell with the weights of a PyTorch layer, or a model with those of a PyTorch module.

    source: a `torch.nn.RNN`, `LSTM` or `GRU` of any number of layers, a `torch.nn.RNNCell`,
        `LSTMCell` or `GRUCell`, another module, or the `state_dict()` of one. This function does
        not import PyTorch.
    dtype: the dtype of the parameters; None keeps that of the source.
    nonlinearity: that of an RNN given by its state dict; a module has its own.
    Returns a cell, or a `Stacked` of the layers. Bidirectional layers become a `Bidirectional`, or
    a list of them, to be called one after the other. A module with other parameters becomes a dict,
    nested as its parts are. It holds cells, and Tensors under PyTorch's own names and in PyTorch's
    shapes. For a Linear called out, `h @ out["weight"].T + out["bias"]` is its result.
    Raises TypeError for batch_first (sequences here are (T, batch, input)), dropout in training
    and projections. For the weights of a module with batch_first or dropout, give its state dict.

    >>> import numpy as np, tinygrad_rnn as tg
    >>> cell = tg.from_torch({"weight_ih": np.ones((12, 2)), "weight_hh": np.ones((12, 3))})
    >>> cell
    LSTMCell(2, 3, bias=False)
    """
    kinds = {"": nonlinearity}
    if not isinstance(source, Mapping):
        kinds = dict(_options(source))
        source = source.state_dict()
    arrays = {name: _array(value, dtype) for name, value in source.items()}
    parts: dict[str, Arrays] = {}
    for name, array in arrays.items():
        match = RECURRENT.fullmatch(name)
        prefix = match["prefix"] if match else name
        parts.setdefault(prefix, {})[name.removeprefix(prefix)] = array
    if not any(map(RECURRENT.fullmatch, arrays)):
        raise TypeError(
            f"the module or state dict must have a recurrent layer or cell, but its parameters are "
            f"{', '.join(arrays) or 'none'}"
        )
    model: dict[str, Any] = {}
    for prefix, weights in parts.items():
        if "" in weights:  # a parameter of its own
            array = weights[""]
            made: Any = Tensor(array, requires_grad=array.dtype.kind == "f", name=prefix)
        else:
            made = _layers(weights, kinds.get(prefix, nonlinearity))
        if not prefix:
            return made
        *path, last = prefix.removesuffix(".").split(".")
        place = model
        for part in path:
            place = place.setdefault(part, {})
            if not isinstance(place, dict):
                break
        if not isinstance(place, dict) or last in place:
            raise TypeError(f"{prefix} stands in the place of another part of the same name")
        place[last] = made
    return model


def to_torch(model: Any, module: Any = None) -> Any:
    """The weights of a cell or model in PyTorch's form: the inverse of `from_torch`.

    model: a built-in cell, a `Stacked` of them, a `Bidirectional` or a list of them, or a dict of
        these and Tensors, nested as the PyTorch module is.
    module: the PyTorch layer, cell or module to load the weights into. It is returned.
    Without a module, returns the state dict of NumPy arrays, with the names that a layer has.
    Raises TypeError for cells that PyTorch does not have (residual or identity cells, functions)
    and for a module that would compute something else. PyTorch raises for other mismatches.

    >>> import tinygrad_rnn as tg
    >>> {name: array.shape for name, array in tg.to_torch(tg.GRUCell(2, 3, bias=False)).items()}
    {'weight_ih_l0': (9, 2), 'weight_hh_l0': (9, 3)}
    """
    if module is None:
        return dict(_state_dict(model, "", {}))
    import torch

    kinds = dict(_options(module))
    own = module.state_dict()
    single = {m["prefix"] for m in map(RECURRENT.fullmatch, own) if m and not m["layer"]}
    arrays = dict(_state_dict(model, "", kinds))
    for prefix in single:  # names of cells have no layer number
        arrays = {
            name.removesuffix("_l0") if name.startswith(prefix) else name: array
            for name, array in arrays.items()
        }
    tensors = {name: torch.from_numpy(np.array(array)) for name, array in arrays.items()}
    module.load_state_dict(tensors)
    return module


def _options(module: Any) -> Iterator[tuple[str, str]]:
    """The nonlinearities of a module's recurrent parts, by prefix.

    TypeError for options that would be ignored."""
    if not hasattr(module, "named_modules"):
        raise TypeError(
            f"the argument must be a PyTorch module or its state dict, but its type is "
            f"{type(module).__name__}"
        )
    for path, part in module.named_modules():
        if not hasattr(part, "weight_hh_l0") and not hasattr(part, "weight_hh"):
            continue
        where = f"{path or 'the module'} is a {type(part).__name__} with"
        weights = "give its state_dict() to carry the weights alone over"
        if getattr(part, "batch_first", False):
            raise TypeError(
                f"{where} batch_first, but sequences here are (T, batch, input): "
                f"swap the axes of inputs and outputs, and {weights}"
            )
        if getattr(part, "dropout", 0) and part.training:
            raise TypeError(
                f"{where} dropout={part.dropout} in training mode, which cells do not have: call "
                f".eval() first, or {weights}"
            )
        yield f"{path}." if path else "", getattr(part, "nonlinearity", "tanh")


def _array(value: Any, dtype: Any) -> Any:
    """A copy as a NumPy array of floats."""
    if hasattr(value, "detach"):
        value = value.detach().cpu()
        if str(value.dtype) == "torch.bfloat16":  # which NumPy does not have
            value = value.float()
        value = value.numpy()
    array = np.array(value)
    return array if dtype is None or array.dtype.kind != "f" else array.astype(dtype)


def _layers(weights: Arrays, nonlinearity: str) -> Any:
    """The cell or layers with these weights, which have their names within one module."""
    if any(name.startswith("weight_hr") for name in weights):
        raise TypeError(
            "an LSTM with projections (proj_size) cannot be converted, because no cell has them"
        )
    suffixes = [n.removeprefix("weight_hh") for n in weights if n.startswith("weight_hh")]
    cells = {suffix: _cell(weights, suffix, nonlinearity) for suffix in suffixes}
    if not any(suffix.endswith("_reverse") for suffix in suffixes):
        return next(iter(cells.values())) if len(cells) == 1 else Stacked(list(cells.values()))
    layers = [
        Bidirectional(cell, cells[f"{suffix}_reverse"])
        for suffix, cell in cells.items()
        if not suffix.endswith("_reverse")
    ]
    return layers[0] if len(layers) == 1 else layers


def _check_shapes(weights: Arrays, suffix: str, bias: bool) -> None:
    """TypeError, with the shapes, if these are not the weights of one cell."""
    kinds = ["weight_hh", "weight_ih", *(["bias_ih", "bias_hh"] if bias else [])]
    found = {name: weights.get(f"{name}{suffix}") for name in kinds}
    shapes = {name: None if a is None else np.shape(a) for name, a in found.items()}
    W_hh, W_ih = shapes["weight_hh"] or (), shapes["weight_ih"] or ()
    rows, width = W_hh if len(W_hh) == 2 else (0, 0)
    fits = width > 0 and rows % width == 0 and rows // width in KINDS
    fits = fits and len(W_ih) == 2 and W_ih[0] == rows
    fits = fits and all(shapes[name] == (rows,) for name in kinds[2:])
    if not fits or any(a is None or a.dtype.kind != "f" for a in found.values()):
        raise TypeError(
            "a recurrent layer needs float weights of the shapes weight_hh (G·H, H) and weight_ih "
            "(G·H, D), and both biases (G·H,) or neither, with G = 1 for an RNN, 3 for a GRU and 4 "
            "for an LSTM, but these are "
            + ", ".join(f"{name}{suffix} {shape or 'missing'}" for name, shape in shapes.items())
        )


def _cell(weights: Arrays, suffix: str, nonlinearity: str) -> Cell:
    bias = f"bias_ih{suffix}" in weights or f"bias_hh{suffix}" in weights
    _check_shapes(weights, suffix, bias)
    W_xh, W_hh = weights[f"weight_ih{suffix}"].T, weights[f"weight_hh{suffix}"].T
    make = KINDS[W_hh.shape[1] // len(W_hh)]
    options = {"nonlinearity": nonlinearity} if make is RNNCell else {}
    cell: Cell = make(len(W_xh), len(W_hh), bias=bias, rng=0, dtype=W_hh.dtype, **options)
    cell.W_xh.data, cell.W_hh.data = np.ascontiguousarray(W_xh), np.ascontiguousarray(W_hh)
    if cell.b_h is not None:
        from_x, from_h = weights[f"bias_ih{suffix}"], weights[f"bias_hh{suffix}"].copy()
        if isinstance(cell, GRUCell) and cell.b_hn is not None:
            cell.b_hn.data = from_h[-cell.hidden_size :].copy()
            from_h[-cell.hidden_size :] = 0
        cell.b_h.data = from_x + from_h
    return cell


def _state_dict(model: Any, prefix: str, kinds: dict[str, str]) -> Iterator[tuple[str, Any]]:
    """The state dict of a model. kinds: the nonlinearity that a module has under a prefix."""
    if isinstance(model, Mapping):
        for name, part in model.items():
            yield from _state_dict(part, f"{prefix}{name}.", kinds)
    elif isinstance(model, Tensor):
        yield prefix.removesuffix("."), model.data
    else:
        layers = model.cells if isinstance(model, Stacked) else model
        for n, layer in enumerate(layers if isinstance(layers, list) else [layers]):
            if isinstance(layer, Bidirectional):
                yield from _weights(layer.forward, prefix, f"_l{n}", kinds)
                yield from _weights(layer.backward, prefix, f"_l{n}_reverse", kinds)
            else:
                yield from _weights(layer, prefix, f"_l{n}", kinds)


def _weights(
    cell: Any, prefix: str, suffix: str, kinds: dict[str, str]
) -> Iterator[tuple[str, Any]]:
    """The weights of one cell, in PyTorch's form."""
    kind = getattr(cell, "nonlinearity", "tanh")
    known = type(cell) in KINDS.values() and not getattr(cell, "residual", False)
    if not known or kind not in ("tanh", "relu"):
        raise TypeError(f"PyTorch has no layer that computes the same as {cell!r}")
    if kinds.get(prefix, kind) != kind:
        raise TypeError(f"{cell!r} cannot be a PyTorch RNN of {kinds[prefix]}")
    yield f"{prefix}weight_ih{suffix}", cell.W_xh.data.T
    yield f"{prefix}weight_hh{suffix}", cell.W_hh.data.T
    if cell.b_h is not None:
        from_h = np.zeros_like(cell.b_h.data)
        if isinstance(cell, GRUCell) and cell.b_hn is not None:
            from_h[-cell.hidden_size :] = cell.b_hn.data
        yield f"{prefix}bias_ih{suffix}", cell.b_h.data
        yield f"{prefix}bias_hh{suffix}", from_h
