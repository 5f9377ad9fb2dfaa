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

    `math.exp(t)`, `array[0] = t`, `array.fill(t)` and `np.fromiter` take the number and leave the
    gradient behind. To make it an error:
    `warnings.simplefilter("error", tg.GradientLostWarning)`.

    Nothing is said where the loss is meant: of `t.item()` and `t.data`, inside `tg.no_grad()`, and
    of a call that is written `float(t)` or `complex(t)`, also in `np.array([float(t), 1.0])`,
    unless a function is being differentiated there (`tg.grad` and its kind), where a number on
    the way makes the derivative wrong. `int(t)`, `bool(t)` and comparisons have no gradient to
    lose. A Tensor of several numbers is refused with a TypeError instead.
    """


def warn_of_lost_gradient(tensor: Any) -> None:
    """Called by `__float__` of a Tensor that needs a gradient."""
    if current_mark() is None:
        return
    if depth.get() == 0 and is_written_out(sys._getframe(2)):
        return
    warnings.warn(
        f"{tensor.name or 'a Tensor'} of shape {tensor.shape} needs a gradient, and was asked for "
        f"a plain number, which has none: use NumPy's function instead of math's, and np.stack "
        f"or np.where instead of writing into an array; or write .item(), if that is meant",
        GradientLostWarning,
        stacklevel=3,
    )


def is_written_out(frame: FrameType) -> bool:
    """Whether the call that the frame is making is written float(...) or complex(...)."""
    code = frame.f_code
    place = next(islice(code.co_positions(), frame.f_lasti // 2, None), (None,) * 4)
    line = linecache.getline(code.co_filename, place[0] or frame.f_lineno)
    if not line:
        return "float" in code.co_names
    if place[2] is None:  # Python was told to forget the columns
        return WRITTEN_OUT.search(line) is not None
    return WRITTEN_OUT.match(line.encode()[place[2] :].decode()) is not None
