"""Links and resets: the cell that takes them with its input computes what the engine computes."""

import numpy as np
import pytest

import tinygrad_rnn as tg
from tinygrad_rnn.compiler.frontend.between_steps import between_steps, for_all

T, B, D = 4, 2, 3


def cell(x: tg.Tensor, h: tg.Tensor) -> tg.Tensor:
    return h + x


def test_the_cell_itself_where_nothing_happens() -> None:
    assert between_steps(cell, tg.Full(), None, T, [], []) == ((), [], cell)
    no_reset = np.zeros(T, bool)
    assert between_steps(cell, tg.Links(np.ones(T)), no_reset, T, [], [])[2] is cell


def test_links_scale_the_gradient_and_resets_give_zeros() -> None:
    states = [tg.Tensor(np.ones((B, D), np.float32))]
    reset = np.zeros((T, B), bool)
    reset[2] = True, False
    names, (xi, rows), step = between_steps(
        cell, tg.Links([1, 0.5, 1, 0]), reset, T, [np.zeros((T, B, D))], states
    )
    assert names == ("xi", "restart") and xi.dtype == np.float32 and rows.shape == (T, B)
    h = tg.Tensor(np.ones((B, D)), requires_grad=True)
    after = step((np.zeros((B, D)), xi[1], rows[2]), h)
    np.testing.assert_array_equal(after.data, [[0] * D, [1] * D])
    np.sum(after).backward()
    np.testing.assert_array_equal(h.grad, [[0] * D, [0.5] * D])


def test_one_value_for_a_whole_step() -> None:
    assert for_all(np.array([[1, 1], [2, 2]])).tolist() == [1, 2]
    assert for_all(np.array([[1, 2], [2, 2]])).shape == (2, 2)


def test_one_value_per_sequence_needs_a_state_with_rows() -> None:
    """`scan` once ignored such a reset, which `unroll` refuses."""
    ones, reset = np.ones((T, B)), np.zeros((T, B), bool)
    ones[1, 0], reset[1, 0] = 0.5, True
    for run in (tg.unroll, tg.scan):
        for given in ({"reset": reset}, {"truncation": tg.Links(ones)}):
            with pytest.raises(ValueError, match=r"each of 2 sequences, but .* the shape \(\)"):
                run(lambda x, h: h + np.sum(x), np.ones((T, B, D)), np.float64(0.0), **given)
