"""Functions of the table whose code branches on numbers, rewritten without branches for a trace."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from tinygrad_rnn.compiler.frontend.values import sample_in, value_of
from tinygrad_rnn.compiler.operations import cross_entropies, cross_entropy_gradient
from tinygrad_rnn.derivatives import functions


@functools.cache
def straight() -> dict[Any, Callable[..., Any]]:
    """The replacements that are traced, by function."""

    def call(handle: Any, function: Any, *args: Any) -> Any:
        return handle.__array_function__(function, (), args, {})

    def scored(logits: Any, labels: Any) -> Any:
        logits = functions.as_floats(logits)
        ones = np.ones_like(logits, shape=logits.shape[-1])
        return call(logits, cross_entropies, logits, labels, ones)

    def losses_at(logits: Any, labels: Any, found: Any = None) -> Any:
        places = sample_in(value_of(labels))
        functions.check_places(logits, places)
        functions.check_labels(places, logits.shape[-1])
        return scored(logits, labels)[0]

    def cross_entropy(logits: Any, labels: Any, found: Any = None) -> Any:
        losses = losses_at(logits, labels, found)
        functions.check_any(losses, logits)
        if losses.size == 1:
            return np.reshape(losses, ())
        return np.sum(losses) / losses.size if logits.dtype.itemsize > 2 else np.mean(losses)

    def residual(logits: Any, labels: Any, weight: Any, found: Any) -> Any:
        losses, e, s = scored(logits, labels)
        if losses.size == 1:
            weights = np.reshape(weight, losses.shape)
        else:
            weights = np.broadcast_to(weight, losses.shape)
        return call(e, cross_entropy_gradient, e, s, labels, weights)

    def one_hot(labels: Any, classes: int, dtype: Any) -> Any:
        functions.check_labels(sample_in(value_of(labels)), classes)
        places = labels.astype(np.uint32)  # -1 is no class, but the last row
        return call(labels, np.take, np.eye(classes, dtype=dtype), places, 0)

    return {
        functions._one_hot: one_hot,
        functions.losses_at: losses_at,
        functions.mean_loss: cross_entropy,
        functions.residual: residual,
    }
