"""The stages in order: from the step graph of a cell to a program."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tinygrad_rnn.compiler.allocate import allocate
from tinygrad_rnn.compiler.coalesce import coalesce
from tinygrad_rnn.compiler.ir import Program, StepGraph
from tinygrad_rnn.compiler.lowering.lower import lower
from tinygrad_rnn.compiler.passes.assemble import assemble
from tinygrad_rnn.compiler.passes.carry import carry
from tinygrad_rnn.compiler.passes.cse import cse
from tinygrad_rnn.compiler.passes.factor import factor
from tinygrad_rnn.compiler.passes.fuse_sums import fuse_sums
from tinygrad_rnn.compiler.passes.split_outputs import split_outputs
from tinygrad_rnn.compiler.schedule import schedule

PASSES: tuple[Callable[[StepGraph], StepGraph], ...] = (
    *(cse, assemble, fuse_sums, factor, cse),
    *(split_outputs, carry),
)
"""The passes, from step graph to step graph. All but the last two preserve every number up to
rounding. The last two move work out of the step, and record it in fields of the graph. Two
gradients may have got equal factors; so `cse` runs twice."""

APART = tuple(p for p in PASSES if p not in (fuse_sums, carry))
"""The passes for machine code: without those that save calls."""

Hook = Callable[[str, Any], None]


def compiled(
    graph: StepGraph, title: str = "", hook: Hook | None = None, join: bool = True
) -> Program:
    """The program of a step graph. hook: called after each stage with the stage's name and result;
    it changes nothing. join: whether calls are so expensive that products are joined."""
    look = hook or (lambda name, result: None)
    look("trace", graph)
    for transform in PASSES if join else APART:
        graph = transform(graph)
        look(transform.__name__, graph)
    scheduled = schedule(graph)
    look("schedule", scheduled)
    program = lower(scheduled, title)
    look("lower", program)
    for stage in (coalesce, allocate):
        program = stage(program)
        look(stage.__name__, program)
    return program
