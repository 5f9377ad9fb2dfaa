"""What hands the numbers of an array to Python code, such as `if` and `float`.

A program is written before the numbers of a step are known. So they are refused.
"""

from __future__ import annotations

import operator
from typing import Any

import numpy as np

from tinygrad_rnn.compiler.frontend.refusals import asking_function, refused


class PythonNumbers:
    """The methods of an array that need its numbers."""

    __slots__ = ()

    def _numbers(self, problem: str, why: str, cure: str) -> Any:
        """The numbers, for Python code. Raises TraceError if they differ from step to step."""
        function = asking_function()
        if function is not None:
            problem = f"{function}, or its derivative, needs the numbers of a value of the step"
            why = "but a program is written before they are known"
            cure = "use other NumPy functions"
        raise refused(problem, why, cure)

    def __bool__(self) -> bool:
        return bool(
            self._numbers(
                "the cell's Python code decides by the numbers of an array",
                "as an `if` does, so one program cannot serve all steps",
                "write the choice with np.where",
            )
        )

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Any:
        numbers = self._numbers(
            "a value of the step is made a plain array",
            "and in a program it would be the same at all steps; np.asarray(x) does that, and so "
            "do a[x] and a[0] = x, where a is an array that is made in the cell",
            "let the cell hold a, call a NumPy function of x",
        )
        return np.array(numbers, dtype) if copy else np.asarray(numbers, dtype)

    def _number(self) -> Any:
        return self._numbers(
            "the cell's Python code makes a Python number of an array",
            "and in a program it would be the same at all steps",
            "compute with the array itself",
        )

    def __float__(self) -> float:
        return float(self._number())

    def __int__(self) -> int:
        return int(self._number())

    def __index__(self) -> int:
        return operator.index(self._number()[()])

    def __round__(self, digits: int | None = None) -> Any:
        return round(self._number()[()], digits)

    def __hash__(self) -> int:
        return hash(self._number()[()])

    def __format__(self, spec: str) -> str:
        return format(self._number()[()], spec)

    def item(self, *place: Any) -> Any:
        return self._number().item(*place)

    def tolist(self) -> Any:
        return self._number().tolist()
