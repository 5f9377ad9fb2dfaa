"""One call for all steps gives what the calls of the steps give, stacked."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from tinygrad_rnn.compiler.batching import MANY, Operand, batched
from tinygrad_rnn.compiler.ir import T, Value, leaves_of, mapped
from tinygrad_rnn.compiler.operations import astype, cross_entropies
from tinygrad_rnn.compiler.passes.rewrite import call

STEPS = 3


def given(*shape: int, dtype: Any = float) -> Value:
    return Value(shape, np.dtype(dtype))


def each(*shape: int, dtype: Any = float) -> Value:
    """A value that differs from step to step."""
    return Value(shape, np.dtype(dtype), "each")


def varies(value: Value) -> bool:
    return value.name == "each" or any(map(varies, value.operands))


CASES: dict[str, Callable[[], Value]] = {
    "add": lambda: call(np.add, each(2, 4), each(2, 4)),
    "add a row": lambda: call(np.add, each(2, 4), each(4)),
    "add a constant row": lambda: call(np.add, each(2, 4), given(4)),
    "add it to many rows": lambda: call(np.add, each(MANY, 4), given(4)),
    "add a number": lambda: call(np.multiply, each(2, 4), each()),
    "matrix": lambda: call(np.matmul, each(2, 3), given(3, 4)),
    "no columns": lambda: call(np.matmul, each(2, 3), given(3, 0)),
    "row times matrix": lambda: call(np.matmul, each(3), given(3, 4)),
    "matrix times vector": lambda: call(np.matmul, each(2, 3), given(3)),
    "row times vector": lambda: call(np.matmul, each(3), given(3)),
    "constant of more axes": lambda: call(np.matmul, given(5, 2, 3), each(3, 4)),
    "unlike ranks": lambda: call(np.matmul, each(5, 2, 3), each(3, 4)),
    "several matrices": lambda: call(np.matmul, each(5, 2, 3), given(3, 4)),
    "both differ": lambda: call(np.matmul, each(2, 3), each(3, 4)),
    "constant from the left": lambda: call(np.matmul, given(2, 3), each(3, 4)),
    "constant vector from the left": lambda: call(np.matmul, given(3), each(3, 4)),
    "constant times vector": lambda: call(np.matmul, given(2, 3), each(3)),
    "gather": lambda: call(operator.getitem, given(7, 4), each(2, dtype=int)),
    "sum": lambda: call(np.sum, each(2, 4), axis=-1, keepdims=True),
    "mean of all": lambda: call(np.mean, each(2, 4)),
    "where": lambda: call(np.where, each(2, 1, dtype=bool), each(2, 4), 0.5),
    "astype": lambda: call(astype, each(2, 4), np.dtype(np.float32)),
    "a reshape that copies": lambda: call(np.reshape, call(np.transpose, each(2, 4)), (8,)),
}


@pytest.mark.parametrize("name", CASES)
def test_all_steps_at_once(name: str) -> None:
    value = CASES[name]()
    found = batched(value, varies)
    assert found is not None
    rng = np.random.default_rng(0)
    arrays: dict[Value, Any] = {}

    def array(of: Value) -> Any:
        """The array of all steps, or the one that is the same in all."""
        if of not in arrays:
            shape = ((STEPS,) if varies(of) else ()) + of.shape
            numbers = rng.standard_normal(shape)
            whole = numbers if of.dtype.kind == "f" else numbers > 0
            if of.function is not None:  # only of the transpose
                whole = array(of.operands[0]).swapaxes(1, 2)
            arrays[of] = whole.astype(of.dtype)
        return arrays[of]

    def whole(leaf: Any) -> Any:
        if leaf is T:
            return STEPS
        if not isinstance(leaf, Operand):
            return leaf
        seen = array(leaf.value)
        for view in leaf.views:
            seen = view.of(seen, STEPS)
        return seen if leaf.spread is None else np.broadcast_to(seen, leaf.spread)

    args, kwargs = mapped((found.args, found.kwargs), whole)
    at_once = found.function(*args, **kwargs).reshape(STEPS, *value.shape)
    given = leaves_of((found.args, found.kwargs), Operand)
    assert {operand.value for operand in given} == set(value.operands)
    for t in range(STEPS):
        args, kwargs = mapped(
            (value.args, dict(value.kwargs)),
            lambda leaf, t=t: (
                (array(leaf)[t] if varies(leaf) else array(leaf))
                if isinstance(leaf, Value)
                else leaf
            ),
        )
        assert value.function is not None
        np.testing.assert_allclose(at_once[t], value.function(*args, **kwargs), 1e-12)


@pytest.mark.parametrize("rows", [MANY - 1, MANY])
def test_a_row_beside_many_is_copied_to_as_many(rows: int) -> None:
    for constant in (given(4), given()):
        found = batched(call(np.add, each(rows, 4), constant), varies)
        assert found is not None
        spread = (rows, 4) if rows == MANY and constant.ndim else None
        assert found.args[1] == Operand(constant, spread=spread)


NONE: dict[str, Callable[[], Value]] = {
    "no rule": lambda: call(np.sort, each(2, 4)),
    "row times several matrices": lambda: call(np.matmul, each(3), given(5, 3, 4)),
    "several matrices times vector": lambda: call(np.matmul, given(5, 2, 3), each(3)),
    "a sum of several": lambda: call(np.sum, (each(2), each(2)), axis=0),
    "a list": lambda: Value((2,), np.dtype(float), "", np.add, ([1.0, 2.0], each(2))),
    "another order": lambda: call(np.reshape, each(2, 4), (8,), "F"),
    "vector times vector": lambda: call(np.matmul, given(3), each(3)),
    "by a mask": lambda: Value(
        (1,), np.dtype(float), "", operator.getitem, (given(7), each(7, dtype=bool))
    ),
    "an option": lambda: call(np.add, each(2), each(2), dtype=np.float64),
    "initial": lambda: call(np.sum, each(2, 3), axis=0, initial=1.0),
    "labels in the text": lambda: Value(
        (2,), np.dtype(float), "", cross_entropies, (each(2, 3), np.zeros(2, int), given(3))
    ),
}


@pytest.mark.parametrize("name", NONE)
def test_what_stays_in_the_loop(name: str) -> None:
    assert batched(NONE[name](), varies) is None
