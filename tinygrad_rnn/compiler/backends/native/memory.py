"""Memory for machine code."""

from __future__ import annotations

from typing import Any

import numpy as np


def aligned(size: int, dtype: Any) -> Any:
    """An array that is aligned to a cache line."""
    dtype = np.dtype(dtype)
    raw = np.empty(size * dtype.itemsize + 64, np.uint8)
    start = -raw.ctypes.data % 64
    return raw[start : start + size * dtype.itemsize].view(dtype)
