"""Programs are kept by what cell and arguments are, and not for ever."""

from __future__ import annotations

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


def test_clearing_forgets_all() -> None:
    program(tg.RNNCell(3, 4, rng=0))
    tg.clear_programs()
    assert not cache.PROGRAMS
