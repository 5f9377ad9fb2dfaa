"""The interpreter: the definition of what programs mean."""

from __future__ import annotations

import numpy as np

from tests.compiler.backends.test_numpy_source import counting
from tests.compiler.programs import CASES, B, H, T, program_of, sequence_of
from tinygrad_rnn.compiler.backends.interpreter import is_nothing, maker
from tinygrad_rnn.compiler.runtime.lanes import schedule


def test_a_program_by_hand() -> None:
    forward, _ = maker(counting())(4)
    (states,) = forward(np.array(1.0), np.arange(4.0))
    assert states.tolist() == [1, 2, 4, 7]


def test_the_gradient_of_the_initial_state_only_if_it_is_asked_for() -> None:
    case = CASES["rnn"]()
    program = program_of(case).program
    weights = [p.data for p in case.cell.parameters().values()]
    forward, backward = maker(program)(T)
    forward(np.zeros((B, H)), case.xs, *weights)
    given = (0, np.ones((T, B, H)), case.xs, *weights)
    asked, spared = backward(*given, True), backward(*given, False)
    assert asked[0].shape == (B, H) and spared[0] is None
    for one, other in zip(asked[1:], spared[1:], strict=True):
        assert one is other is None or np.array_equal(one, other)
    end = backward(np.ones((B, H)), *given[1:], True)
    assert not np.array_equal(end[0], asked[0])


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


def test_nothing_is_given() -> None:
    assert is_nothing(None) and is_nothing(0) and not is_nothing(np.zeros(2))
