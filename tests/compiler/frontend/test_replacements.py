"""Plain arrays are replaced wherever a cell holds them, and put back."""

from __future__ import annotations

import functools
import types

import numpy as np
import pytest

import tinygrad_rnn as tg
from tests.compiler.frontend.test_places import ARRAY, Holder
from tinygrad_rnn.compiler.frontend.captures import CellKey
from tinygrad_rnn.compiler.frontend.replacements import Instead, in_place, is_traced
from tinygrad_rnn.compiler.frontend.tracer import handle_of
from tinygrad_rnn.compiler.frontend.values import Value


def test_everywhere_and_back() -> None:
    cell, other = Holder(), np.zeros(2)
    containers = CellKey(cell).containers
    with in_place(containers, {id(ARRAY): other}) as instead:
        assert cell.slot is other and cell.attribute["key"][0] is other
        assert cell.attribute["queue"][0] is other
        assert cell(0.0, 0.0).tolist() == [0.0, 0.0]
        assert instead((ARRAY, 1))[0] is other
        assert instead(functools.partial(max, ARRAY)).args[0] is other
    assert cell(0.0, 0.0).tolist() == [4.0, 4.0] and cell.slot is ARRAY


def test_put_back_after_an_exception() -> None:
    cell = Holder()
    containers = CellKey(cell).containers
    with pytest.raises(ZeroDivisionError), in_place(containers, {id(ARRAY): np.zeros(2)}):
        raise ZeroDivisionError
    assert cell.slot is ARRAY


def test_a_traced_value_must_not_stay() -> None:
    cell = Holder()
    containers = CellKey(cell).containers
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
