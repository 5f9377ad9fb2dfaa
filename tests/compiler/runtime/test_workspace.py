"""Buffers for one length: free as long as nobody looks into them."""

from __future__ import annotations

from typing import Any

import numpy as np

import tinygrad_rnn as tg
from tests.compiler.programs import Case, inputs, program_of
from tinygrad_rnn.compiler.backends import interpreter
from tinygrad_rnn.compiler.runtime.plan import Plan
from tinygrad_rnn.compiler.runtime.workspace import Workspace

CELL = tg.LSTMCell(3, 4, rng=0)
XS = inputs()
T = len(XS)


def workspace(block: int, slots: int | None, all_states: bool) -> Workspace:
    program = program_of(Case(CELL, XS)).lowered
    plan = Plan(T, block, slots, all_states)
    return Workspace(interpreter.maker(program), program.states, plan)


def arrays() -> list[Any]:
    state = [part.data for part in CELL.initial_state(2)]
    return [*state, XS, *[p.data for p in CELL.parameters().values()]]


def test_every_way_through_the_blocks_is_the_same() -> None:
    expected, gradients = None, None
    for block, slots, all_states in ((T, None, True), (2, None, True), (4, 1, True), (2, 2, False)):
        space = workspace(block, slots, all_states)
        states = [np.array(part) for part in space.forward(arrays(), 1)]
        if not all_states:
            states = [part[None] for part in states]
        expected = expected or states
        for found, part in zip(states, expected, strict=True):
            np.testing.assert_array_equal(found[-1], part[-1])
        seeds: list[Any] = [np.zeros((T, 2, 4)) for _ in states]
        ends = [np.ones((2, 4)) for _ in states]
        back = space.backward(seeds, ends, arrays(), 1)
        gradients = gradients or back
        for one, other in zip(back, gradients, strict=True):
            assert (one is None) is (other is None)
            if one is not None and other is not None:
                np.testing.assert_allclose(one, other, rtol=1e-12, atol=1e-15)


def test_it_is_free_when_nobody_looks_into_it() -> None:
    space = workspace(T, None, True)
    assert space.is_free()
    states = space.forward(arrays(), 1)
    assert not space.is_free()
    del states
    assert space.is_free()
    space.busy = True
    assert not space.is_free()
