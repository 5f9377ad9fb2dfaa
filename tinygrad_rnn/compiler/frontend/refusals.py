"""The error for a cell that cannot be compiled, and the search for the cell's line that causes
it."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from tinygrad_rnn.compiler.operations import path_of
from tinygrad_rnn.engine.backward import pull_on_arrays
from tinygrad_rnn.engine.rules import Composition

PACKAGE = str(Path(__file__).parents[2]) + os.sep
NUMPY = os.path.dirname(np.__file__) + os.sep


class TraceError(TypeError):
    """A cell cannot be compiled, because no straight-line sequence of NumPy calls represents it.

    The message says where and why. `tg.scan(..., fallback=True)` runs such a cell with `unroll`.

    problem: where and why. cure: what to change in the cell. instead: the call that runs the cell
        as it is, with which the message ends.
    """

    instead = "tg.unroll"

    def __init__(self, problem: str, cure: str = "") -> None:
        super().__init__(problem, cure)

    def __str__(self) -> str:
        problem, cure = self.args
        return f"{problem}: {cure}{cure and ', or '}use {self.instead}"


BOUNDARIES: set[Any] = set()
"""The code that runs a cell to trace it. Its callers are not part of the cell."""


def user_frame() -> str | None:
    """The file and line of the cell's own code that is running; None in the sweep of the engine."""
    frame: Any = sys._getframe(1)
    while frame is not None and frame.f_code not in BOUNDARIES:
        if not frame.f_code.co_filename.startswith((PACKAGE, NUMPY)):
            return f"{os.path.basename(frame.f_code.co_filename)}, line {frame.f_lineno}"
        frame = frame.f_back
    return None


FRONTEND = os.path.dirname(__file__) + os.sep


PASSING_ON = tuple(f"{PACKAGE}engine{os.sep}{name}.py" for name in ("tensor", "operators"))
"""The code by which a Tensor reads the numbers of the array inside."""

ASKERS: dict[Any, Callable[[dict[str, Any]], Any]] = {
    Composition.__call__.__code__: lambda variables: variables["self"].function,
    pull_on_arrays.__code__: lambda variables: variables["node"].function,
}
"""The code that runs a rule of the table, and the access to its function through its variables."""

UNNAMED = "a function that the cell calls"


def asking_function(unnamed: str = UNNAMED) -> str | None:
    """The function of the table whose rule reads the numbers of an array; None if the cell's own
    code reads them."""
    frame: Any = sys._getframe(1)
    while frame.f_code.co_filename.startswith((FRONTEND, NUMPY, *PASSING_ON)):
        frame = frame.f_back
    if not frame.f_code.co_filename.startswith(PACKAGE):
        return None
    name = unnamed
    while frame is not None and frame.f_code not in BOUNDARIES:
        if frame.f_code in ASKERS:
            name = name_of(ASKERS[frame.f_code](frame.f_locals)) or name
        frame = frame.f_back
    return name


def name_of(function: Any) -> str:
    """The name of a function as the cell writes it; "" if it has none."""
    name = path_of(function) or str(getattr(function, "__name__", ""))
    return {"getitem": "an index", "astype": "np.astype", "filled": "np.full"}.get(name, name)


def here() -> str:
    """The file and line in brackets, for a sentence."""
    place = user_frame()
    return f" ({place})" if place else ""


def refused(problem: str, why: str = "which cannot be compiled", cure: str = "") -> TraceError:
    """The error for something that the running line of the cell does."""
    return TraceError(f"{problem}{here()}, {why}", cure)
