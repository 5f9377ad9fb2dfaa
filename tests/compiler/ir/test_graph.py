"""Values and their operands."""

from __future__ import annotations

from dataclasses import FrozenInstanceError
from typing import Any

import numpy as np
import pytest

import tinygrad_rnn as tg
from tests.compiler.programs import D, H, graph_of, inputs, state, weight
from tinygrad_rnn.compiler.ir import Depends, Value, leaves_of, mapped, ordered
from tinygrad_rnn.compiler.passes.rewrite import call

FLOAT = np.dtype(float)


def test_records_are_frozen() -> None:
    value = Value((2,), FLOAT)
    with pytest.raises(FrozenInstanceError):
        value.name = "h"  # type: ignore[misc]
    assert Value((2,), FLOAT) != value and repr(value) == "<value (2,) float64: given>"
    assert value.nbytes == 16
    graph = graph_of(tg.RNNCell(D, H, rng=0), inputs())
    with pytest.raises(FrozenInstanceError):
        graph.windows = True  # type: ignore[misc]


def test_operands_stand_anywhere_among_the_arguments() -> None:
    a, b = Value((2,), FLOAT), Value((), np.dtype(int))
    tree = ([a], {"k": slice(None, b)}, 3)
    made = Value((2,), FLOAT, "", np.add, tree, {"out": (a,)})
    assert made.operands == (a, b, a)
    assert list(leaves_of(mapped(tree, lambda leaf: b if leaf is a else leaf), Value)) == [b, b]
    assert mapped((1, [2, slice(3, 4)]), lambda n: n and n + 1) == (2, [3, slice(4, 5, None)])


def test_operands_come_first_however_deep_the_graph() -> None:
    first = Value((2,), np.dtype(float), "x")
    last = first
    for _ in range(5000):
        last = call(np.sin, last)
    order = ordered([last])
    assert order[0] is first and order[-1] is last and len(order) == 5001
    assert ordered([last, first, last]) == order


def test_what_depends_on_what() -> None:
    W = weight(H, H)

    def cell(x: Any, s: Any) -> Any:
        h = np.tanh(s[0] @ W + x)
        return h, np.sin(h)

    given = state(2, H), state(2, H)
    graph = graph_of(cell, inputs(width=H), given)
    h, output = graph.results
    assert graph.unread == {graph.states[1]} and output not in graph.recurring
    assert (
        graph.recurring == ordered([h]) and graph.uses[h] == 5
    )  # given out, in sin, in cos, twice in h²
    assert graph.depends[h] == Depends.INPUT | Depends.STATE
    assert not graph.depends[graph.parameters[0]]
    of_output = Depends.OUTPUT_GRADIENT, Depends.GRADIENT
    for truncation, known in zip((None, tg.Window(1)), of_output, strict=True):
        graph = graph_of(cell, inputs(width=H), given, truncation=truncation)
        first, last = graph.adjoints
        assert first is not None and last is not None
        assert graph.depends[first] == Depends.GRADIENT and graph.depends[last] == known
