"""From a trace, which is written while the cell runs, to immutable values."""

from __future__ import annotations

from typing import Any

import numpy as np

import tinygrad_rnn as tg
from tests.compiler.programs import B, Case, D, H, inputs, sequence_of, state
from tinygrad_rnn.compiler.frontend.captures import CellKey
from tinygrad_rnn.compiler.frontend.freeze import GROUPS, frozen
from tinygrad_rnn.compiler.frontend.purity import trace
from tinygrad_rnn.compiler.frontend.trace import Trace
from tinygrad_rnn.compiler.frontend.values import Value as Traced
from tinygrad_rnn.compiler.ir import ordered


def traced(cell: Any, xs: Any, start: Any = None) -> Trace:
    case = Case(cell, xs, start)
    return trace(sequence_of(case).for_trace(CellKey(cell)))


def test_shapes_names_and_calls_are_those_of_the_trace() -> None:
    found = traced(tg.LSTMCell(D, H, rng=0), inputs())
    graph = frozen(found)
    for group in GROUPS:
        for before, after in zip(getattr(found, group), getattr(graph, group), strict=True):
            assert (before is None) is (after is None)
            if before is not None:
                assert (after.shape, after.dtype, after.name) == (
                    *(before.shape, before.dtype, before.name),
                )
    functions = [v.function for v in ordered(found.results)]
    assert [v.function for v in ordered(graph.results)] == functions
    assert not any(isinstance(v, Traced) for v in ordered(graph.outputs()))


def test_results_of_a_call_that_has_several_keep_their_types() -> None:
    def cell(x: Any, h: Any) -> Any:
        values, vectors = np.linalg.eigh(x[:, :, None] * x[:, None, :])
        return h + values @ np.ones((D, H)) + np.sum(vectors)

    graph = frozen(traced(cell, inputs(), state(B, H)))
    (call,) = (v for v in ordered(graph.results) if v.results is not None)
    assert [shape for shape, _ in call.results or ()] == [(B, D), (B, D, D)]
