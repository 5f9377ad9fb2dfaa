"""Pause Python's garbage collector while a graph grows.

The collector searches for reference cycles, and the graph has none. On a long sequence the
repeated searches would take half of the recording time.
"""

from __future__ import annotations

import gc
from collections.abc import Callable
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")

AT_REST = 2**31 - 19
"""A threshold that is never reached: the number of new objects before the collector runs.

The number is unusual. So a threshold that another thread has set meanwhile, or `gc.disable()`, is
recognized and kept."""


def without_collection(compute: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
    """Call a function with the collector paused, in all threads; then restore the threshold."""
    before = gc.get_threshold()
    current = (AT_REST, 0, 0)
    try:
        gc.set_threshold(AT_REST, *before[1:])
        return compute(*args, **kwargs)
    finally:
        try:
            current = gc.get_threshold()
        finally:
            if current[0] == AT_REST and before[0] != AT_REST:
                gc.set_threshold(*before)
