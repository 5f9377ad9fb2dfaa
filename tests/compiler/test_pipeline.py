"""The stages in order, each shown to a hook that changes nothing."""

from __future__ import annotations

from typing import Any

import tinygrad_rnn as tg
from tests.compiler.programs import D, H, graph_of, inputs
from tinygrad_rnn.compiler.ir import Program, Schedule, StepGraph
from tinygrad_rnn.compiler.pipeline import APART, PASSES, compiled
from tinygrad_rnn.compiler.show import show


def test_every_stage_is_shown() -> None:
    seen: list[tuple[str, Any]] = []
    graph = graph_of(tg.RNNCell(D, H, rng=0), inputs())
    before = show(graph)
    program = compiled(graph, "", lambda *stage: seen.append(stage))
    passes = [transform.__name__ for transform in PASSES]
    later = ["schedule", "lower", "coalesce", "allocate"]
    assert [name for name, _ in seen] == ["trace", *passes, *later]
    kinds = [StepGraph] * (1 + len(PASSES)) + [Schedule, Program, Program, Program]
    assert [type(result) for _, result in seen] == kinds
    assert seen[-1][1] is program and show(graph) == before
    assert show(compiled(graph)) == show(program)


def test_machine_code_joins_no_products() -> None:
    assert [p.__name__ for p in PASSES if p not in APART] == ["fuse_sums", "carry"]
