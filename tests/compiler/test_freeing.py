"""Dropping the loss frees the graph of a scan at once: nothing is left to the collector."""

from __future__ import annotations

import gc
import linecache
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import tinygrad_rnn as tg
from tinygrad_rnn.compiler.runtime import cache
from tinygrad_rnn.compiler.runtime.program import LENGTHS
from tinygrad_rnn.compiler.runtime.scan_run import ScanRun, run_of
from tinygrad_rnn.engine.trees import flatten

T, B, D, H = 5, 2, 3, 4
XS = np.random.default_rng(0).normal(size=(T, B, D))
CELLS: dict[str, Callable[[], Any]] = {
    "tanh": lambda: tg.RNNCell(D, H, rng=0),
    "lstm": lambda: tg.LSTMCell(D, H, rng=0),
    "stacked": lambda: tg.Stacked([tg.RNNCell(D, H, rng=0), tg.GRUCell(H, H, rng=1)]),
}


@pytest.fixture(autouse=True)
def no_collector() -> Iterator[None]:
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def loss_of(cell: Any, **options: Any) -> Any:
    states, last = tg.scan(cell, XS, **options)
    total: Any = sum(np.sum(part * part) for part in flatten(last))
    return sum((np.sum(np.sin(part)) for part in flatten(states)), total)


def penalty(loss: Any, weights: list[Any]) -> Any:
    (gradient,) = tg.gradients(loss, weights[:1], create_graph=True)
    return tg.gradients(np.sum(gradient**2), weights[-1:])


ASKED: dict[str, Callable[[Any, list[Any]], Any]] = {
    "nothing": lambda loss, weights: None,
    "backward": lambda loss, weights: loss.backward(),
    "all": lambda loss, weights: tg.gradients(loss, weights),
    "the first": lambda loss, weights: tg.gradients(loss, weights[:1]),
    "the first, recorded": lambda loss, weights: tg.gradients(loss, weights[:1], create_graph=True),
    "all, recorded": lambda loss, weights: tg.gradients(loss, weights, create_graph=True),
    "second order": penalty,
}


@pytest.mark.parametrize("asked", ASKED)
@pytest.mark.parametrize("truncation", [tg.Full(), tg.Subsequence(2), tg.Window(2)], ids=repr)
@pytest.mark.parametrize("name", CELLS)
def test_nothing_is_left_when_the_loss_goes(name: str, truncation: Any, asked: str) -> None:
    cell = CELLS[name]()
    weights = list(cell.parameters().values())
    loss = loss_of(cell, truncation=truncation)
    nodes = [weakref.ref(node) for node in tg.tape(loss) if node.edges]
    assert sum(node().function is tg.scan for node in nodes) == 1  # type: ignore[union-attr]
    found = ASKED[asked](loss, weights)
    del loss, found
    assert [node() for node in nodes if node() is not None] == []


@pytest.mark.parametrize("name", CELLS)
def test_a_scan_leaves_nothing_to_the_collector(name: str) -> None:
    cell = CELLS[name]()
    weights = list(cell.parameters().values())
    for options in ({}, {"checkpoint": 1, "block": 2}, {"outputs": "last"}):
        loss_of(cell, **options)  # the program is written
        gc.collect()
        for ask in ASKED.values():
            ask(loss_of(cell, **options), weights)
        assert gc.collect() == 0


def test_gradients_that_were_not_asked_for_are_forgotten() -> None:
    """An array from above that its owner writes into is another one in the next pass."""
    cell = tg.RNNCell(D, H, rng=0)
    states, _ = tg.scan(cell, XS)
    seed = np.ones(states.shape)
    tg.gradients(states, [cell.W_xh], seed)
    seed *= 3.0
    (found,) = tg.gradients(states, [cell.W_hh], seed)
    np.testing.assert_allclose(found, 3 * tg.gradients(np.sum(states), [cell.W_hh])[0], rtol=1e-12)


def test_buffers_are_kept_for_some_lengths_and_not_for_all() -> None:
    cell = tg.RNNCell(D, 257, rng=0)  # of a width of its own, so the program is, too
    buffers = []
    for steps in range(1, 40):
        states, _ = tg.scan(cell, np.ones((steps, B, D)))
        run = run_of(states.node)
        assert run is not None and run.space is not None
        buffers.append(weakref.ref(run.space.owners[0]))
        del states, _, run
    alive = [buffer() is not None for buffer in buffers]
    assert 1 <= sum(alive) <= LENGTHS < len(alive)


def test_the_source_of_a_program_goes_with_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def cell(x: Any, h: Any) -> Any:
        return np.tanh(x @ weights + h * factor)

    monkeypatch.setattr(cache, "KEPT", 4)
    cache.PROGRAMS.clear()
    weights, before = tg.Tensor(np.ones((D, H)), requires_grad=True), set(linecache.cache)
    for n in range(12):
        factor = float(n)
        tg.scan(cell, XS, np.zeros((B, H)))
    written = [name for name in linecache.cache.keys() - before if name.startswith("<scan")]
    assert len(written) == 4


def test_gradients_stay_known_when_those_of_an_earlier_pass_go() -> None:
    cell = tg.RNNCell(D, H, rng=0)
    states, _ = tg.scan(cell, XS)
    run = run_of(states.node)
    assert run is not None
    first, second = np.ones(states.shape), np.full(states.shape, 2.0)
    run.gradient(first, run.wanted[0])
    run.gradient(second, run.wanted[0])
    known = run.known
    del first
    assert run.known is known is not None
    del second
    assert run.known is None


def test_a_run_that_was_interrupted_before_it_had_buffers_goes_without_a_word() -> None:
    assert ScanRun.__new__(ScanRun).__del__() is None  # type: ignore[func-returns-value]
