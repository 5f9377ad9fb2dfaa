"""Python's garbage collector, at rest while a graph grows.

It looks for reference cycles, of which the graph has none. On a long sequence it looks again and
again, for half of the time that recording takes.
"""

from __future__ import annotations

import gc
from collections.abc import Callable
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")

AT_REST = 2**31 - 19
"""So many new objects before the collector looks: never. A number that nobody else sets, so that
what another thread sets meanwhile, or `gc.disable()`, is recognized and stays."""


def without_collection(compute: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
    """Call a function while the collector rests, in all threads; then restore what was set."""
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
