"""A check of arguments that are positive numbers."""

from __future__ import annotations

from typing import Any

import numpy as np


def check_positive(name: str, value: Any) -> None:
    """Raise TypeError or ValueError unless the argument of this name is a positive number."""
    if not isinstance(value, int | float | np.integer | np.floating):
        raise TypeError(f"{name} must be a positive number, but its type is {type(value).__name__}")
    if not value > 0:
        raise ValueError(f"{name} must be a positive number, not {value}")
