"""The warning for a plain number taken out of a Tensor that needs a gradient."""

from __future__ import annotations

import linecache
import re
import sys
import warnings
from typing import Any

from tinygrad_rnn.engine.recording import current_mark, depth

WRITTEN_OUT = re.compile(r"\b(float|complex)\s*\(")


class GradientLostWarning(UserWarning):
    """A Tensor that needs a gradient was asked for a plain number.

    `math.exp(t)`, `array[0] = t`, `array.fill(t)` and `np.fromiter` take the number and leave the
    gradient behind. To make it an error:
    `warnings.simplefilter("error", tg.GradientLostWarning)`.

    Nothing is said where the loss is meant: of `t.item()` and `t.data`, inside `tg.no_grad()`, and
    of a `float(t)` in your code, unless a function is being differentiated there (`tg.grad` and
    its kind), where a number on the way makes the derivative wrong.
    """


def warn_of_lost_gradient(tensor: Any) -> None:
    """Called by `__float__` of a Tensor that needs a gradient."""
    if current_mark() is None:
        return
    frame = sys._getframe(2)  # of whoever called what asked
    if depth.get() == 0:
        line = linecache.getline(frame.f_code.co_filename, frame.f_lineno)
        if WRITTEN_OUT.search(line) if line else "float" in frame.f_code.co_names:
            return
    warnings.warn(
        f"{tensor.name or 'a Tensor'} of shape {tensor.shape} needs a gradient, and was asked for "
        f"a plain number, which has none: use NumPy's function instead of math's, and np.stack "
        f"or np.where instead of writing into an array; or write .item(), if that is meant",
        GradientLostWarning,
        stacklevel=3,
    )
