"""Addresses of arrays, for machine code."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import Any

import numpy as np

HEAD = object.__basicsize__
"""The size in bytes of the header of every Python object."""


def slow_address(array: Any) -> int:
    """The address of an array's first entry."""
    return array.ctypes.data  # type: ignore[no-any-return]


def fast_address(array: Any, at: Any = ctypes.c_size_t.from_address) -> int:
    """The same address in a sixth of the time. It is the first field of an array object in NumPy's
    C headers (`PyArrayObject_fields`)."""
    return at(id(array) + HEAD).value  # type: ignore[no-any-return]


def chosen() -> Callable[[Any], int]:
    """The fast function if it agrees with the slow one."""
    arrays = [np.empty(3)[n:] for n in range(3)]
    agree = all(fast_address(a) == slow_address(a) for a in arrays)
    return fast_address if agree else slow_address


address = chosen()


def aligned(size: int, dtype: Any) -> Any:
    """An array that is aligned to a cache line."""
    dtype = np.dtype(dtype)
    raw = np.empty(size * dtype.itemsize + 64, np.uint8)
    start = -slow_address(raw) % 64
    return raw[start : start + size * dtype.itemsize].view(dtype)
