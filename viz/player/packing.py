"""Arrays as text: sixteen bits a number, each block with a unit of its own, in base 64."""

from __future__ import annotations

import base64
import math
from typing import Any

import numpy as np

LARGEST = 32767


class Pack:
    """A growing row of blocks; a block is known by where it begins.

    A block is the exponent of its unit, a power of two, and then its numbers in that unit: right
    to 1.5e-5 of the next power of two above the largest, in 2.7 characters each.

    >>> import numpy as np
    >>> from viz.player.packing import Pack
    >>> pack = Pack()
    >>> pack.add(np.array([1.0, -0.5])), pack.add(np.array(3.0)), pack.length
    (0, 3, 5)
    """

    def __init__(self) -> None:
        self._blocks: list[Any] = []
        self.length = 0

    def add(self, array: Any) -> int:
        """Append a block; return its place, counted in 16-bit numbers."""
        numbers = np.nan_to_num(np.asarray(array, np.float64).ravel(), posinf=1e30, neginf=-1e30)
        largest = float(np.abs(numbers).max(initial=0.0))
        exponent = max(-1000, math.frexp(largest / LARGEST)[1]) if largest else 0
        units = np.round(numbers * 2.0**-exponent).clip(-LARGEST, LARGEST)
        place = self.length
        self._blocks += [np.array([exponent]), units]
        self.length += 1 + numbers.size
        return place

    def text(self) -> str:
        """Everything, in base 64."""
        whole = np.concatenate([np.zeros(0), *self._blocks]).astype("<i2")
        return base64.b64encode(whole.tobytes()).decode()
