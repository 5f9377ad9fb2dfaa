"""Equal calls on equal arguments are one, and a name survives."""

from __future__ import annotations

from typing import Any

import numpy as np

from tests.compiler.programs import B, D, H, functions_of, graph_of, inputs, state, weight
from tinygrad_rnn.compiler.ir import ordered
from tinygrad_rnn.compiler.passes.cse import cse, identity


def test_equal_calls_are_one_and_keep_a_name() -> None:
    W = weight(H, H)

    def cell(x: Any, h: Any) -> Any:
        twin = np.tanh(h @ W)
        other = np.tanh(h @ W)
        return np.tanh(h @ W) * twin * other

    graph = graph_of(cell, inputs(width=H), state(B, H))
    assert functions_of(graph.results).count("tanh") == 3
    found = cse(graph)
    assert functions_of(found.results) == ["matmul", "tanh", "multiply", "multiply"]
    names = {value.name for value in ordered(found.results)}
    assert "twin" in names and "other" not in names  # the first name, wherever it comes


def test_unlike_constants_are_not_one() -> None:
    one, other = np.ones(2), np.ones(2)
    assert identity(1) != identity(1.0) and identity(True) != identity(1)
    assert identity(one) != identity(other) and identity((1, 2)) != identity([1, 2])
    assert identity({"a": slice(1, 2)}) == identity({"a": slice(1, 2)})
    graph = graph_of(lambda x, h: np.tanh(2 * h) + np.tanh(2.0 * h) + x, inputs(), state(B, D))
    assert functions_of(cse(graph).results).count("tanh") == 2
