"""Other arrays and nodes inside the Tensors that a cell carries, while it is run for the engine.

A cell reaches its Tensors by itself, so they cannot be given to it as arguments. What it does
with them is seen by putting something else inside of them for the time of one call. Other threads
must not see that: whoever looks into the Tensors of a cell for a scan holds `looking`.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from tinygrad_rnn.tensor import Tensor

looking = threading.RLock()
"""Held by a thread that reads the Tensors of a cell or exchanges what is inside of them. A cell
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
