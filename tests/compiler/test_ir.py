"""The records: references and views mean what their docstrings say."""

from __future__ import annotations

from dataclasses import FrozenInstanceError

import numpy as np
import pytest

from tinygrad_rnn.compiler.ir import (
    Buffer,
    Instr,
    Ref,
    Storage,
    T,
    Value,
    View,
    When,
    leaves_of,
    mapped,
)

FLOAT = np.dtype(float)
H = Buffer("h", (2, 8), FLOAT, Storage.STATE, 1)


def test_records_are_frozen() -> None:
    value = Value((2,), FLOAT)
    with pytest.raises(FrozenInstanceError):
        value.name = "h"  # type: ignore[misc]
    assert Value((2,), FLOAT) != value and repr(value) == "<value (2,) float64: given>"
    assert Value((2,), FLOAT, results=(((2, 3), FLOAT), ((), FLOAT))).nbytes == 56


def test_operands_stand_anywhere_among_the_arguments() -> None:
    a, b = Value((2,), FLOAT), Value((), np.dtype(int))
    tree = ([a], {"k": slice(None, b)}, 3)
    made = Value((2,), FLOAT, "", np.add, tree, {"out": (a,)})
    assert made.operands == (a, b, a)
    assert list(leaves_of(mapped(tree, lambda leaf: b if leaf is a else leaf), Value)) == [b, b]
    assert mapped((1, [2, slice(3, 4)]), lambda n: n and n + 1) == (2, [3, slice(4, 5, None)])


def test_strides_of_what_is_meant() -> None:
    columns = View("index", (Ellipsis, slice(2, 6)))
    turned = View("transpose", (1, 0))
    step = Ref(H, When.STEP, 1, (columns, turned))
    assert step.strided() == ((4, 2), (1, 8), 2)
    whole = Ref(H, When.ALL, 1)
    assert whole.strided(3) == ((3, 2, 8), (16, 8, 1), 16)
    rows = Ref(H, When.ALL, 0, (View("reshape", (-1, 8)),))
    assert rows.strided(3)[0] == (6, 8)
    assert step == Ref(H, When.STEP, 1, (columns, turned), name="g") and step.dtype == FLOAT


def test_views() -> None:
    array = np.arange(6.0).reshape(2, 3)
    assert View("reshape", (T, 3)).of(array, 2).shape == (2, 3)
    assert View("broadcast", (T, 2, 3)).of(array, 4).shape == (4, 2, 3)
    assert View("index", (0, 1, Ellipsis)).of(array).shape == ()
    assert repr(T) == "T"


def test_what_binds_a_name_and_what_writes() -> None:
    result = Buffer("dW", (2, 8), FLOAT, Storage.RESULT)
    a, out = Ref(H, When.FIRST), Ref(result)
    assert Instr(np.tanh, (a,), out).binds()
    assert not Instr(np.add, (out, a), out).binds()  # added up
    assert not Instr(np.tanh, (a,), Ref(result, views=(View("index", (0,)),))).binds()
    assert not Instr(np.tanh, (a,), Ref(H, When.LAST)).binds()
    instr = Instr(np.add, (a, [out]), Ref(H, When.LAST), guard=out)
    assert list(instr.reads()) == [a, out, out] and instr.writes() == (Ref(H, When.LAST),)


def test_buffers_that_share() -> None:
    other = Buffer("a", (2, 8), FLOAT, Storage.STATE, 1, shares=H)
    assert other.root is H is H.root and repr(H) == "h: float64 (T+1, 2, 8) state"
