"""How a call without `out` is written."""

from __future__ import annotations

import numpy as np

from tests.compiler.lowering.programs import of_cell
from tests.compiler.programs import H, weight
from tinygrad_rnn.compiler.ir import Storage


def test_a_call_without_out_is_bound_or_copied() -> None:
    W = weight(H, H)
    program = of_cell(lambda x, h: np.tanh(np.cumsum(h @ W, axis=-1) + x))
    (bound,) = (i for i in program.forward.loop if i.function is np.cumsum)
    assert bound.binds() and bound.writes()[0].buffer.storage is Storage.RESULT
    number = of_cell(lambda x, h: np.tanh(h * np.linalg.norm(x)))
    assert not any(i.binds() for i in number.forward.loop)  # an array without axes, to look at
