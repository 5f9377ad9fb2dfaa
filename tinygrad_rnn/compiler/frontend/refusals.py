"""The error for a cell that cannot be compiled, and the line of the cell that it names."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import numpy as np

PACKAGE = str(Path(__file__).parents[2]) + os.sep
NUMPY = os.path.dirname(np.__file__) + os.sep


class TraceError(TypeError):
    """A cell that cannot be compiled: no straight line of NumPy calls can stand for it.

    The sentence says where and why. `tg.scan(..., fallback=True)` runs such a cell with `unroll`.
    """


BOUNDARIES: set[Any] = set()
"""The code that runs a cell to trace it: whoever called that is not the cell."""


def user_frame() -> str | None:
    """Where in the cell's own code we are: file and line; None in the sweep of the engine."""
    frame: Any = sys._getframe(1)
    while frame is not None and frame.f_code not in BOUNDARIES:
        if not frame.f_code.co_filename.startswith((PACKAGE, NUMPY)):
            return f"{os.path.basename(frame.f_code.co_filename)}, line {frame.f_lineno}"
        frame = frame.f_back
    return None


FRONTEND = os.path.dirname(__file__) + os.sep


def asked_by_the_cell() -> bool:
    """Whether the cell's own code asks for the numbers of an array, and not a rule of the table."""
    frame: Any = sys._getframe(1)
    while frame.f_code.co_filename.startswith((FRONTEND, NUMPY)):
        frame = frame.f_back
    return not frame.f_code.co_filename.startswith(PACKAGE)


def here() -> str:
    """The same in brackets, to stand in a sentence."""
    place = user_frame()
    return f" ({place})" if place else ""
