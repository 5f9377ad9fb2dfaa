"""The NumPy source: what is printed runs by itself, and is the program."""

from __future__ import annotations

import ast

import numpy as np
import pytest

from tests.compiler.programs import CASES, program_of
from tinygrad_rnn.compiler.backends.numpy_source import maker, source
from tinygrad_rnn.compiler.ir import Buffer, Instr, Program, Ref, Sections, Storage, When
from tinygrad_rnn.compiler.operations import copy


@pytest.mark.parametrize("name", CASES)
def test_the_source_needs_numpy_alone(name: str) -> None:
    tree = ast.parse(program_of(CASES[name]()).source)
    imports = [ast.unparse(node) for node in ast.walk(tree) if isinstance(node, ast.Import)]
    assert imports == ["import numpy as np"]
    others = [node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    assert others in ([], ["numpy"])


def counting() -> Program:
    """h_t = h_{t−1} + x_t, of numbers."""
    h = Buffer("h", (), np.dtype(float), Storage.STATE, 1)
    x, start = (
        Buffer(n, (), np.dtype(float), Storage.GIVEN, t) for n, t in (("x", 0), ("h_0", None))
    )
    add = Instr(np.add, (Ref(h, When.STEP), Ref(x, When.STEP)), Ref(h, When.STEP, 1))
    forward = Sections(
        before=(Instr(copy, (Ref(start),), Ref(h, When.FIRST)),),
        loop=(add,),
        result=(Ref(h, When.ALL, 1),),
    )
    return Program(
        "Counts.",
        (h, x, start),
        (),
        forward,
        Sections(),
        (start,),
        (x,),
        (),
        (),
        (),
        (None,),
    )


def test_a_program_by_hand() -> None:
    program = counting()
    assert '"""Counts."""' in source(program) and source(program) == source(program)
    forward, _ = maker(program)(4)
    (states,) = forward(np.array(1.0), np.arange(4.0))
    assert states.tolist() == [1, 2, 4, 7]
    given = np.zeros(5)
    maker(program)(4, given)[0](np.array(1.0), np.ones(4))
    assert given.tolist() == [1, 2, 3, 4, 5]


def test_what_is_returned_shows_that_somebody_looks_into_the_buffer() -> None:
    forward, _ = maker(counting())(4)
    first, second = (forward(np.array(0.0), np.ones(4))[0] for _ in range(2))
    assert first is not second and first.base is second.base
