"""Arrays as machine code sees them: where they begin."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import Any

import numpy as np

HEAD = object.__basicsize__
"""The bytes of what every Python object begins with."""


def slow_address(array: Any) -> int:
    """Where the entries of an array begin."""
    return array.ctypes.data  # type: ignore[no-any-return]


def fast_address(array: Any, at: Any = ctypes.c_size_t.from_address) -> int:
    """The same in a sixth of the time: the address is the first field of an array object, as
    NumPy's C headers have it (`PyArrayObject_fields`)."""
    return at(id(array) + HEAD).value  # type: ignore[no-any-return]


def chosen() -> Callable[[Any], int]:
    """The fast way if it gives what the other one does."""
    arrays = [np.empty(3)[n:] for n in range(3)]
    agree = all(fast_address(a) == slow_address(a) for a in arrays)
    return fast_address if agree else slow_address


address = chosen()


def aligned(size: int, dtype: Any) -> Any:
    """An array that begins where a line of the cache does."""
    dtype = np.dtype(dtype)
    raw = np.empty(size * dtype.itemsize + 64, np.uint8)
    start = -slow_address(raw) % 64
    return raw[start : start + size * dtype.itemsize].view(dtype)
