"""Names are given once, and none that a printed program uses for other things."""

from __future__ import annotations

import ast

from tests.compiler.programs import CASES, program_of
from tinygrad_rnn.compiler.backends.numpy_source import source
from tinygrad_rnn.compiler.lowering.names import Names
from tinygrad_rnn.compiler.operations import HELPERS


def test_each_name_is_given_once() -> None:
    names = Names()
    assert [names.fresh(n) for n in ("h", "h", "", "2x", "a b", "lambda", "tanh", "T")] == [
        *("h", "h2", "a", "_2x", "a_b", "lambda2", "tanh2", "T2")
    ]


def test_a_value_may_have_the_name_of_what_a_program_has_already() -> None:
    """Functions of the page, such as `entered`, and its lists of steps."""
    page = source(program_of(CASES["rnn_one_row"]()).program)
    module = ast.parse(page)
    defined = {node.name for node in ast.walk(module) if isinstance(node, ast.FunctionDef)}
    assert {"with_end", "rows", "forward"} <= defined
    for name in (*defined, *(f.__name__ for f in HELPERS), "forward_steps", "backward_steps"):
        assert Names().fresh(name) == f"{name}2"
