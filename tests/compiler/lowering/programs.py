"""Programs as `lower` makes them: each value has a buffer of its own."""

from __future__ import annotations

from typing import Any

from tests.compiler.programs import CASES, B, Case, H, inputs, sequence_of, state
from tinygrad_rnn.compiler.frontend.captures import CellKey
from tinygrad_rnn.compiler.ir import Program
from tinygrad_rnn.compiler.pipeline import compiled
from tinygrad_rnn.compiler.runtime.program import step_graph


def of_case(case: Case) -> Program:
    stages: dict[str, Any] = {}
    compiled(step_graph(sequence_of(case), CellKey(case.cell)), "", stages.__setitem__)
    found = stages["lower"]
    assert isinstance(found, Program)
    return found


def lowered(name: str) -> Program:
    return of_case(CASES[name]())


def of_cell(cell: Any, xs: Any = None, start: Any = None) -> Program:
    xs = inputs(width=H) if xs is None else xs
    return of_case(Case(cell, xs, state(B, H) if start is None else start))


def functions(instrs: Any) -> list[Any]:
    return [instr.function for instr in instrs]
