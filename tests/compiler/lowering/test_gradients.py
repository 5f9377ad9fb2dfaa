"""What a step takes from the loss and from the link, and the gradients that are returned."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tinygrad_rnn as tg
from tests.compiler.lowering.programs import functions, lowered, of_cell
from tests.compiler.programs import B, D, H, inputs, weight
from tinygrad_rnn.compiler.ir import Instr, Ref, Storage
from tinygrad_rnn.compiler.operations import (
    copy,
    entered,
    over_lanes,
    scattered,
    with_end,
)


def test_what_a_step_takes_from_the_loss_and_from_the_link() -> None:
    program = lowered("rnn")
    first = program.backward.loop[0]
    (link,) = program.links
    assert first.function is np.add and first.args[0] == Ref(link)
    assert program.backward.loop[-1].function is copy
    assert program.backward.loop[-1].writes() == (Ref(link),)


def test_outputs_get_what_comes_from_behind_the_last_step() -> None:
    program = lowered("output_layer")
    assert with_end in functions(program.backward.before)
    assert program.outputs == {1} and program.output_grads == {0}


def test_gradients_of_the_first_state_are_returned() -> None:
    def of(name: str) -> Any:
        after = lowered(name).backward.after
        return next(i.function for i in after if i.writes()[0].buffer.name == "dh_0")

    assert of("rnn") is np.array and of("window") is over_lanes
    assert of("rnn_one_row") is np.dot and of("loss_alone_one_row") is entered


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
    assert [i.comment for i in ways[np.matmul]] == ["Σ_t h_{t−1}ᵀ dh_t", ""]
    einsum = of_cell(lambda x, h: np.einsum("bi,ij->bj", h, W) + x)
    assert functions(einsum.backward.after) == [np.array]  # of the first state
    (total,) = (i.writes()[0].buffer for i in einsum.backward.before if i.args == (0,))
    assert total.storage is Storage.RETURNED and total is einsum.backward.result[-1].buffer


def test_equal_gradients_are_arrays_of_their_own() -> None:
    a, b = weight(H, name="a"), weight(H, name="b")
    instrs = of_sum(lambda x, h: np.tanh(h + a + b + x))
    assert functions(instrs)[-2:] == [np.copy, np.array]  # of the second bias and of the state


@pytest.mark.parametrize("needs", [True, False])
def test_gradients_of_inputs_are_the_callers(needs: bool) -> None:
    cell = tg.RNNCell(D, H, rng=0)
    program = of_cell(cell, tg.Tensor(inputs(), requires_grad=needs))
    found = program.backward.result[1]
    assert (found is not None) is needs
    assert found is None or found.buffer.storage is Storage.RETURNED
