"""The generators of a cell are found, and can be set back."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest

import tinygrad_rnn as tg
from tests.compiler.frontend.test_trace import step
from tests.compiler.programs import B, H, inputs, state
from tinygrad_rnn.compiler.frontend.captures import CellKey
from tinygrad_rnn.compiler.frontend.purity import random_states, restore, trace


def test_random_numbers_can_be_drawn_again() -> None:
    generator, other = np.random.default_rng(0), random.Random(0)

    def cell(x: Any, h: Any) -> Any:
        return h * generator.random() + other.random() * x

    key = CellKey(cell)
    before = random_states(key)
    drawn = generator.random(), other.random(), np.random.random()
    restore(before)
    assert drawn == (generator.random(), other.random(), np.random.random())
    with pytest.raises(tg.TraceError, match="draws random numbers"):
        trace(step(cell, inputs(width=H), state(B, H)))
