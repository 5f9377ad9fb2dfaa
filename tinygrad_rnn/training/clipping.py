"""Gradient clipping: limit the size of the gradients before the optimizer's step.

Parameters come in any form that `distinct` takes. A parameter without a gradient is skipped.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from tinygrad_rnn.engine.tensor import Tensor
from tinygrad_rnn.training.parameters import distinct
from tinygrad_rnn.training.positive import check_positive


def clip_grad_norm(parameters: Any, max_norm: float) -> float:
    """Scale all gradients down together until their global norm is at most `max_norm`.

    g ← g · min(1, θ / ‖g‖), where the norm is over all entries of all parameters. The direction
    of the gradient is unchanged.
    parameters: a cell, a dict or list of Tensors, or a nesting; a Tensor counts once.
    Returns the norm before clipping, in double precision; inf if it overflows.
    Raises ValueError, naming the parameter, if a gradient is not finite: scaling would silently
    spread the NaN. Pascanu, Mikolov & Bengio (2013), "On the difficulty of training RNNs".

    >>> import numpy as np, tinygrad_rnn as tg
    >>> w = tg.Tensor(np.array([3.0, 4.0]), requires_grad=True, name="w")
    >>> w.backward(w.data)
    >>> tg.clip_grad_norm({"w": w}, 1.0), w.grad
    (5.0, array([0.6, 0.8]))
    """
    check_positive("max_norm", max_norm)
    found = _with_gradient(parameters)
    largest, relative = _norm([gradient for _, gradient in found])
    norm = float(largest) * relative
    if norm > max_norm:
        for tensor, gradient in found:
            # In two steps, because the norm may overflow.
            scaled = gradient / largest * (max_norm / relative)
            tensor.grad = scaled.astype(gradient.dtype, copy=False)
    return norm


def clip_grad_value(parameters: Any, limit: float) -> None:
    """Clip every entry of every gradient to [−limit, limit]; the direction may change.

    parameters: a cell, a dict or list of Tensors, or a nesting.
    Raises ValueError, naming the parameter, if a gradient is not finite.

    >>> import numpy as np, tinygrad_rnn as tg
    >>> w = tg.Tensor(np.array([3.0, -0.5]), requires_grad=True)
    >>> w.backward(w.data)
    >>> tg.clip_grad_value({"w": w}, 1.0)
    >>> w.grad
    array([ 1. , -0.5])
    """
    check_positive("limit", limit)
    for tensor, gradient in _with_gradient(parameters):
        tensor.grad = np.clip(gradient, -limit, limit)


def _with_gradient(parameters: Any) -> list[tuple[Tensor, Any]]:
    """The parameters that have a gradient; ValueError if a gradient is not finite."""
    found = []
    for name, tensor in distinct(parameters).items():
        if tensor.grad is None:
            continue
        if not np.all(np.isfinite(tensor.grad)):
            raise ValueError(
                f"the gradient of {name}, of shape {tensor.shape}, is not finite, so it cannot be "
                f"clipped: try a smaller learning rate or a shorter truncation, or find the cause "
                f"with tg.anomaly()"
            )
        found.append((tensor, tensor.grad))
    return found


def _norm(gradients: Iterable[Any]) -> tuple[Any, float]:
    """The largest entry, or 1 if all are 0, and the norm over all entries divided by it.

    The squares of large or tiny numbers would overflow or underflow. The largest entry has a dtype
    that holds the entries of all gradients: that of a single one may be narrower."""
    gradients = [g for g in gradients if np.size(g)]
    dtype = np.result_type(np.float32, *(g.dtype for g in gradients))
    entry = max((float(np.max(np.abs(g))) for g in gradients), default=0.0)
    largest = dtype.type(entry or 1.0)  # zeros are divided by 1
    squares = (float(np.sum(np.square(g / largest, dtype=np.float64))) for g in gradients)
    return largest, float(np.sqrt(sum(squares)))
