"""Losses: functions of the outputs of a network and of the targets."""

from __future__ import annotations

from typing import Any

import numpy as np

from tinygrad_rnn.derivatives.functions import losses_at, mean_loss

REDUCTIONS = "mean", "sum", "none"


def cross_entropy(
    logits: Any, labels: Any, ignore_index: int | None = None, reduction: str = "mean"
) -> Any:
    """−log softmax(logits)[label], the mean over all positions.

    logits: (..., classes); labels: integers of shape (...).
    ignore_index: a label, any integer, whose positions do not count. Their loss and its gradient
        are 0, and the mean is over the other positions. If there are none, the mean is 0.
    reduction: "mean", "sum", or "none" for the losses of all positions, of shape (...).
    Raises ValueError or TypeError, with the shapes, if the labels do not fit the logits.
    Chapter "Backpropagation Through Time": L = 1/T Σ l(o_t, y_t). For the stacked logits of all
    steps the mean is L.

    >>> import numpy as np, tinygrad_rnn as tg
    >>> print(tg.cross_entropy(np.zeros((3, 4)), np.array([0, 1, 2])) - np.log(4))
    0.0
    >>> padded = tg.cross_entropy(np.zeros((2, 2)), np.array([1, -100]), -100, reduction="none")
    >>> padded / np.log(2)
    array([1., 0.])
    """
    if reduction not in REDUCTIONS:
        raise ValueError(
            f"reduction must be one of {', '.join(map(repr, REDUCTIONS))}, not {reduction!r}"
        )
    if isinstance(logits, list | tuple):
        raise TypeError(
            f"the logits must be one array of shape (..., classes), not a {type(logits).__name__} "
            f"of {len(logits)}: join those of several steps with np.stack"
        )
    if not getattr(logits, "ndim", 0):
        raise ValueError("the logits must have an axis of classes, but they are a single number")
    labels = labels if hasattr(labels, "dtype") else np.asarray(labels)
    if ignore_index is None:
        if reduction == "mean":
            return mean_loss(logits, labels, {})
        losses = losses_at(logits, labels, {})
        return losses if reduction == "none" else np.sum(losses)
    counts = labels != ignore_index
    losses = losses_at(logits, np.where(counts, labels, np.zeros_like(labels)), {})
    losses = np.where(counts, losses, np.zeros_like(losses))
    if reduction == "none":
        return losses
    total = np.sum(losses)
    if reduction == "mean":
        total = total / np.maximum(np.sum(counts), 1).astype(total.dtype)
    return total


def mse(prediction: Any, target: Any) -> Any:
    """The mean of the squared differences over all entries.

    prediction, target: arrays of the same shape. The target may also be a single number.
    Raises ValueError, with the shapes, if they differ.

    >>> import numpy as np, tinygrad_rnn as tg
    >>> print(tg.mse(np.array([1.0, 3.0]), np.array([0.0, 1.0])))
    2.5
    """
    if np.shape(target) not in [np.shape(prediction), ()]:
        raise ValueError(
            f"prediction and target must have the same shape, but they have {np.shape(prediction)} "
            f"and {np.shape(target)}"
        )
    return np.mean(np.square(prediction - target))
