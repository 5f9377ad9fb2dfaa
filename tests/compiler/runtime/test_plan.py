"""The blocks in which a sequence is gone through."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

import tinygrad_rnn as tg
from tinygrad_rnn.compiler.frontend.request import prepared
from tinygrad_rnn.compiler.runtime.plan import NATIVE_ROWS, ROWS, Plan, even, planned

CELL = tg.RNNCell(3, 4, rng=0)


def plan(T: int, batch: int = 2, truncation: Any = None, **options: Any) -> Plan:
    given = {"checkpoint": None, "budget": 1e8, "block": None, "outputs": "all"} | options
    sequence = prepared(CELL, np.zeros((T, batch, 3)), None, truncation, None)
    return planned(sequence, 100, 1000, **given)


@pytest.mark.parametrize("T", [1, 5, 47, 48, 100, 1000])
@pytest.mark.parametrize("block", [None, 7])
def test_blocks_cover_all_steps_once(T: int, block: int | None) -> None:
    found = plan(T, block=block)
    bounds = [found.bounds(n) for n in range(found.blocks)]
    assert bounds[0][0] == 0 and bounds[-1][1] == T
    assert all(stop == start for (_, stop), (start, _) in itertools.pairwise(bounds))


def test_blocks_are_about_even() -> None:
    assert even(100, 48) == 50 and even(47, 48) == 47
    assert plan(1000, batch=ROWS).block < plan(1000, batch=1).block


def test_blocks_of_machine_code_are_longer() -> None:
    assert plan(1000, batch=16).block == 48
    assert plan(1000, batch=16, most=NATIVE_ROWS).block == 200
    for backend, blocks in (("numpy", 21), ("native", 5)):
        pytest.importorskip("llvmlite") if backend == "native" else None
        bptt = tg.BPTT(CELL, tg.mse, backend=backend)
        bptt(np.zeros((1000, 16, 3)), np.zeros((1000, 16, 4)))
        (ready,) = bptt.ready.values()
        assert len(ready.space.blocks) == blocks


def test_a_budget_is_divided_between_a_block_and_states() -> None:
    found = plan(1000, checkpoint="auto", budget=20_000)
    assert found.block == 10 and found.slots == 100 and not found.keeps_blocks and found.whole
    assert plan(1000, checkpoint=3, outputs="last").whole is False
    with pytest.raises(ValueError, match="budget of 1000 bytes is too small"):
        plan(1000, checkpoint="auto", budget=1000)


def test_windows_keep_everything() -> None:
    assert plan(200, truncation=tg.Window(2)) == Plan(200, 200, None, True)
    with pytest.raises(ValueError, match="all states are kept"):
        plan(200, truncation=tg.Window(2), checkpoint=2)


def test_the_states_that_are_kept_first() -> None:
    kept = Plan(100, 10, 3, False).first_kept()
    assert kept[0] == 0 and len(kept) == 3 and kept == sorted(set(kept))
