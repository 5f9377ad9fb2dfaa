"""The NumPy source: what is printed runs by itself, and is the program."""

from __future__ import annotations

import ast
from typing import Any

import numpy as np
import pytest

from tests.compiler.programs import CASES, program_of
from tinygrad_rnn.compiler.backends.literals import expression, literal, of_index
from tinygrad_rnn.compiler.backends.numpy_source import maker, source
from tinygrad_rnn.compiler.ir import Buffer, Instr, Layout, Program, Ref, Sections, Storage, T, When
from tinygrad_rnn.compiler.operations import added_at, astype, copy, filled

INFINITY, NAN = float("inf"), float("nan")
LITERALS: list[Any] = [
    *(1, 1.5, -2, True, None, "bi,ij", Ellipsis, (1,), (1, 2.0), [1, [2]], slice(1, None), 2 + 3j),
    *(np.float32(0.1), np.int64(3), np.dtype("f4"), np.dtype(">f8"), np.float64, int, np.bool_(1)),
    *(np.arange(3), np.ones((1, 2), np.float32), np.array(2.0), INFINITY, -INFINITY),
]


@pytest.mark.parametrize("value", LITERALS, ids=str)
def test_literals_are_read_back(value: Any) -> None:
    found = eval(literal(value), {"np": np})
    assert type(found) is type(value) or isinstance(value, np.dtype)
    if isinstance(value, np.ndarray):
        assert found.dtype == value.dtype and np.array_equal(found, value)
    else:
        assert found == value


def test_more_literals() -> None:
    assert np.isnan(eval(literal(NAN))) and literal(T) == "T"
    assert of_index((slice(None), slice(1, 5, 2), Ellipsis, None, 3)) == ":, 1:5:2, ..., None, 3"
    assert of_index(2) == "2" and of_index(slice(2)) == ":2"


def test_expressions() -> None:
    def of(function: Any, *args: Any, **kwargs: Any) -> str:
        return expression(function, args, kwargs, lambda leaf: str(leaf))

    assert of(np.matmul, "a", "b") == "a @ b" and of(np.dot, "a", "b") == "a.dot(b)"
    assert of(np.sort, "a", axis=None) == "np.sort(a, axis=None)"  # None is an argument, too
    assert of(np.reshape, "a", ()) == "a.reshape(())" and of(np.copy, "a") == "a.copy()"
    assert of(astype, "a", np.dtype("f4")) == "a.astype(np.float32)"
    assert of(filled, (2,), 3, np.dtype(float)) == "np.full((2,), 3, np.float64)"
    assert of(added_at, "a", "i", "v") == "added_at(a, i, v)"


@pytest.mark.parametrize("name", CASES)
def test_the_source_needs_numpy_alone(name: str) -> None:
    tree = ast.parse(program_of(CASES[name]()).source)
    imports = [ast.unparse(node) for node in ast.walk(tree) if isinstance(node, ast.Import)]
    assert imports == ["import numpy as np"]
    assert not any(isinstance(node, ast.ImportFrom) for node in ast.walk(tree))


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
    layout = Layout((), np.dtype(float), None, None)
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
        (h,),
        (layout,),
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
