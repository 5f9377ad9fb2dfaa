"""Conditions are one expression of a cell: either all hold, or the cell is another."""

from __future__ import annotations

import gc
from typing import Any

import pytest

from tinygrad_rnn.compiler.frontend import conditions
from tinygrad_rnn.compiler.frontend.conditions import NOTHING, Conditions, contents


def test_all_of_them_must_hold() -> None:
    found = Conditions()
    found.enter(list, "v0", ("{}", "cell"))
    elements = found.named("len(NEW := [*{}]) == {}", "v0", 2)
    for n in range(2):
        found.enter(list, f"v{n + 1}", ("{}[{}]", elements, n))
    find: Any = found.compiled(["v2", "v1"])
    one, two = [1], [2]
    assert find([one, two]) == [two, one]
    assert not find([one, one])  # these are two places of one object
    assert not find([one, (2,)]) and not find([one]) and not find((one, two))


def test_a_class_is_not_kept_alive() -> None:
    class Holder:
        pass

    found = Conditions()
    found.enter(Holder, "v0", ("{}", "cell"))
    find: Any = found.compiled(["v0"])
    assert find(Holder()) and not find(object())
    ((_, _, reference),) = found.conditions
    del Holder
    gc.collect()
    assert reference() is None


def test_too_many_are_not_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    found = Conditions()
    for _ in range(2):
        found.add("{}", "True")
    assert found.compiled([]) is not None
    monkeypatch.setattr(conditions, "MOST", 1)
    assert found.compiled([]) is None


def test_a_variable_without_a_value() -> None:
    def function() -> Any:
        return later

    (variable,) = function.__closure__ or ()
    assert contents(variable) is NOTHING
    later = 3
    assert contents(variable) == 3
