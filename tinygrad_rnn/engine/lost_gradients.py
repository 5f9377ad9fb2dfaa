"""The warning for a plain number taken out of a Tensor that needs a gradient."""

from __future__ import annotations

import linecache
import re
import sys
import warnings
from itertools import islice
from types import FrameType
from typing import Any

from tinygrad_rnn.engine.recording import current_mark, depth

WRITTEN_OUT = re.compile(r"(float|complex)\s*\(")


class GradientLostWarning(UserWarning):
    """A Tensor that needs a gradient was asked for a plain number.

    `math.exp(t)`, `array[0] = t`, `array.fill(t)` and `np.fromiter` take the number and lose the
    gradient. To make it an error:
    `warnings.simplefilter("error", tg.GradientLostWarning)`.

    There is no warning if the loss is intended: for `t.item()` and `t.data`, inside `tg.no_grad()`,
    and for a call written as `float(t)` or `complex(t)`, also in `np.array([float(t), 1.0])`. While
    a function is being differentiated (`tg.grad` and similar functions), `float(t)` does warn,
    because it makes the derivative wrong. `int(t)`, `bool(t)` and comparisons have no gradient to
    lose. A Tensor of several numbers is refused.
    """


def warn_of_lost_gradient(tensor: Any) -> None:
    """Warn of a lost gradient. `__float__` of a Tensor that needs a gradient calls this."""
    if current_mark() is None:
        return
    if depth.get() == 0 and is_written_out(sys._getframe(2)):
        return
    warnings.warn(
        f"{tensor.name or 'a Tensor'} of shape {tensor.shape} needs a gradient, but was turned "
        f"into a plain number, which has none: use NumPy's functions instead of math's, and "
        f"np.stack or np.where instead of writing into an array, or write .item() if you want "
        f"the number",
        GradientLostWarning,
        stacklevel=3,
    )


def is_written_out(frame: FrameType) -> bool:
    """Whether the current call of the frame is written as float(...) or complex(...)."""
    code = frame.f_code
    place = next(islice(code.co_positions(), frame.f_lasti // 2, None), (None,) * 4)
    line = linecache.getline(code.co_filename, place[0] or frame.f_lineno)
    if not line:
        return "float" in code.co_names
    if place[2] is None:  # Python runs without column positions
        return WRITTEN_OUT.search(line) is not None
    return WRITTEN_OUT.match(line.encode()[place[2] :].decode()) is not None
