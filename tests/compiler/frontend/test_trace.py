"""One step of a cell, run on traced arrays and differentiated."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

import tinygrad_rnn as tg
from tests.compiler.programs import B, Case, D, H, inputs, sequence_of, state, weight
from tinygrad_rnn.compiler.frontend.captures import CellKey
from tinygrad_rnn.compiler.frontend.purity import trace
from tinygrad_rnn.compiler.frontend.trace import Step, is_tracing


def step(cell: Any, xs: Any = None, start: Any = None) -> Step:
    return sequence_of(Case(cell, inputs() if xs is None else xs, start)).for_trace(CellKey(cell))


def test_gradients_are_there_for_whoever_needs_one() -> None:
    cell = tg.RNNCell(D, H, rng=0)
    cell.W_xh.requires_grad = False
    found = trace(step(cell, tg.Tensor(inputs(), requires_grad=True)))
    assert found.input_gradients[0] is not None and found.state_gradients[0] is not None
    assert [g is not None for g in found.parameter_gradients] == [
        p.requires_grad for p in CellKey(cell).arrays
    ]
    assert len(found.outputs()) == 3 + len(found.parameters)


def test_nothing_is_left_behind() -> None:
    seen: list[bool] = []
    W = weight(H, H)

    def cell(x: Any, h: Any) -> Any:
        seen.append(is_tracing())
        return np.tanh(h @ W + x)

    before, node = W.data, W.node
    trace(step(cell, inputs(width=H), state(B, H)))
    assert seen == [True, True] and not is_tracing()
    assert W.data is before and W.node is node and W.grad is None


def test_what_a_cell_returns_is_refused_as_by_unroll() -> None:
    for cell, start in (
        (lambda x, h: h[:1], state(B, D)),
        (lambda x, h: [h], state(B, D)),
        (lambda x, h: h.astype(np.float32), state(B, D)),
        (lambda x, h: None, state(B, D)),
        (lambda x, h: h[0], (state(B, D), None)),
    ):
        with pytest.raises((TypeError, ValueError)) as plain:
            tg.unroll(cell, inputs(), start)
        with pytest.raises(plain.type) as compiled:
            trace(step(cell, inputs(), start))
        assert str(compiled.value) == str(plain.value)


def test_a_weight_that_cannot_be_found() -> None:
    hidden = itertools.cycle([weight(H, H)])

    def cell(x: Any, h: Any) -> Any:
        return np.tanh(h @ next(hidden) + x)

    with pytest.raises(tg.TraceError, match="cannot be found from the cell"):
        trace(step(cell, inputs(width=H), state(B, H)))
