"""Parts that slicing scatters are put together, unless they overlap."""

from __future__ import annotations

from typing import Any

import numpy as np

from tests.compiler.programs import B, D, H, functions_of, graph_of, inputs, state, weight
from tinygrad_rnn.compiler.ir import Value
from tinygrad_rnn.compiler.operations import added_at, assembled, filled
from tinygrad_rnn.compiler.passes.assemble import assemble, covers, disjoint, is_sum_at
from tinygrad_rnn.compiler.passes.cse import cse
from tinygrad_rnn.compiler.passes.rewrite import call, ordered


def test_parts_of_a_gradient_are_put_together() -> None:
    W = weight(D, 2 * H)

    def cell(x: Any, h: Any) -> Any:
        z = x @ W
        return np.tanh(z[:, :H]) * h + z[:, H:]

    found = assemble(cse(graph_of(cell, inputs(), state(B, H))))
    (gradient,) = (g for g in found.parameter_gradients if g is not None)
    (whole,) = (v for v in ordered([gradient]) if v.function is assembled)
    assert len(whole.args[3]) == 2 and covers(whole)
    assert "placed" not in functions_of([gradient])


def test_overlapping_parts_are_added() -> None:
    shape, dtype = (4,), np.dtype(float)
    part = Value((2,), dtype)

    def of(index: slice) -> Value:
        return Value(shape, dtype, "", assembled, (shape, dtype, (index,), [part]))

    nothing = Value((0, 3), dtype, "", assembled, ((0, 3), dtype, (slice(0, 2),), [part]))
    assert disjoint(nothing, nothing) and covers(nothing)  # a batch of 0
    assert disjoint(of(slice(0, 2)), of(slice(2, 4)))
    assert not disjoint(of(slice(0, 2)), of(slice(1, 3))) and not covers(of(slice(0, 2)))
    W = weight(D, H)

    def cell(x: Any, h: Any) -> Any:
        z = x @ W
        return np.concatenate([z[:, 0:3], z[:, 1:2]], axis=1) * h

    graph = assemble(cse(graph_of(cell, inputs(), state(B, H))))
    (gradient,) = (g for g in graph.parameter_gradients if g is not None)
    assert sum(v.function is assembled for v in ordered([gradient])) == 2


def test_a_sum_at_indices_is_added_to_zeros() -> None:
    zeros, rows = call(filled, (4,), 0, np.dtype(float)), Value((2,), np.dtype(float))
    index = np.array([0, 0])
    assert is_sum_at(call(added_at, zeros, index, rows))
    assert not is_sum_at(call(added_at, Value((4,), np.dtype(float)), index, rows))
    assert not is_sum_at(call(np.sin, zeros))
