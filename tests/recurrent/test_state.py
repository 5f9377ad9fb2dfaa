"""States: links, detached and reset rows, and parts that are outputs or numbers."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pytest

import tinygrad_rnn as tg
from tests.recurrent.test_lengths import Elsewhere
from tinygrad_rnn.recurrent.state import (
    OUTPUT,
    as_entered,
    as_returned,
    form_of,
    has_numbers,
    has_outputs,
    link,
    per_row,
)


@pytest.mark.parametrize(
    "factor",
    [0.0, 0.5, 1.0, 2.0, *map(np.array, ([0.0, 0.0], [1.0, 1.0], [2.0, 2.0], [0.0, 3.0]))],
    ids=str,
)
def test_a_link_multiplies_the_gradient(factor: Any) -> None:
    w = tg.Tensor(np.ones((2, 3)), requires_grad=True)
    array = np.ones((2, 3))
    h, same, number = link((w * 4.0, array, tg.Tensor(5.0)), factor)
    np.testing.assert_array_equal(h.data, np.full((2, 3), 4.0))
    assert same is array and number.data == 5.0
    np.sum(h + 0.0 * w).backward()
    np.testing.assert_array_equal(w.grad, 4.0 * np.broadcast_to(factor, (3, 2)).T)


def test_a_link_of_one_is_the_state_itself() -> None:
    h = tg.Tensor(np.ones((2, 3)), requires_grad=True) * 4.0
    assert link(h, 1.0) is h and link(h, np.ones(2)) is h
    assert not link(h, 0.0).requires_grad and not link(h, np.zeros(2)).requires_grad


def test_a_factor_is_of_the_library_of_the_state() -> None:
    found = per_row(np.ones(2), np.ones((2, 3, 4)).view(Elsewhere))
    assert type(found) is Elsewhere and found.shape == (2, 1, 1)
    assert type(per_row(np.ones(2), np.ones((2, 3)))) is np.ndarray
    with pytest.raises(ValueError, match=r"each of 2 sequences, but the state has .* \(3, 2\)"):
        per_row(np.ones(2), np.ones((3, 2)))


def test_numbers_beside_rows() -> None:
    assert has_numbers([np.ones(3), 1.0]) and has_numbers([tg.Tensor(1.0), np.ones((3, 2))])
    assert not has_numbers([np.ones(3), np.ones((3, 2))]) and not has_numbers([1.0, 2.0])


class Pair(NamedTuple):
    h: Any
    out: Any


def test_outputs() -> None:
    state = Pair(1.0, [None, {"o": None}])
    form = form_of(state)
    assert form == Pair(1.0, [OUTPUT, {"o": OUTPUT}]) and type(form) is Pair
    assert has_outputs(form) and not has_outputs(form_of((1.0, [2.0])))
    returned = Pair(3.0, [4.0, {"o": 5.0}])
    assert as_entered(form, returned) == Pair(3.0, [None, {"o": None}])
    assert as_returned(form, returned) == Pair(1.0, [4.0, {"o": 5.0}])
    says = r"nested like the initial state, .*, where None .*, but it returned \(\.\.\., \.\.\.\)"
    with pytest.raises(ValueError, match=says):
        as_returned((1.0, OUTPUT, 2.0), (1.0, 2.0))


@pytest.mark.parametrize("cut", [tg.detach, tg.reset])
def test_rows_and_the_parts_without_rows(cut: Any) -> None:
    w, v = (tg.Tensor(np.ones(s), requires_grad=True) for s in ((2, 3), ()))
    array = np.ones((2, 1))
    h, number, plain = cut((w * 4.0, v * 2.0, array), [True, False])
    np.sum(h).backward()
    np.testing.assert_array_equal(w.grad, [[0.0] * 3, [4.0] * 3])
    np.sum(number).backward()
    assert number.data == 2.0 and v.grad == 2.0
    assert h.node.function.__name__ == ("reset" if cut is tg.reset else "scale_gradient")
    kept = 0.0 if cut is tg.reset else 1.0
    assert np.asarray(tg.Tensor(plain).data).tolist() == [[kept], [1.0]]
    assert h.data.tolist() == [[4.0 * kept] * 3, [4.0] * 3]
    h, number, plain = cut((w * 4.0, v * 2.0, array))
    assert not h.requires_grad and not number.requires_grad
    assert number.data == 2.0 * kept and np.all(tg.Tensor(plain).data == kept)
    assert (h.name == "0") is (cut is tg.reset)
