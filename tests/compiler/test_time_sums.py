"""Σ_t of a value outside of the loop: the way that is chosen, and when there is none."""

from __future__ import annotations

import operator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import tinygrad_rnn as tg
from tests.compiler.programs import B, H, graph_of, inputs, state, weight
from tinygrad_rnn.compiler.ir import T, Value
from tinygrad_rnn.compiler.operations import added_at, assembled, filled, scattered
from tinygrad_rnn.compiler.passes.assemble import assemble, concatenated
from tinygrad_rnn.compiler.passes.cse import cse
from tinygrad_rnn.compiler.passes.rewrite import call
from tinygrad_rnn.compiler.schedule import schedule
from tinygrad_rnn.compiler.time_sums import (
    factors,
    is_sum_at_indices,
    joint_products,
    vector_of,
)

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
    (found,) = (call for call in schedule(graph).sums if call and call.value is gradient)
    assert found.function is function


def test_the_same_in_all_steps() -> None:
    graph = graph_of(lambda x, h: h + b + x, inputs(width=H), state(B, H))
    twice = call(np.tanh, graph.parameters[0])
    (found,) = schedule(replace(graph, parameter_gradients=(twice,))).sums
    assert found is not None and found.args[0] is T


def test_a_product_with_a_constant_is_no_product_of_rows() -> None:
    graph = graph_of(lambda x, h: np.tanh(h @ W + x), inputs(width=H), state(B, H))
    (x,), (p, *_) = graph.inputs, graph.parameters
    wide = call(np.transpose, call(np.matmul, x, p))
    product = call(np.matmul, call(np.transpose, p), wide)
    (found,) = schedule(replace(graph, parameter_gradients=(product,))).sums
    assert found is not None and found.function is np.sum


def test_each_term_of_a_sum_has_its_own_way() -> None:
    def cell(x: Any, h: Any) -> Any:
        return np.tanh(np.einsum("bi,ij->bj", h, W) + x @ W)

    graph = assemble(cse(graph_of(cell, inputs(width=H), state(B, H))))
    (found,) = (call for call in schedule(graph).sums if call is not None)
    ways = {operand.value.function for operand in found.args}
    assert found.function is np.add and ways == {None, np.matmul}


FLOAT = np.dtype(float)
A, C, V, U = (Value(shape, FLOAT) for shape in ((2, 3), (2, 4), (3,), (4,)))


def test_factors() -> None:
    turned = call(np.swapaxes, A, -1, -2)
    assert factors(call(np.matmul, turned, C)) == (A, C)
    assert factors(call(np.matmul, call(np.transpose, A), C)) == (A, C)
    square = Value((2, 2), FLOAT)
    assert factors(call(np.matmul, call(np.swapaxes, square, 0, 0), C)) is None  # turns nothing
    assert factors(call(np.add, A, A)) is None and factors(call(np.matmul, square, C)) is None
    assert factors(call(np.matmul, A, turned)) is None and factors(call(np.matmul, V, V)) is None
    assert factors(call(np.matmul, np.ones((3, 2)), C)) is None
    assert factors(call(np.multiply, A, 2.0)) is None


def test_factors_of_an_outer_product() -> None:
    column, row = call(np.reshape, V, (3, 1)), call(operator.getitem, U, (None, slice(None)))
    assert vector_of(column) is V and vector_of(row) is U and vector_of(A) is A
    for right in (row, U):
        assert factors(call(np.multiply, column, right)) == (V, U)
        assert factors(call(np.multiply, right, column)) == (V, U)
    backwards = call(operator.getitem, V, (slice(None, None, -1), None))
    assert factors(call(np.multiply, backwards, row)) is None  # not the column of V
    assert factors(call(np.multiply, column, Value((3, 4), FLOAT))) is None


def test_products_of_the_parts_of_a_row_are_one() -> None:
    for one, other in ((V, U), (A, C)):
        row, right = concatenated([one, other], -1), Value((*one.shape[:-1], 5), FLOAT)
        if one.ndim == 1:
            gradients = [call(np.multiply, call(np.expand_dims, v, 1), right) for v in (one, other)]
        else:
            gradients = [call(np.matmul, call(np.transpose, v), right) for v in (one, other)]
        joint = joint_products([row], gradients)
        assert list(joint) == [(one, right), (other, right)]
        assert {found.value.value.shape for found in joint.values()} == {(7, 5)}
        assert not joint_products([row], gradients[:1])  # one alone is not joined


def test_a_sum_at_indices_is_added_to_zeros() -> None:
    zeros, index = call(filled, (4,), 0, FLOAT), Value((2,), np.dtype(int))
    rows, mask = Value((2,), FLOAT), Value((4,), np.dtype(bool))
    assert is_sum_at_indices(call(added_at, zeros, index, rows))
    for args in ((U, index, rows), (zeros, np.array([0, 0]), rows), (zeros, mask, rows)):
        assert not is_sum_at_indices(Value((4,), FLOAT, "", added_at, args))
    assert not is_sum_at_indices(call(np.sin, zeros))


def test_a_column_that_runs_backwards_is_not_summed_forwards() -> None:
    backwards = tg.derivative(
        lambda h, W: h[::-1] @ W,
        lambda g, h, W: (W @ g)[::-1],
        lambda g, h, W: h[::-1, None] * g,
    )
    V, xs, h_0 = weight(H, H), inputs(width=H)[:, 0], np.ones(H)
    found = []
    for run in (tg.unroll, tg.scan):
        V.grad = None
        states, _ = run(lambda x, h: np.tanh(backwards(h, V) + x), xs, h_0)
        np.sum(states[-1]).backward()
        found.append(V.grad)
    np.testing.assert_allclose(*found, 1e-12)
