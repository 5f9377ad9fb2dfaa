"""Scans of one cell from several threads: each has the states and gradients of its own."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

import tinygrad_rnn as tg

D, H, THREADS = 2, 3, 4


@pytest.fixture(autouse=True)
def quick_switches() -> Iterator[None]:
    """Threads that take turns as often as Python allows."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


def states_and_gradients(run: Callable[..., Any], cell: Any, xs: Any, create: bool) -> list[Any]:
    weights = list(cell.parameters().values())
    states, _ = run(cell, xs)
    states = np.stack(states) if isinstance(states, list) else states
    found = tg.gradients(np.sum(np.sin(states)), weights, create_graph=create)
    return [np.array(states.data), *(tg.Tensor(g).data for g in found)]


def side_by_side(cell: Any, inputs: list[Any], orders: list[Any], create: bool = False) -> None:
    """One thread for each order, in which it goes through the inputs and compares with `unroll`."""
    expected = [states_and_gradients(tg.unroll, cell, xs, False) for xs in inputs]

    def work(order: Any) -> None:
        for n in order:
            got = states_and_gradients(tg.scan, cell, inputs[n], create)
            for mine, theirs in zip(got, expected[n], strict=True):
                np.testing.assert_allclose(mine, theirs, rtol=1e-12, atol=1e-12)

    with ThreadPoolExecutor(len(orders)) as pool:
        list(pool.map(work, orders))


@pytest.mark.parametrize("create", [False, True], ids=["first order", "second order"])
def test_one_program_in_several_threads(create: bool) -> None:
    inputs = list(np.random.default_rng(0).normal(size=(THREADS, 30, 2, D)))
    rounds = 20 if create else 100
    orders = [[n] * rounds for n in range(THREADS)]
    side_by_side(tg.RNNCell(D, H, rng=0), inputs, orders, create)


def test_programs_written_while_other_threads_run_the_cell() -> None:
    cell = tg.RNNCell(D, H, rng=0)
    cell.W_hh = np.tanh(cell.W_hh)
    inputs = [np.random.default_rng(n).normal(size=(4, 2 + n, D)) for n in range(20)]
    each = np.repeat(range(20), 3)
    side_by_side(cell, inputs, [np.random.default_rng(n).permutation(each) for n in range(THREADS)])


def test_a_scan_inside_a_cell_takes_the_lock_again() -> None:
    inner = tg.RNNCell(D, H, rng=0)

    class Outer:
        def initial_state(self, batch: int) -> Any:
            return tg.scan(inner, np.ones((3, batch, D)), outputs="last")[1]

        def __call__(self, x: Any, h: Any) -> Any:
            return np.tanh(x + h)

    states, _ = tg.scan(Outer(), np.ones((4, 2, H)))
    assert states.shape == (4, 2, H)
