"""The reference evaluator gives what `unroll` gives."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tinygrad_rnn as tg
from tests.compiler.programs import B, D, H, graph_of, inputs
from tinygrad_rnn.compiler.evaluate import evaluated, unrolled
from tinygrad_rnn.compiler.ir import Value
from tinygrad_rnn.compiler.passes.rewrite import call


@pytest.mark.parametrize("make", [tg.RNNCell, tg.LSTMCell, tg.GRUCell])
def test_a_whole_sequence(make: Any) -> None:
    cell, xs = make(D, H, rng=0), tg.Tensor(inputs(), requires_grad=True)
    graph = graph_of(cell, xs)
    start = [tg.Tensor(np.full((B, H), 0.1), requires_grad=True) for _ in graph.states]
    given = tuple(start) if len(start) > 1 else start[0]
    states, _ = tg.unroll(cell, xs, given)
    parts = list(zip(*states, strict=True)) if len(start) > 1 else [states]
    rng = np.random.default_rng(1)
    seeds = [rng.standard_normal((len(xs.data), B, H)) for _ in start]
    loss: Any = sum(np.sum(np.stack(part) * seed) for part, seed in zip(parts, seeds, strict=True))
    parameters = list(cell.parameters().values())
    right = tg.gradients(loss, [*start, xs, *parameters])
    found = unrolled(graph, [h.data for h in start], [xs.data], [p.data for p in parameters], seeds)
    for part, stacked in zip(parts, found.states, strict=True):
        np.testing.assert_array_equal(stacked, np.stack([h.data for h in part]))
    flat = [*found.of_states, *found.of_inputs, *found.of_parameters]
    for gradient, other in zip(flat, right, strict=True):
        np.testing.assert_allclose(gradient, other, 1e-12, 1e-14)


def test_values_are_computed_once_and_in_order() -> None:
    a = Value((2,), np.dtype(float), "a")
    calls = []

    def count(x: Any) -> Any:
        calls.append(x)
        return x + 1

    b = Value((2,), a.dtype, "", count, (a,))
    c = call(np.add, b, b)
    known = evaluated([c, b], {a: np.ones(2)})
    assert known[c].tolist() == [4, 4] and len(calls) == 1
    with pytest.raises(AssertionError, match="no number is"):
        evaluated([c], {})
