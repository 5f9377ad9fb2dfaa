"""The parameters of a model, each once, under a unique name."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, ValuesView
from typing import Any

from tinygrad_rnn.engine.graph import Leaf
from tinygrad_rnn.engine.tensor import Tensor
from tinygrad_rnn.engine.trees import flatten
from tinygrad_rnn.recurrent.parameters import parameters


def distinct(model: Any) -> dict[str, Tensor]:
    """The Tensors to train by name, each once, under the first of its names.

    model: a dict from name to Tensor, whose names are kept; an object with a method `parameters`,
    such as a cell or a `BPTT`, that returns such a dict or a list of Tensors; or anything in which
    `tg.parameters` finds some, such as a list of Tensors, cells and functions. A tied Tensor, which
    is found twice, is one parameter.
    Raises TypeError for a Tensor that needs no gradient or was computed from others, and for a
    model without parameters.
    """
    if isinstance(model, ValuesView | Iterator):
        model = list(model)
    if isinstance(model, Mapping) and all(isinstance(t, Tensor) for t in model.values()):
        named = dict(model)
    elif hasattr(model, "parameters"):
        own = model.parameters() if callable(model.parameters) else model.parameters
        named = dict(own) if isinstance(own, Mapping) else distinct(list(own))
    else:
        for part in flatten(model):
            if not isinstance(part, Tensor) and not parameters(part):
                raise TypeError(
                    f"the parameters must be Tensors with requires_grad=True, or cells and "
                    f"functions that use some, but one of them, of type {type(part).__name__}, "
                    f"uses none"
                )
            _check(getattr(part, "name", None) or "one of the Tensors", part)
        named = parameters(model)
    found: dict[str, Tensor] = {}
    seen: set[int] = set()
    for name, tensor in named.items():
        _check(name, tensor)
        if id(tensor) not in seen:
            seen.add(id(tensor))
            found[name] = tensor
    return found


def _check(name: str, tensor: Any) -> None:
    if not isinstance(tensor, Tensor):
        return
    if not isinstance(tensor.node, Leaf):
        raise TypeError(
            f"the parameters must be given Tensors, but {name}, of shape {tensor.shape}, was "
            f"computed by {tensor.node.function.__name__}: omit it, or use tg.detach for its value"
        )
    if not tensor.requires_grad:
        raise TypeError(
            f"the parameters must be Tensors with requires_grad=True, but {name}, of shape "
            f"{tensor.shape}, has requires_grad=False: set it, or omit this Tensor"
        )
