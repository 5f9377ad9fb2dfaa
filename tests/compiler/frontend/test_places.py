"""Plain arrays are replaced wherever a cell holds them, and put back."""

from __future__ import annotations

import functools
import types
from collections import deque
from typing import Any

import numpy as np
import pytest

import tinygrad_rnn as tg
from tinygrad_rnn.compiler.frontend.captures import CellKey
from tinygrad_rnn.compiler.frontend.places import (
    Contents,
    Instead,
    in_place,
    is_traced,
    places_of,
)
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
        pytest.raises(tg.TraceError, match=r"stores a value of the step \(slot\)"),
        in_place(containers, {}),
    ):
        cell.slot = handle_of(Value(ARRAY))  # type: ignore[assignment]
    assert cell.slot is ARRAY


def test_traced_values_in_sequences_and_in_bound_methods() -> None:
    handle, other = handle_of(Value(ARRAY)), np.zeros(2)
    assert is_traced([1, (handle,)]) and not is_traced([ARRAY, (1,)])
    instead = Instead({id(ARRAY): other})
    bound = types.MethodType(tuple.count, (ARRAY, 1))
    assert instead(bound).__self__[0] is other


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
