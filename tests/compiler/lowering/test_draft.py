"""Numbers and rows are arrays that are made beforehand."""

from __future__ import annotations

import numpy as np

from tests.compiler.lowering.programs import of_cell
from tests.compiler.programs import B, H, weight


def test_numbers_and_rows_are_arrays_made_beforehand() -> None:
    b = weight(H, name="b")
    program = of_cell(lambda x, h: np.tanh(0.5 * h + x) * (h + b))
    for instr in program.forward.loop:
        assert not any(isinstance(arg, float) for arg in instr.args)
    (spread,) = (b for b in program.buffers if b.name == "b_spread")
    assert spread.shape == (B, H)
