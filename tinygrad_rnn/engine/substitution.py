"""Temporarily replace the contents of Tensors, so that a cell can be traced or run again.

A cell holds its Tensors and does not take them as arguments, so their contents are replaced. Other
threads must not see this. Code that reads the node or the array of a Tensor that a cell may hold
takes `contents_lock`, as `scan` and the functions that compute gradients do.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import chain

from tinygrad_rnn.engine.tensor import Tensor
from tinygrad_rnn.support.interrupts import all_of, setter

contents_lock = threading.RLock()
"""A thread holds this lock while it replaces contents, or must not see them replaced.

The lock is reentrant, because a cell may itself run a scan."""

_set_data, _set_node = setter(Tensor, "_data"), setter(Tensor, "_node")
_set_flag = setter(Tensor, "_requires_grad")


@contextmanager
def substituted(tensors: Sequence[Tensor], others: Sequence[Tensor]) -> Iterator[None]:
    """Inside the block each Tensor has the array, the node and the `requires_grad` of another one.

    Its own history is not part of the recording inside: for the cell it is a leaf.
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
