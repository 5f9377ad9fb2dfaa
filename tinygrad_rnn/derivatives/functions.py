"""Activations and parts of losses that NumPy does not have, as entries of the same table."""

from __future__ import annotations

import math
from typing import Any, TypeAlias

import numpy as np

from tinygrad_rnn.derivatives.exponentials import (
    cross_entropies,
    cross_entropy_gradient,
    exponentials,
)
from tinygrad_rnn.engine.graph import Array
from tinygrad_rnn.engine.table import constant, derivative, overridable
from tinygrad_rnn.support import fast_sums


def _relu(x: Array) -> Array:
    """max(x, 0), elementwise; the derivative at 0 is 0.

    >>> import numpy as np, tinygrad_rnn as tg
    >>> tg.relu(np.array([-1.0, 2.0]))
    array([0., 2.])
    """
    return np.maximum(x, 0)


relu = derivative(_relu, lambda g, y: g * (y > 0))


def _sigmoid(x: Array) -> Array:
    """1 / (1 + exp(-x)), elementwise, as (1 + tanh(x / 2)) / 2, which cannot overflow.

    The absolute error is that of rounding near 1. So far below 0 (for x < −15 in float32) the tiny
    values have no correct digits. Use `log_softmax` if you need the logarithm.

    >>> import numpy as np, tinygrad_rnn as tg
    >>> tg.sigmoid(np.array([0.0, 1000.0]))
    array([0.5, 1. ])
    """
    return 0.5 * np.tanh(0.5 * x) + 0.5


sigmoid = derivative(_sigmoid, lambda g, y: g * (y - y * y))


def as_floats(x: Array) -> Array:
    """The array as floats: integers and booleans become float64."""
    if not hasattr(x, "dtype"):
        return np.asarray(x, np.float64)
    if x.dtype.kind in "iub":
        return x.astype(np.float64)
    return x if x.dtype.isnative else x.astype(x.dtype.newbyteorder("="))


def _exponentials(x: Array) -> tuple[Array, Array, Any]:
    """exp(x − shift), its sum over the last axis (kept, with length 1), and the shift.

    The shift prevents overflow."""
    x = as_floats(x)
    if not issubclass(type(x), np.ndarray) or not x.size:  # a traced array can pass as an instance
        return of_any_kind(x)
    classes, dtype = x.shape[-1], x.dtype
    e, s = np.empty(x.shape, dtype), np.empty((*x.shape[:-1], 1), dtype)
    rows = np.asarray(x).reshape(-1, classes), fast_sums.ones(classes, dtype)
    shift = exponentials(*rows, e.reshape(-1, classes), s.reshape(-1))
    return e, s, shift.reshape(s.shape) if np.ndim(shift) else shift


def of_any_kind(x: Array) -> tuple[Array, Array, Array]:
    """`_exponentials` for arrays without readable values: Dask's, CuPy's, or symbolic ones.

    The arrays of a cell that is being compiled are symbolic."""
    shift = np.max(x, axis=-1, keepdims=True)
    e = np.exp(x - shift)
    return e, np.sum(e, axis=-1, keepdims=True), shift


def _softmax(x: Array) -> Array:
    """exp(x) / Σ exp(x) over the last axis.

    x: (..., classes). Returns the same shape.

    >>> import numpy as np, tinygrad_rnn as tg
    >>> tg.softmax(np.array([0.0, np.log(3.0)]))
    array([0.25, 0.75])
    """
    e, s, _ = _exponentials(x)
    return e / s


def _softmax_pullback(g: Array, y: Array) -> Array:
    return y * (g - np.sum(g * y, axis=-1, keepdims=True))


softmax = derivative(_softmax, _softmax_pullback)


def _log_softmax(x: Array) -> Array:
    """x − log Σ exp(x) over the last axis, without overflow.

    x: (..., classes). Returns the same shape.

    >>> import numpy as np, tinygrad_rnn as tg
    >>> np.exp(tg.log_softmax(np.array([1000.0, 1000.0])))
    array([0.5, 0.5])
    """
    _, s, shift = _exponentials(x)
    return x - shift - np.log(s)


log_softmax = derivative(
    _log_softmax, lambda g, y: g - np.exp(y) * np.sum(g, axis=-1, keepdims=True)
)


Found: TypeAlias = dict[str, Any]
"""Values from the forward computation that the gradient uses again."""


def _cross_entropy(logits: Array, labels: Array, found: Found | None = None) -> Array:
    """The mean of `losses_at`."""
    losses = _losses_at(logits, labels, found)
    check_any(losses, logits)
    # For half precision, mean adds in single precision. Otherwise sum is faster.
    return losses.sum() / losses.size if losses.dtype.itemsize > 2 else losses.mean()


def check_any(losses: Array, logits: Array) -> None:
    """ValueError for the mean of no losses."""
    if losses.size == 0:
        raise ValueError(
            f"the mean over no labels is not defined, but the logits have the shape {logits.shape}"
            f': reduction="sum" gives 0'
        )


def _losses_at(logits: Array, labels: Array, found: Found | None = None) -> Array:
    """−log softmax(logits)[label] at each position.

    The values that the gradient also needs are stored in `found`."""
    if not isinstance(logits, np.ndarray):
        return _losses_by_comparison(logits, labels)
    labels = np.asanyarray(labels)
    check_places(logits, labels)
    logits = as_floats(logits)
    ones = fast_sums.ones(logits.shape[-1], logits.dtype)
    losses, e, s = cross_entropies(logits, labels, ones)
    if found is not None:
        found["exponentials"] = e, s
    return losses


