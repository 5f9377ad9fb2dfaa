"""Programs before buffers share memory."""

from __future__ import annotations

from typing import Any

from tests.compiler.programs import CASES, B, Case, H, inputs, program_of, state
from tinygrad_rnn.compiler.ir import Program


def lowered(name: str) -> Program:
    found = program_of(CASES[name]()).lowered
    assert isinstance(found, Program)
    return found


def of_cell(cell: Any, xs: Any = None, start: Any = None) -> Program:
    xs = inputs(width=H) if xs is None else xs
    made = program_of(Case(cell, xs, state(B, H) if start is None else start))
    assert isinstance(made.lowered, Program)
    return made.lowered


def functions(instrs: Any) -> list[Any]:
    return [instr.function for instr in instrs]
