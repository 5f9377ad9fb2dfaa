"""Temporarily replace what Tensors hold, so that a cell can be traced or run again.

A cell reaches its Tensors by itself, so others cannot be given to it as arguments: something else
is put inside of them. Other threads must not see that, so whoever reads the node or the array of a
Tensor that a cell may carry holds `contents_lock`: `scan` and the functions that give gradients do.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import chain

from tinygrad_rnn.engine.interrupts import all_of, setter
from tinygrad_rnn.engine.tensor import Tensor

contents_lock = threading.RLock()
"""Held by a thread that replaces what Tensors hold, or must not see it replaced. A cell may itself
run a scan, so the thread that holds it may take it again."""

_set_data, _set_node = setter(Tensor, "_data"), setter(Tensor, "_node")
_set_flag = setter(Tensor, "_requires_grad")


@contextmanager
def substituted(tensors: Sequence[Tensor], others: Sequence[Tensor]) -> Iterator[None]:
    """Inside the block each Tensor has the array, the node and the `requires_grad` of another.

    So its own history is not part of what is recorded: a Tensor that was computed is for the cell
    what a leaf is.
    """
    with contents_lock:
        restore = chain(
            map(_set_data, tensors, [tensor._data for tensor in tensors]),
            map(_set_node, tensors, [tensor._node for tensor in tensors]),
            map(_set_flag, tensors, [tensor._requires_grad for tensor in tensors]),
        )
        try:
            for tensor, other in zip(tensors, others, strict=True):
                tensor._data, tensor._node = other._data, other._node
                tensor._requires_grad = other._requires_grad
            yield
        finally:
            all_of(restore)
