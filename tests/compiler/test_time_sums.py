"""Σ_t of a value outside of the loop: the way that is chosen, and when there is none."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from tests.compiler.programs import B, H, graph_of, inputs, state, weight
from tinygrad_rnn.compiler.dependence import Dependence
from tinygrad_rnn.compiler.ir import T, Value
from tinygrad_rnn.compiler.operations import assembled, scattered
from tinygrad_rnn.compiler.passes.assemble import assemble
from tinygrad_rnn.compiler.passes.cse import cse
from tinygrad_rnn.compiler.passes.rewrite import call
from tinygrad_rnn.compiler.time_sums import factors, time_sum, untransposed, vector_of

W, b, E = weight(H, H, name="W"), weight(H, name="b"), weight(7, H, name="E")
full = weight(B, H, name="full")

CELLS: dict[str, tuple[Any, Any, Any]] = {
    "a matrix": (lambda x, h: np.tanh(h @ W + x), W, np.matmul),
    "a tied matrix": (lambda x, h: np.tanh(h @ W) + x @ W, W, np.add),
    "a transposed matrix": (lambda x, h: np.tanh(h @ W.T + x), W, np.copy),
    "a row": (lambda x, h: np.tanh(h + b + x), b, np.dot),
    "an embedding": (lambda i, h: np.tanh(E[i] + h), E, scattered),
    "a slice": (lambda x, h: np.tanh(h + b[:1] + x), b, assembled),
    "of the step's shape": (lambda x, h: np.tanh(x) * full + h, full, np.sum),
    "in the loop": (lambda x, h: np.tanh(np.einsum("bi,ij->bj", h, W) + x), W, None),
}


@pytest.mark.parametrize("name", CELLS)
def test_ways(name: str) -> None:
    cell, tensor, function = CELLS[name]
    xs = np.zeros((3, B), int) if name == "an embedding" else inputs(width=H)
    graph = assemble(cse(graph_of(cell, xs, state(B, H))))
    n = [p.name for p in graph.parameters].index(tensor.name)
    gradient = graph.parameter_gradients[n]
    assert gradient is not None
    assert time_sum(gradient, Dependence(graph), {}).function is function


def test_the_same_in_all_steps() -> None:
    graph = graph_of(lambda x, h: h + b + x, inputs(width=H), state(B, H))
    twice = call(np.tanh, graph.parameters[0])
    known = Dependence(replace(graph, parameter_gradients=(twice,)))
    assert time_sum(twice, known, {}).args[0] is T


def test_factors() -> None:
    a, c = Value((2, 3), np.dtype(float)), Value((2, 4), np.dtype(float))
    turned = call(np.swapaxes, a, -1, -2)
    assert factors(call(np.matmul, turned, c)) == (a, c) and untransposed(turned) is a
    assert factors(call(np.add, a, a)) is None and untransposed(a) is None
    column, row = call(np.reshape, Value((3,), a.dtype), (3, 1)), Value((3,), a.dtype)
    assert vector_of(column, 1) is column.args[0] and vector_of(row, 0) is row
    assert vector_of(a, 1) is None and vector_of(2.0, 0) is None
