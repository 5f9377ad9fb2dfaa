"""Two traces of one cell are compared call by call."""

from __future__ import annotations

import operator
import re
from typing import Any, NamedTuple

import numpy as np

from tinygrad_rnn.compiler.frontend.refusals import name_of
from tinygrad_rnn.compiler.frontend.tracer import handle_of
from tinygrad_rnn.compiler.frontend.values import Value
from tinygrad_rnn.compiler.frontend.witness import Call, Witness, tokens, told, witness_of
from tinygrad_rnn.compiler.ir import ordered
from tinygrad_rnn.compiler.operations import filled


class Pair(NamedTuple):
    one: Any
    other: Any


def of(cell: Any, table: Any = None) -> Witness:
    x, w = Value(np.ones(3), "x"), Value(np.arange(3.0) if table is None else table, "w")
    result = cell(handle_of(x), handle_of(w)).value
    return witness_of(ordered([x, w, result]), [result], [w])


def test_equal_traces_agree() -> None:
    first, second = (of(lambda x, w: np.tanh(x * 2.0) + w) for _ in range(2))
    assert first.difference(second) is None and first == second and first.names == ("w",)


def test_the_difference_is_said() -> None:
    def said(one: Any, other: Any) -> str:
        difference = of(one).difference(of(other))
        assert difference is not None
        return difference

    assert re.fullmatch(
        r"np.multiply was called with 2.0, and then with 3.0 \(test_witness.py, line \d+\)",
        said(lambda x, w: x * 2.0, lambda x, w: x * 3.0),
    )
    assert "np.tanh was called, and then np.sin" in said(
        lambda x, w: np.tanh(x), lambda x, w: np.sin(x)
    )
    assert "calls were made, and then" in said(lambda x, w: x + w, lambda x, w: x + w + w)
    assert "with an array, and then with another" in said(
        lambda x, w: x + np.ones(3), lambda x, w: x + np.zeros(3)
    )
    assert (
        of(lambda x, w: x + np.full(3, np.nan)).difference(of(lambda x, w: x + np.full(3, np.nan)))
        is None
    )


def test_pinned_arrays_hold_their_numbers() -> None:
    w = Value(np.arange(3.0), "w")
    w.pinned = True
    found = witness_of([w], [w], [w])
    assert found.holds_for([np.arange(3.0)]) and not found.holds_for([np.ones(3)])


def test_functions_are_called_as_a_user_writes_them() -> None:
    assert name_of(np.add.reduce) == "np.add.reduce" and name_of(np.tanh) == "np.tanh"
    assert name_of(operator.getitem) == "an index" and name_of(filled) == "np.full"
    assert name_of(np.vectorize(abs)) == "abs" and name_of(3) == ""


def test_nestings_values_and_slices_are_compared() -> None:
    value = Value(np.ones(2))
    for first, then, says in (
        ([value, 1], [value, 2], "1, and then with 2"),
        ((1, 2), (1, 2, 3), "a tuple of 2, and then with a tuple of 3"),
        ({"axis": 0}, {"axis": 1}, "0, and then with 1"),
        (slice(1), slice(2), r"slice(None, 1, None), and then with slice(None, 2, None)"),
        (value, np.ones(2), "value 0, and then with an array"),
        (1.0, np.float32(1.0), "1.0, and then with np.float32(1.0)"),
    ):
        mine, theirs = (
            Call(np.sum, tokens(given, {id(value): 0}), None) for given in (first, then)
        )
        assert told(mine, theirs) == f"np.sum was called with {says}"
    assert tokens(Pair(value, 1), {id(value): 0}) == ((Pair, 2), "value 0", (int, "1"))
    assert tokens([1, [2]], {}) != tokens([1, 2], {}) != tokens((1, 2), {})
