"""The interpreter: the definition of what programs mean."""

from __future__ import annotations

from typing import Any

import numpy as np

import tinygrad_rnn as tg
from tests.compiler.backends.test_numpy_source import counting
from tests.compiler.programs import CASES, B, H, T, program_of, sequence_of
from tinygrad_rnn.compiler.backends.interpreter import maker
from tinygrad_rnn.compiler.runtime import cache
from tinygrad_rnn.compiler.runtime.lanes import schedule


def test_a_program_by_hand() -> None:
    forward, _ = maker(counting())(4)
    (states,) = forward(np.array(1.0), np.arange(4.0))
    assert states.tolist() == [1, 2, 4, 7]


def test_what_enters_behind_the_last_step_reaches_the_first_state() -> None:
    case = CASES["rnn"]()
    program = program_of(case).program
    weights = [p.data for p in case.cell.parameters().values()]
    forward, backward = maker(program)(T)
    forward(np.zeros((B, H)), case.xs, *weights)
    given = np.ones((T, B, H)), case.xs, *weights
    found, end = backward(0, *given), backward(np.ones((B, H)), *given)
    assert found[0].shape == (B, H) and not np.array_equal(end[0], found[0])


def test_lanes() -> None:
    """A window of no links: every loss looks at its own step alone."""
    case = CASES["window"]()
    program = program_of(case).program
    weights = [p.data for p in case.cell.parameters().values()]
    forward, backward = maker(program)(T)
    forward(np.zeros((B, H)), case.xs, *weights)
    seed = np.zeros((T, B, H))
    seed[-1] = 1
    lanes = schedule(sequence_of(case).truncation, T)
    found = backward(*lanes, seed, case.xs, *weights)
    assert not found[0].any() and found[2].any()  # the last loss does not reach the initial state


def test_windows_of_each_sequence() -> None:
    """The lanes are cut by rows, but not the lane of a number, which belongs to no sequence."""
    W = tg.Tensor(np.random.default_rng(1).normal(size=(H, H)), requires_grad=True)
    start = tg.Tensor(np.ones((B, H))), tg.Tensor(0.5, requires_grad=True)

    def cell(x: Any, state: Any) -> Any:
        h, number = state
        return np.tanh(h @ W + x), np.tanh(number + W[0, 0])

    given = np.random.default_rng(0).normal(size=(T, B, H)), start, tg.Window((0, 2))

    def gradients() -> list[Any]:
        (states, numbers), last = tg.scan(cell, *given, backend="numpy")
        loss = np.sum(np.sin(states)) + np.sum(np.sin(numbers)) + np.sum(last[0])
        return tg.gradients(loss, [W, start[1]])

    tg.clear_programs()
    expected = gradients()
    ((program,),) = cache.PROGRAMS.values()
    program.make = maker(program.program)
    program.spaces.clear()
    for mine, theirs in zip(gradients(), expected, strict=True):
        np.testing.assert_array_equal(mine, theirs)
    tg.clear_programs()
