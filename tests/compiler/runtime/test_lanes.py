"""Lanes for windows: as many as losses look back over a step, and each for its own stretch."""

from __future__ import annotations

import numpy as np
import pytest

import tinygrad_rnn as tg
from tests.recurrent.own_strategies import for_all, for_each
from tinygrad_rnn.compiler.runtime.lanes import schedule
from tinygrad_rnn.recurrent.truncation import Windows

T = 11
WINDOWS = [s for s in for_all(T) if isinstance(s, Windows)]


@pytest.mark.parametrize("truncation", [*WINDOWS, tg.Window(3), tg.TBPTT(2, 5)], ids=repr)
def test_every_loss_goes_through_the_steps_that_it_reaches(truncation: Windows) -> None:
    steps, lanes = schedule(truncation, T)
    reached = np.zeros((T, T), bool)
    losses: dict[int, list[int]] = {}
    for s, alive in zip(reversed(range(T)), steps, strict=True):
        assert len({lane.number for lane in alive}) == len(alive) <= lanes
        for lane in alive:
            assert lane.cut is None
            if lane.start:
                losses[lane.number] = []
            if lane.seeded:
                losses[lane.number].append(s)
            for t in losses[lane.number]:
                reached[t, s] = True
    np.testing.assert_array_equal(reached, truncation.weights(T) != 0)


@pytest.mark.parametrize(
    "truncation",
    [
        *(s for s in for_each(T, 3) if isinstance(s, Windows)),
        tg.Window([0, 2, 2]),
        tg.TBPTT([2, 3, 3], [5, 4, 7]),
    ],
    ids=repr,
)
def test_every_sequence_is_cut_where_its_reach_ends(truncation: Windows) -> None:
    steps, _ = schedule(truncation, T)
    weights = truncation.weights(T)
    reached = np.zeros(weights.shape)
    losses: dict[int, dict[int, np.ndarray]] = {}
    for s, alive in zip(reversed(range(T)), steps, strict=True):
        for lane in alive:
            if lane.start:
                losses[lane.number] = {}
            if lane.seeded:
                losses[lane.number][s] = np.ones(weights.shape[2])
            for t, there in losses[lane.number].items():
                reached[t, s] = there
                losses[lane.number][t] = there if lane.cut is None else there * lane.cut
    np.testing.assert_array_equal(reached, weights)
    assert all(lane.cut is None for lane in steps[-1])  # nothing flows on from step 0


def test_a_window_of_k_links_needs_one_lane_more() -> None:
    for k in (1, 2, 5):
        assert schedule(tg.Window(k), 20)[1] == k + 1


def test_no_steps() -> None:
    assert schedule(tg.Window(2), 0) == ([], 0)
