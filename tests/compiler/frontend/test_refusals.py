"""A refusal names the line of the cell."""

from __future__ import annotations

import inspect
from typing import Any

import numpy as np
import pytest

import tinygrad_rnn as tg
from tinygrad_rnn.compiler.frontend.refusals import here, user_frame


def branching(x: Any, h: Any) -> Any:
    if np.sum(h) > 0:
        return h
    return h + x


def test_the_line_of_the_cell_and_what_to_do() -> None:
    line = inspect.getsourcelines(branching)[1] + 1
    said = rf"decides by the numbers of an array \(test_refusals.py, line {line}\).* np.where"
    with pytest.raises(tg.TraceError, match=said) as caught:
        tg.scan(branching, np.ones((3, 2, 4)), np.zeros((2, 4)))
    assert isinstance(caught.value, TypeError)


def test_a_rule_of_the_table_that_asks_is_not_the_cell() -> None:
    def cell(x: Any, h: Any) -> Any:
        return np.geomspace(x + 2.0, h + 3.0, 2)[0]

    with pytest.raises(tg.TraceError, match="or its derivative, needs the numbers"):
        tg.scan(cell, np.ones((3, 2, 4)), tg.Tensor(np.zeros((2, 4)), requires_grad=True))


def test_outside_of_the_package_it_is_the_caller() -> None:
    assert user_frame() is not None and "test_refusals.py" in here()