def _losses_by_comparison(logits: Array, labels: Array) -> Array:
    """`_losses_at` for arrays without integer indexing or readable values: Dask's, CuPy's.

    If the labels cannot be checked, a label that is not a class gives NaN."""
    _, s, shift = _exponentials(logits)
    hot = labels_as_booleans(logits, labels)
    at_labels = np.sum(np.where(hot, logits - shift, np.zeros_like(logits)), axis=-1)
    losses = np.log(s)[..., 0] - at_labels
    return np.where(np.any(hot, axis=-1), losses, np.nan).astype(logits.dtype)


def labels_as_booleans(logits: Array, labels: Array) -> Array:
    """(..., classes), True at the labels."""
    check_places(logits, labels)
    if isinstance(labels, np.ndarray):
        check_labels(labels, logits.shape[-1])
    return labels[..., None] == np.arange(logits.shape[-1], like=labels)


def check_integers(labels: Array, hint: str = "") -> None:
    """TypeError unless the labels are integers."""
    if labels.dtype.kind not in "iu":
        raise TypeError(
            f"the labels must be integers, but they are {labels.dtype}: convert them with "
            f".astype(int){hint}"
        )


def check_places(logits: Array, labels: Array) -> None:
    """TypeError or ValueError unless the labels have one integer for each position."""
    if labels.shape == logits.shape and logits.ndim > 1:
        raise ValueError(
            f"the labels must be class numbers of shape {logits.shape[:-1]}, but they have the "
            f"shape {labels.shape} of the logits: for one-hot rows, pass np.argmax(labels, axis=-1)"
        )
    check_integers(labels, "; the order of the arguments is (logits, labels)")
    if labels.shape != logits.shape[:-1]:
        raise ValueError(
            f"logits of shape {logits.shape} need labels of shape {logits.shape[:-1]}, "
            f"one integer per place, but the labels have the shape {labels.shape}"
        )


def _residual(logits: Array, labels: Array, weight: Array, found: Found | None) -> Array:
    """softmax(logits) minus the one-hot labels, times the weight.

    weight: one number, or one per position. found: the values that `_losses_at` stored. The result
    overwrites the exponentials in it, and a second call computes them again.
    """
    if not isinstance(logits, np.ndarray):
        hot = labels_as_booleans(logits, labels)
        return (softmax(logits) - hot) * _for_rows(weight)
    known = found.pop("exponentials", None) if found else None
    e, s = known or _exponentials(logits)[:2]
    s = s.reshape(labels.shape)
    return cross_entropy_gradient(e, s, labels, np.asarray(weight, e.dtype), e)


def _residual_pullback(g: Array, logits: Array, labels: Array, weight: Array) -> Array:
    return _softmax_pullback(g, softmax(logits)) * _for_rows(weight)


def _for_rows(weight: Array) -> Array:
    """One weight, or one per position, to broadcast over the classes."""
    return weight[..., None] if np.ndim(weight) else weight


def _residual_of_weight(g: Array, logits: Array, labels: Array, weight: Array) -> Array:
    each = np.sum(g * residual(logits, labels, 1.0, None), axis=-1)
    return each if np.ndim(weight) else np.sum(each)


def share_of(g: Array, labels: Array) -> Array:
    """The gradient of the mean by the loss at one position."""
    places = math.prod(labels.shape)
    return g if places == 1 else g / places


residual = derivative(_residual, _residual_pullback, None, _residual_of_weight)
mean_loss = derivative(
    _cross_entropy,
    lambda g, logits, labels, found: residual(logits, labels, share_of(g, labels), found),
)
losses_at = derivative(
    _losses_at, lambda g, logits, labels, found: residual(logits, labels, g, found)
)


def one_hot(labels: Array, classes: int, dtype: Any = np.float64) -> Array:
    """One-hot vectors: zeros with a 1 at the index of the label.

    labels: integers of shape (...), from 0 to classes − 1. Returns (..., classes).
    Raises TypeError for labels that are no integers, ValueError for one out of range.

    >>> import numpy as np, tinygrad_rnn as tg
    >>> tg.one_hot(np.array([2, 0]), 3)
    array([[0., 0., 1.],
           [1., 0., 0.]])
    """
    return _one_hot(labels, classes, dtype)


def _rows_of_identity(labels: Array, classes: int, dtype: Any) -> Array:
    if not isinstance(classes, int | np.integer):
        raise TypeError(
            f"classes must be the number of classes, but its type is {type(classes).__name__}; the "
            f"order of the arguments is (labels, classes)"
        )
    labels = np.asanyarray(labels)
    check_labels(labels, classes)
    return np.eye(classes, dtype=dtype)[labels]


_one_hot = overridable(_rows_of_identity)
constant(_one_hot)


def check_labels(labels: Array, classes: int) -> None:
    """TypeError or ValueError unless each label is the number of a class."""
    check_integers(labels)
    if labels.size and (labels.min() < 0 or labels.max() >= classes):
        raise ValueError(
            f"the labels must lie in 0..{classes - 1}, because there are {classes} classes, "
            f"but they range over {labels.min()}..{labels.max()}"
        )


def _scale_gradient(x: Array, factor: Array) -> Array:
    """The identity, whose gradient is multiplied by `factor`. With factor 0 it is a detach.

    x: any shape.
    factor: a number, or an array that broadcasts to x: (batch, 1) is one factor per sequence.

    >>> import tinygrad_rnn as tg
    >>> w = tg.Tensor(3.0, requires_grad=True)
    >>> tg.scale_gradient(w, 0.5).backward()
    >>> print(w.grad)
    0.5
    """
    return x


scale_gradient = derivative(_scale_gradient, lambda g, factor: g * factor)
