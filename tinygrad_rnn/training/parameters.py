"""The parameters of a model, each once, by a name of its own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tinygrad_rnn.engine.tensor import Tensor


def distinct(parameters: Any) -> dict[str, Tensor]:
    """The Tensors to be trained by name, each once, under the first of its names.

    parameters: a dict from name to Tensor, a Tensor, a list of these, or what has `parameters()`.
    Those of a list go by their own names, or else by their places. A Tensor that is tied, and so
    stands among them twice, is one parameter: it has one gradient and takes one step.
    Raises TypeError for anything that is not a Tensor with requires_grad=True.
    """
    found: dict[str, Tensor] = {}
    seen: set[int] = set()
    for name, tensor in _named(parameters).items():
        if not isinstance(tensor, Tensor) or not tensor.requires_grad:
            raise TypeError(
                f"the parameters are Tensors with requires_grad=True, as a dict such as "
                f"cell.parameters() or a list, but {name} is {type(tensor).__name__}"
                + (" without it" if isinstance(tensor, Tensor) else "")
            )
        if id(tensor) not in seen:
            seen.add(id(tensor))
            found[name] = tensor
    return found


def _named(parameters: Any) -> dict[str, Any]:
    if hasattr(parameters, "parameters"):
        parameters = parameters.parameters()
    if isinstance(parameters, Mapping):
        return dict(parameters)
    named: dict[str, Any] = {}
    for place, tensor in enumerate([parameters] if isinstance(parameters, Tensor) else parameters):
        name = getattr(tensor, "name", None) or f"parameter {place}"
        named[f"{name} (parameter {place})" if name in named else name] = tensor
    return named
