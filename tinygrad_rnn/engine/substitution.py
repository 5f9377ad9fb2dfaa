"""Other arrays and nodes inside Tensors, for as long as a cell is run to be looked at.

A cell reaches its Tensors by itself, so others cannot be given to it as arguments: something else
is put inside of them. Other threads must not see that, so whoever asks for the node or the array
of a Tensor that a cell may carry holds `looking`: `scan` and the functions that give gradients do.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from tinygrad_rnn.engine.tensor import Tensor

looking = threading.RLock()
"""Held by a thread that exchanges what is inside of Tensors, or must not see it exchanged. A cell
may itself run a scan, so the thread that holds it may take it again."""


@contextmanager
def exchanged(tensors: Sequence[Tensor], others: Sequence[Tensor]) -> Iterator[None]:
    """Inside the block each Tensor has the array and the node of another one.

    So its own history is not part of what is recorded: a Tensor that was computed is for the cell
    what a leaf is.
    """
    with looking:
        before = [(tensor.data, tensor._node) for tensor in tensors]
        try:
            for tensor, other in zip(tensors, others, strict=True):
                tensor.data, tensor._node = other.data, other._node
            yield
        finally:
            for tensor, (data, node) in zip(tensors, before, strict=True):
                tensor.data, tensor._node = data, node
