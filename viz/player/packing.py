"""Arrays as text in base 64: sixteen bits a number, and a unit for each block."""

from __future__ import annotations

import base64
import math
from typing import Any

import numpy as np

LARGEST = 32767
TINY = 1e-140  # smaller numbers are written as 0
STEPS = 64  # the steps of the exponent in an octave


class Pack:
    """A growing sequence of blocks. The place of a block is its beginning.

    A block is the exponent of its unit, in 64ths of an octave, and then its numbers in that unit.
    They are exact to 1.6e-5 of the largest, and take 2.7 characters each.

    >>> import numpy as np
    >>> from viz.player.packing import Pack
    >>> pack = Pack()
    >>> pack.add(np.array([1.0, -0.5])), pack.add(np.array(3.0)), pack.length
    (0, 3, 5)
    """

    def __init__(self) -> None:
        self._blocks: list[Any] = []
        self.length = 0
        self.last: Any = np.zeros(0)  # the last added block, as it will be read

    def add(self, array: Any) -> int:
        """Append a block. Returns its place, counted in 16-bit numbers."""
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
        """All blocks, in base 64."""
        whole = np.concatenate([np.zeros(0), *self._blocks]).astype("<i2")
        return base64.b64encode(whole.tobytes()).decode()
