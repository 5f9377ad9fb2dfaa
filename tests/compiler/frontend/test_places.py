"""Plain arrays are replaced wherever a cell holds them, and put back."""

from __future__ import annotations

import functools
from collections import deque
from typing import Any

import numpy as np
import pytest

import tinygrad_rnn as tg
from tinygrad_rnn.compiler.frontend.captures import CellKey
from tinygrad_rnn.compiler.frontend.places import Contents, in_place
from tinygrad_rnn.compiler.frontend.tracer import handle_of
from tinygrad_rnn.compiler.frontend.values import Value

ARRAY = np.ones(2)


class Holder:
    __slots__ = ("__dict__", "slot")

    def __init__(self) -> None:
        self.slot, self.attribute = ARRAY, {"key": [ARRAY], "queue": deque([ARRAY])}

    def __call__(self, x: Any, h: Any) -> Any:
        return h + self.slot + self.attribute["key"][0] + self.attribute["queue"][0] + ARRAY


def test_everywhere_and_back() -> None:
    cell, other = Holder(), np.zeros(2)
    containers = CellKey(cell, watching=True).containers
    with in_place(containers, {id(ARRAY): other}) as instead:
        assert cell.slot is other and cell.attribute["key"][0] is other
        assert cell.attribute["queue"][0] is other
        assert cell(0.0, 0.0).tolist() == [0.0, 0.0]
        assert instead((ARRAY, 1))[0] is other
        assert instead(functools.partial(max, ARRAY)).args[0] is other
    assert cell(0.0, 0.0).tolist() == [4.0, 4.0] and cell.slot is ARRAY


def test_put_back_after_an_exception() -> None:
    cell = Holder()
    containers = CellKey(cell, watching=True).containers
    with pytest.raises(ZeroDivisionError), in_place(containers, {id(ARRAY): np.zeros(2)}):
        raise ZeroDivisionError
    assert cell.slot is ARRAY


def test_a_traced_value_must_not_stay() -> None:
    cell = Holder()
    containers = CellKey(cell, watching=True).containers
    with (
        pytest.raises(tg.TraceError, match=r"keeps a value of the step \(slot\)"),
        in_place(containers, {}),
    ):
        cell.slot = handle_of(Value(ARRAY))  # type: ignore[assignment]
    assert cell.slot is ARRAY


def test_contents_are_restored() -> None:
    cell = Holder()
    before = Contents([cell, cell.attribute])
    cell.slot, cell.new = np.zeros(2), 1  # type: ignore[attr-defined]
    cell.attribute["more"] = []
    assert set(before.restore(lambda _: True)) == {"slot", "new", "more"}
    assert cell.slot is ARRAY and not hasattr(cell, "new") and "more" not in cell.attribute
