"""Conditions are one expression; whatever goes wrong in it means that they do not hold."""

from __future__ import annotations

from typing import Any

import pytest

from tinygrad_rnn.compiler.frontend.conditions import NOTHING, Conditions, contents


class Holder:
    def __init__(self) -> None:
        self.W: Any = [1.0]


def test_all_of_them_must_hold() -> None:
    holder, entries, numbers = Holder(), {"a": Holder()}, [Holder(), Holder()]
    found = Conditions()
    found.add("{}.W is {}", holder, holder.W)
    found.add_entry(entries, "a")
    found.add_entry(entries, "b")
    found.add("all(map(is_, {}, {}))", numbers, [*numbers])
    assert found.hold() and found.hold()
    entries["b"] = Holder()
    assert not found.hold()
    del entries["b"]
    assert found.hold()
    numbers.reverse()
    assert not found.hold()


@pytest.mark.parametrize("undo", [lambda h: delattr(h, "W"), lambda h: setattr(h, "W", [1.0])])
def test_an_exception_or_an_equal_thing_is_a_change(undo: Any) -> None:
    holder, found = Holder(), Conditions()
    found.add("{}.W is {}", holder, holder.W)
    assert found.hold()
    undo(holder)
    assert not found.hold()


def test_nothing_to_ask() -> None:
    assert Conditions().hold()


def test_a_variable_without_a_value() -> None:
    def function() -> Any:
        return later

    (variable,) = function.__closure__ or ()
    assert contents(variable) is NOTHING
    later = 3
    assert contents(variable) == 3
