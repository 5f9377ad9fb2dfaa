"""Values and their operands."""

from __future__ import annotations

from dataclasses import FrozenInstanceError

import numpy as np
import pytest

from tinygrad_rnn.compiler.ir import Value, leaves_of, mapped

FLOAT = np.dtype(float)


def test_records_are_frozen() -> None:
    value = Value((2,), FLOAT)
    with pytest.raises(FrozenInstanceError):
        value.name = "h"  # type: ignore[misc]
    assert Value((2,), FLOAT) != value and repr(value) == "<value (2,) float64: given>"
    assert value.nbytes == 16


def test_operands_stand_anywhere_among_the_arguments() -> None:
    a, b = Value((2,), FLOAT), Value((), np.dtype(int))
    tree = ([a], {"k": slice(None, b)}, 3)
    made = Value((2,), FLOAT, "", np.add, tree, {"out": (a,)})
    assert made.operands == (a, b, a)
    assert list(leaves_of(mapped(tree, lambda leaf: b if leaf is a else leaf), Value)) == [b, b]
    assert mapped((1, [2, slice(3, 4)]), lambda n: n and n + 1) == (2, [3, slice(4, 5, None)])
