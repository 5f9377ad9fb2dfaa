"""Arrays as text: sixteen bits a number, each block with a unit of its own, in base 64."""

from __future__ import annotations

import base64
import math
from typing import Any

import numpy as np

LARGEST = 32767
TINY = 1e-140  # what is smaller is written as 0
STEPS = 64  # of the exponent, in an octave


class Pack:
    """A growing row of blocks; a block is known by where it begins.

    A block is the exponent of its unit, in 64ths of an octave, and then its numbers in that unit:
    right to 1.6e-5 of the largest, in 2.7 characters each.

    >>> import numpy as np
    >>> from viz.player.packing import Pack
    >>> pack = Pack()
    >>> pack.add(np.array([1.0, -0.5])), pack.add(np.array(3.0)), pack.length
    (0, 3, 5)
    """

    def __init__(self) -> None:
        self._blocks: list[Any] = []
        self.length = 0
        self.last: Any = np.zeros(0)  # the block that was added last, as it will be read

    def add(self, array: Any) -> int:
        """Append a block; return its place, counted in 16-bit numbers."""
        numbers = np.asarray(array, np.float64).ravel()
        largest = float(np.abs(numbers).max(initial=0.0))
        if not math.isfinite(largest):
            numbers = np.nan_to_num(numbers, posinf=1e30, neginf=-1e30)
            largest = float(np.abs(numbers).max())
        exponent = math.ceil(STEPS * math.log2(largest / LARGEST)) if largest > TINY else 0
        unit = 2.0 ** (exponent / STEPS)
        units = np.round(numbers / unit).clip(-LARGEST, LARGEST)
        place = self.length
        self._blocks += [np.array([exponent]), units]
        self.length += 1 + numbers.size
        self.last = (units * unit).reshape(np.shape(array))
        return place

    def text(self) -> str:
        """Everything, in base 64."""
        whole = np.concatenate([np.zeros(0), *self._blocks]).astype("<i2")
        return base64.b64encode(whole.tobytes()).decode()
