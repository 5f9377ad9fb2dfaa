"""Linear algebra. Matrices stand in the last two axes; all others are stacks."""

from __future__ import annotations

import numpy as np

from tinygrad_rnn.derivatives.table import derivative
from tinygrad_rnn.graph import Array


def T(x: Array) -> Array:
    """The transposed matrices."""
    return np.swapaxes(x, -1, -2)


derivative(np.linalg.inv, lambda g, y: -T(y) @ g @ T(y))
