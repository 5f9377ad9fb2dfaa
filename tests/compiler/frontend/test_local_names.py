"""Values have the names of the variables that hold them."""

from __future__ import annotations

from typing import Any

import numpy as np

import tinygrad_rnn as tg
from tests.compiler.frontend.test_trace import step
from tests.compiler.programs import B, D, H, state, weight
from tinygrad_rnn.compiler.frontend.purity import trace


def test_names_come_from_the_variables_of_the_cell() -> None:
    W = weight(D, H, name="W")

    def cell(x: Any, h: Any) -> Any:
        gate = tg.sigmoid(x @ W)
        return gate * np.tanh(h)

    found = trace(step(cell, start=state(B, H)))
    named = {v.name for v in found.results[0].operands}
    assert named == {"gate", "tanh_h"}
    gradient = found.parameter_gradients[0]
    assert gradient is not None and gradient.shape == (D, H)
