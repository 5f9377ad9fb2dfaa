"""The places of containers, and their contents before and after."""

from __future__ import annotations

from collections import deque
from typing import Any

import numpy as np
import pytest

from tinygrad_rnn.compiler.frontend.places import Contents, places_of

ARRAY = np.ones(2)


class Holder:
    __slots__ = ("__dict__", "slot")

    def __init__(self) -> None:
        self.slot, self.attribute = ARRAY, {"key": [ARRAY], "queue": deque([ARRAY])}

    def __call__(self, x: Any, h: Any) -> Any:
        return h + self.slot + self.attribute["key"][0] + self.attribute["queue"][0] + ARRAY


def test_slots_and_variables_without_a_value() -> None:
    cell = Holder()
    del cell.slot
    assert "slot" not in {key for _, key, _ in places_of(cell)}

    def function() -> Any:
        return later

    before = Contents([function])
    later = 1
    assert before.restore(lambda _: True) == ["nonlocal later"]
    with pytest.raises(NameError):
        function()


def test_a_default_that_is_gone_stays_so() -> None:
    def function(x: Any, h: Any = ARRAY) -> Any:
        return h

    before = Contents([function])
    function.__defaults__ = None
    before.restore_all()
    assert function.__defaults__ is None
    before = Contents([function])
    function.__defaults__ = (ARRAY,)
    assert before.restore(lambda _: True) == ["__defaults__"] and function(1) is ARRAY


def test_contents_are_restored() -> None:
    cell = Holder()
    before = Contents([cell, cell.attribute])
    cell.slot, cell.new = np.zeros(2), 1  # type: ignore[attr-defined]
    cell.attribute["more"] = []
    assert set(before.restore(lambda _: True)) == {"slot", "new", "more"}
    assert cell.slot is ARRAY and not hasattr(cell, "new") and "more" not in cell.attribute
