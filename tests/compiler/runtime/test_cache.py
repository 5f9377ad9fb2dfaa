"""Programs are kept by what cell and arguments are, and not for ever."""

from __future__ import annotations

import gc
import os
import weakref
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import tinygrad_rnn as tg
from tinygrad_rnn.compiler.frontend.captures import CellKey
from tinygrad_rnn.compiler.frontend.request import prepared
from tinygrad_rnn.compiler.runtime import cache


@pytest.fixture(autouse=True)
def no_programs() -> Iterator[None]:
    tg.clear_programs()
    yield
    tg.clear_programs()


def program(cell: Any, width: int = 3, batch: int = 2) -> Any:
    sequence = prepared(cell, np.ones((5, batch, width)), None, None, None)
    return cache.program_for(sequence, CellKey(cell))


def test_cells_of_one_structure_share_a_program() -> None:
    first, second = tg.RNNCell(3, 4, rng=0), tg.RNNCell(3, 4, rng=1)
    assert program(first) is program(second)
    assert program(first, batch=7) is not program(first)
    assert program(tg.RNNCell(3, 4, "relu", rng=0)) is not program(first)
    assert len(cache.PROGRAMS) == 3


def test_the_oldest_go(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache, "KEPT", 2)
    cell = tg.RNNCell(3, 4, rng=0)
    oldest = program(cell, batch=1)
    for batch in (2, 3):
        program(cell, batch=batch)
    assert len(cache.PROGRAMS) == 2
    assert program(cell, batch=1) is not oldest


def test_several_programs_for_one_key_are_told_apart_by_pinned_numbers() -> None:
    table = np.array([1.0, 2.0])
    W = tg.Tensor(np.eye(3), requires_grad=True)

    def cell(x: Any, h: Any) -> Any:
        return np.tanh(h @ W + x) * (1.0 if table[0] > 0 else 2.0)

    def found() -> Any:
        sequence = prepared(cell, np.ones((5, 2, 3)), np.zeros((2, 3)), None, None)
        return cache.program_for(sequence, CellKey(cell))

    first = found()
    table[0] = -1.0
    second = found()
    table[0] = 1.0
    assert second is not first and found() is first
    assert [len(programs) for programs in cache.PROGRAMS.values()] == [2]


def test_pinned_numbers_that_change_between_two_calls_of_a_propagation() -> None:
    """The calls that take the fast path look at them, too."""
    table = np.array([1.0])
    W = tg.Tensor(np.eye(3) / 2, requires_grad=True)
    bptt = tg.BPTT(lambda x, h: np.tanh(h @ W + x) * (1.0 if table[0] > 0 else 2.0), tg.mse)
    given = np.ones((5, 2, 3)), np.zeros((5, 2, 3)), np.zeros((2, 3))
    for n in range(8):
        table[0] = -1.0 if n in (4, 5, 7) else 1.0
        np.testing.assert_allclose(bptt(*given)[0], bptt.record(*given).data, rtol=1e-13)


def test_what_the_compiler_cannot_do_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*arguments: Any) -> Any:
        raise ZeroDivisionError("by nobody's fault")

    monkeypatch.setattr(cache, "Program", fail)
    with pytest.raises(tg.TraceError, match=r"failed with ZeroDivisionError \(by nobody's"):
        program(tg.RNNCell(3, 4, rng=0))
    with pytest.raises(ZeroDivisionError):  # neither does the cell itself run
        prepared_and_run(lambda x, h: 1 // 0)


def prepared_and_run(cell: Any) -> None:
    sequence = prepared(cell, np.ones((5, 2, 3)), np.zeros((2, 3)), None, None)
    cache.program_for(sequence, CellKey(cell))


def test_the_name_of_what_changed() -> None:
    assert cache.changed_name(("layer", "k", 1), ("layer", "k", 2)) == " (k)"
    assert cache.changed_name((0, 1), (0, 2)) == cache.changed_name((0,), (0, 1)) == ""


def test_a_program_that_was_forgotten_meanwhile_is_renewed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FACTOR", "1")
    cell = lambda x, h: np.tanh(x * float(os.environ["FACTOR"]) + h)  # noqa: E731
    sequence = prepared(cell, np.ones((5, 2, 3)), np.zeros((2, 3)), None, None)
    old = cache.program_for(sequence, CellKey(cell))
    tg.clear_programs()
    monkeypatch.setenv("FACTOR", "2")
    with pytest.warns(tg.StaleProgramWarning):
        fresh = cache.up_to_date(old, sequence, CellKey(cell), verify=True)
    assert fresh is not old and [fresh] in cache.PROGRAMS.values()


class Doubling:
    def step(self, x: Any, h: Any) -> Any:
        return np.tanh(2 * h + x)


def test_buffers_are_freed_with_the_last_cell_that_they_ran_for() -> None:
    one, two = Doubling(), Doubling()
    given = np.ones((5, 2, 3)), tg.Tensor(np.zeros((2, 3)), requires_grad=True)
    for owner in (one, two):
        tg.scan(owner.step, *given)
    ((kept,),) = cache.PROGRAMS.values()
    assert kept.owner() is two and kept.spaces
    del one, owner
    gc.collect()
    assert kept.owner() is two and kept.spaces
    del two
    gc.collect()
    assert not kept.spaces


def test_buffers_are_freed_by_their_owner_alone() -> None:
    one, two = Doubling(), Doubling()
    given = np.ones((5, 2, 3)), tg.Tensor(np.zeros((2, 3)), requires_grad=True)
    tg.scan(one.step, *given)
    ((kept,),) = cache.PROGRAMS.values()
    before = kept.owner
    tg.scan(two.step, *given)
    cache.release(weakref.ref(kept), before)  # as another thread may do meanwhile
    assert kept.owner() is two and kept.spaces


def test_a_cell_without_weak_references() -> None:
    xs = np.arange(6.0).reshape(3, 2)
    states, _ = tg.scan(np.add, xs, np.ones(2))
    np.testing.assert_array_equal(states.data, 1 + np.cumsum(xs, axis=0))
    ((kept,),) = cache.PROGRAMS.values()
    assert kept.owner is None


def test_clearing_forgets_all() -> None:
    program(tg.RNNCell(3, 4, rng=0))
    tg.clear_programs()
    assert not cache.PROGRAMS
