"""The ways to sum a gradient over the steps, as instructions."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tinygrad_rnn as tg
from tests.compiler.lowering.programs import functions, of_cell
from tests.compiler.programs import B, D, H, inputs, weight
from tinygrad_rnn.compiler.ir import Instr, Storage
from tinygrad_rnn.compiler.operations import scattered


def of_sum(cell: Any, xs: Any = None) -> list[Instr]:
    return list(of_cell(cell, xs).backward.after)


def test_ways_to_sum_over_the_steps() -> None:
    W, b, E = weight(H, H, name="W"), weight(H, name="b"), weight(7, H, name="E")
    tokens = np.zeros((6, B), int)
    ways: dict[Any, list[Instr]] = {
        np.matmul: of_sum(lambda x, h: h @ W + x),
        np.dot: of_sum(lambda x, h: np.tanh(h + b + x)),
        np.add: of_sum(lambda x, h: np.tanh(x @ W) + h @ W),
        scattered: of_sum(lambda i, h: np.tanh(E[i] + h), tokens),
    }
    for function, instrs in ways.items():
        assert function in functions(instrs), function
    assert [i.comment for i in ways[np.matmul]] == ["Σ_t h_{t−1}ᵀ dh_t"]
    einsum = of_cell(lambda x, h: np.einsum("bi,ij->bj", h, W) + x)
    assert einsum.backward.after == () and np.zeros in functions(einsum.backward.before)


def test_equal_gradients_are_arrays_of_their_own() -> None:
    a, b = weight(H, name="a"), weight(H, name="b")
    instrs = of_sum(lambda x, h: np.tanh(h + a + b + x))
    assert functions(instrs)[-1] is np.copy


@pytest.mark.parametrize("needs", [True, False])
def test_gradients_of_inputs_are_the_callers(needs: bool) -> None:
    cell = tg.RNNCell(D, H, rng=0)
    program = of_cell(cell, tg.Tensor(inputs(), requires_grad=needs))
    found = program.backward.result[1]
    assert (found is not None) is needs
    assert found is None or found.buffer.storage is Storage.RETURNED
