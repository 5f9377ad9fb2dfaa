"""The page: NumPy source with a comment above each call of machine code."""

import pytest

pytest.importorskip("llvmlite")

import tinygrad_rnn as tg
from tests.compiler.native.test_programs import Compiled
from tests.compiler.programs import CASES, D, H, inputs
from tinygrad_rnn.compiler.backends.native import page


def test_what_is_fused_is_told():
    text = tg.scan_source(tg.RNNCell(D, H, rng=0), inputs(), backend="native")
    call = text.index("run_forward_1(", text.index("def forward"))
    notes = text[text.index("# forward_1, machine code:") : call]
    assert "for each step" in notes and "tanh(" in notes and "W_hh" in notes


def test_what_is_left_to_numpy_is_told_first():
    source, links, program = page.written(Compiled(CASES["einsum"]()).program)
    first = source.partition("import numpy")[0].splitlines()
    assert first and all(line.startswith("# NumPy: ") for line in first)
    assert any("einsum is none of its functions" in line for line in first)
    assert all(f"{name}(" in source for name in links)
    assert {i.function.__name__ for i in program.setup if i.function in links.values()} == {*links}


def test_a_loop_in_python_calls_machine_code_at_each_step():
    source, *_ = page.written(Compiled(CASES["attention"]()).program)
    assert "what is the same at all steps." in source and "step_forward" in source


def test_llvm_ir():
    program = Compiled(CASES["rnn"]()).program
    text = page.llvm_ir(program)
    assert "define i64 @forward_1(" in text and text == page.llvm_ir(program)
