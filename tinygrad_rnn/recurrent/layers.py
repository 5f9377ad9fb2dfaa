"""Layers around a cell: embedding, layer normalization and dropout, as plain functions."""

from __future__ import annotations

from typing import Any

import numpy as np


def embedding(W: Any, indices: Any) -> Any:
    """The rows of W at these indices: the product of one-hot vectors with W.

    W: (symbols, width). indices: integers of any shape. Returns (..., width).
    Raises TypeError for indices that are no integers. In a cell, the compiler turns the embeddings
    of all steps into one look-up, and their gradients into one sum.

    >>> import numpy as np, tinygrad_rnn as tg
    >>> tg.embedding(np.arange(6).reshape(3, 2), np.array([2, 0]))
    array([[4, 5],
           [0, 1]])
    """
    if not hasattr(indices, "dtype"):
        indices = np.asarray(indices)
    if indices.dtype.kind not in "iu":
        raise TypeError(f"the indices of an embedding must be integers, not {indices.dtype}")
    return W[indices]


def layer_norm(x: Any, gain: Any = None, bias: Any = None, epsilon: float = 1e-5) -> Any:
    """(x − μ) / √(σ² + ε) · gain + bias, with mean and variance over the last axis.

    x: (..., width). gain, bias: (width,), or None for 1 and 0.

    Ba, Kiros & Hinton (2016), "Layer Normalization". In a cell: `np.tanh(tg.layer_norm(a, g, b))`.

    >>> import numpy as np, tinygrad_rnn as tg
    >>> tg.layer_norm(np.array([[1.0, 3.0]])).round(3)
    array([[-1.,  1.]])
    """
    centred = x - np.mean(x, axis=-1, keepdims=True)
    y = centred / np.sqrt(np.mean(centred * centred, axis=-1, keepdims=True) + epsilon)
    if gain is not None:
        y = y * gain
    return y if bias is None else y + bias


def dropout_mask(
    shape: tuple[int, ...],
    p: float,
    rng: np.random.Generator | int | None = None,
    steps: int | None = None,
    dtype: Any = np.float64,
) -> Any:
    """A random mask to multiply a state or an input by: 0 with probability p, else 1/(1 − p).

    shape: the shape of one step, (batch, width). p: at least 0 and below 1.
    steps: T, to get one mask for all steps, (T, *shape), in the memory of one step: variational
        dropout. For a new mask at each step, draw one of the shape (T, batch, width).
    rng: a NumPy Generator or a seed.
    Raises ValueError for another p.

    A cell takes the mask as an input: `lambda given, h: cell(given["x"], given["mask"] * h)`.
    Gal & Ghahramani (2016), "A Theoretically Grounded Application of Dropout in Recurrent Neural
    Networks".

    >>> import tinygrad_rnn as tg
    >>> tg.dropout_mask((1, 4), 0.5, rng=0, steps=3).shape
    (3, 1, 4)
    """
    if np.ndim(p) or not 0 <= p < 1:
        raise ValueError(
            f"the probability p of a dropped entry must be at least 0 and below 1, not {p!r}; the "
            f"order of the arguments is (shape, p)"
        )
    kept = np.random.default_rng(rng).random(shape) >= p
    mask = (kept / (1 - p)).astype(dtype)
    return mask if steps is None else np.broadcast_to(mask, (steps, *shape))
