"""Checkpoints: the fewest runs for the slots there are, and the same gradients to the last bit."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tinygrad_rnn as tg
from tinygrad_rnn.compiler.runtime import checkpoint
from tinygrad_rnn.compiler.runtime.workspace import Workspace
from tinygrad_rnn.engine.trees import flatten

T, B, D, H = 23, 2, 3, 4


@functools.cache
def fewest(n: int, slots: int) -> int:
    """Over all places for the next state, by definition."""
    if n == 1 or slots == 1:
        return n * (n + 1) // 2
    return min(y + fewest(n - y, slots - 1) + fewest(y, slots) for y in range(1, n))


def runs(n: int, slots: int) -> int:
    """The number of units that a schedule runs forward in all."""
    kept, total = [0], 0
    for action in checkpoint.schedule(n, slots):
        is_advance = isinstance(action, checkpoint.Advance)
        start, stop = action if is_advance else (action[0], action[0] + 1)
        kept = [unit for unit in kept if unit <= start]
        total += stop - kept[-1]
        if is_advance:
            kept.append(stop)
    return total


def test_no_schedule_needs_fewer_runs() -> None:
    for slots in range(1, 12):
        for n in range(1, 70):
            assert runs(n, slots) == fewest(n, slots), (n, slots)
    assert [runs(1000, slots) for slots in (10, 20, 50, 1000)] == [4636, 3747, 2948, 1999]


@pytest.mark.parametrize(("n", "slots"), [(1, 1), (7, 1), (40, 3), (100, 10), (9, 50)])
def test_schedule_reverses_each_unit_once_and_keeps_to_its_slots(n: int, slots: int) -> None:
    kept, reversed_units = [0], []
    for action in checkpoint.schedule(n, slots):
        if isinstance(action, checkpoint.Advance):
            kept = [unit for unit in kept if unit <= action.start]
            assert kept[-1] == action.start
            kept.append(action.stop)
        else:
            kept = [unit for unit in kept if unit <= action.unit]
            reversed_units.append(action.unit)
        assert len(kept) <= slots
    assert reversed_units == list(reversed(range(n)))


@pytest.mark.parametrize(("slots", "most"), [(10, 4636), (20, 3747), (50, 2948)])
def test_cell_steps_really_run(slots: int, most: int, monkeypatch: pytest.MonkeyPatch) -> None:
    cell, steps = tg.RNNCell(1, 2, rng=0), 0
    run = Workspace._run

    def counted(self: Any, n: int, *given: Any) -> Any:
        nonlocal steps
        start, stop = self.plan.bounds(n)
        steps += stop - start
        return run(self, n, *given)

    monkeypatch.setattr(Workspace, "_run", counted)
    _, last = tg.scan(cell, np.ones((1000, 1, 1)), checkpoint=slots, block=1, outputs="last")
    np.sum(last).backward()
    assert steps <= most


CELLS: dict[str, Callable[[], Any]] = {
    "rnn": lambda: tg.RNNCell(D, H, rng=0),
    "lstm": lambda: tg.LSTMCell(D, H, rng=0),
    "gru": lambda: tg.GRUCell(D, H, rng=0),
}


def gradients(cell: Any, truncation: Any = None, **options: Any) -> list[Any]:
    rng = np.random.default_rng(3)
    xs = tg.Tensor(rng.standard_normal((T, B, D)), requires_grad=True)
    first = cell.initial_state(B)
    parts = [tg.Tensor(rng.standard_normal((B, H)), requires_grad=True) for _ in flatten(first)]
    inputs = [*cell.parameters().values(), xs, *parts]
    for tensor in inputs:
        tensor.grad = None
    state = tuple(parts) if isinstance(first, tuple) else parts[0]
    states, last = tg.scan(cell, xs, state, truncation, **options)
    loss: Any = sum(np.sum(np.sin(part)) for part in flatten(last))
    for part in [] if states is None else flatten(states):
        loss = loss + np.sum(np.cos(part))
    loss.backward()
    return [loss.data, *(tensor.grad for tensor in inputs)]


@pytest.mark.parametrize("outputs", ["all", "last"])
@pytest.mark.parametrize("truncation", [None, tg.Subsequence(3)], ids=repr)
@pytest.mark.parametrize("name", CELLS)
def test_same_to_the_last_bit(name: str, truncation: Any, outputs: str) -> None:
    cell = CELLS[name]()
    plain = gradients(cell, truncation, outputs=outputs)
    for block in (1, 4, T):
        whole = gradients(cell, truncation, outputs=outputs, block=block)
        for mine, theirs in zip(whole, plain, strict=True):
            np.testing.assert_allclose(mine, theirs, rtol=1e-12, atol=1e-12)
        for slots in (1, 2, 3, 5, 30, "auto"):
            options = {"outputs": outputs, "block": block, "checkpoint": slots}
            for mine, theirs in zip(gradients(cell, truncation, **options), whole, strict=True):
                np.testing.assert_array_equal(mine, theirs)


def test_backward_twice() -> None:
    cell = tg.RNNCell(D, H, rng=0)
    _, last = tg.scan(cell, np.ones((T, B, D)), checkpoint=2, block=4, outputs="last")
    loss = np.sum(last)
    loss.backward()
    once = cell.W_hh.grad.copy()
    loss.backward()
    np.testing.assert_array_equal(cell.W_hh.grad, 2 * once)


def test_last_state_alone_is_differentiated_twice() -> None:
    cell = tg.RNNCell(D, H, rng=0)
    xs = np.ones((T, B, D))

    def loss(run: Callable[..., Any], W_hh: Any) -> Any:
        cell.W_hh = W_hh
        return np.sum(np.square(run(cell, xs)[1]))

    weights, direction = cell.W_hh.data, np.ones((H, H))
    compiled = functools.partial(tg.scan, checkpoint=3, block=2, outputs="last")
    expected = tg.hvp(lambda W: loss(tg.unroll, W), weights, direction)
    got = tg.hvp(lambda W: loss(compiled, W), weights, direction)
    np.testing.assert_allclose(got.data, expected.data, rtol=0, atol=1e-12)


def test_a_budget_is_kept_or_refused() -> None:
    cell = tg.RNNCell(D, H, rng=0)
    with pytest.raises(ValueError, match="a budget of 100 bytes is too small"):
        tg.scan(cell, np.ones((T, B, D)), checkpoint="auto", budget=100)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"checkpoint": 0}, "at least 1 state"),
        ({"checkpoint": "some"}, "checkpoint must be a number"),
        ({"outputs": "first"}, "outputs must be"),
        ({"block": 0}, "at least 1 step"),
        ({"checkpoint": 3, "truncation": tg.Window(2)}, "all states are kept"),
    ],
)
def test_wrong_options(options: dict[str, Any], message: str) -> None:
    with pytest.raises((ValueError, TypeError), match=message):
        tg.scan(tg.RNNCell(D, H, rng=0), np.ones((T, B, D)), **options)
