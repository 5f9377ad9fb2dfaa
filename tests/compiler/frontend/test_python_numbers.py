"""The numbers of a step are refused to Python code."""

from __future__ import annotations

import operator
from typing import Any

import numpy as np
import pytest

import tinygrad_rnn as tg
from tinygrad_rnn.compiler.frontend.tracer import handle_of
from tinygrad_rnn.compiler.frontend.values import Value

SAYS = {
    "decides by the numbers of an array": [bool],
    "is made a plain array": [np.asarray, np.array],
    "makes a Python number of an array": [
        *(float, int, round, hash, format, operator.index),
        *(operator.methodcaller("item"), operator.methodcaller("tolist")),
    ],
}


@pytest.mark.parametrize(("says", "ask"), [(s, ask) for s, asks in SAYS.items() for ask in asks])
def test_numbers_of_a_step_are_refused(says: str, ask: Any) -> None:
    with pytest.raises(tg.TraceError, match=says):
        ask(handle_of(Value(np.int64(1))))
    fixed = Value(np.int64(1))
    fixed.fixed = frozenset((fixed,))
    assert ask(handle_of(fixed)) == ask(np.int64(1)) and fixed.pinned
