"""Names of values: those of the local variables of a cell that hold them."""

from __future__ import annotations

import os
import sys
from typing import Any

import numpy as np

from tinygrad_rnn.compiler.frontend.refusals import NUMPY, PACKAGE
from tinygrad_rnn.compiler.frontend.tracer import Traced
from tinygrad_rnn.compiler.frontend.values import Value
from tinygrad_rnn.engine.graph import Node
from tinygrad_rnn.engine.tensor import Tensor


class LocalNames:
    """Names values after the variables that hold them when the cell's code returns.

    It is a profiler, set by `sys.setprofile`. `sys.setprofile` cannot restore a profiler written in
    C, such as cProfile's. Under such a profiler values get no names from variables.
    """

    def __init__(self, known: list[Value]) -> None:
        self.taken = {v.name for v in known}
        self.nodes: dict[Node, str] = {}

    def __enter__(self) -> None:
        self.before = sys.getprofile()
        self.listens = self.before is None or callable(self.before)
        if self.listens:
            sys.setprofile(self.look)

    def __exit__(self, *problem: Any) -> None:
        if self.listens:
            sys.setprofile(self.before)

    # No tracer, and so no measure of coverage, looks into a profile function.
    def look(self, frame: Any, event: str, argument: Any) -> None:  # pragma: no cover
        if event != "return" or not is_cells_own(frame.f_code.co_filename):
            return
        for name, thing in frame.f_locals.items():
            if type(thing) is not Tensor or not isinstance(thing._data, Traced):
                continue
            value = thing._data.value
            if not value.name and value.function is not None:
                value.name = name if name not in self.taken else ""
                self.taken.add(name)
            if value.name and thing._node is not None:
                self.nodes.setdefault(thing._node, value.name)


def is_cells_own(filename: str) -> bool:  # pragma: no cover (called by a profile function)
    """Whether the code belongs to a cell, not to the engine or NumPy."""
    if filename.startswith(PACKAGE):
        return os.path.basename(filename) in ("cells.py", "stacked.py")
    return filename != "<string>" and not filename.startswith(OTHERS)


OTHERS = (NUMPY, os.path.dirname(os.__file__) + os.sep)
"""NumPy and Python's own library."""


def name_by_origin(values: list[Value]) -> None:
    """Give names to values that no variable held: sigmoid_f, tanh_c."""
    for value in values:
        made = value.origin
        if made is None and value.function is np.tanh:
            made = "tanh", value.args[0]
        if made is not None and not value.name and made[1].name:
            value.name = f"{made[0]}_{made[1].name}"
