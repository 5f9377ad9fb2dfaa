"""Sums along an axis as products with ones, which NumPy computes many times faster."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np


def over_rows(rows: Any) -> Any:
    """Σ over the first axis of a matrix."""
    if type(rows) is np.ndarray:
        return ones(len(rows), rows.dtype).dot(rows)
    return np.ones_like(rows, shape=len(rows)) @ rows


KEPT = 2**16
"""Vectors up to this length are cached. For longer ones the cache would save no time."""


def ones(count: int, dtype: Any) -> Any:
    """A read-only vector of ones."""
    return _kept(count, dtype) if count <= KEPT else np.ones(count, dtype)


@functools.lru_cache(maxsize=8)
def _kept(count: int, dtype: Any) -> Any:
    vector = np.ones(count, dtype)
    vector.flags.writeable = False
    return vector
