"""What the reader of instructions takes for machine code, and what it leaves to NumPy, and why."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

pytest.importorskip("llvmlite")

import tinygrad_rnn as tg
from tinygrad_rnn.compiler import operations
from tinygrad_rnn.compiler.backends.native.nests import Memory
from tinygrad_rnn.compiler.backends.native.reader import ONCE, UnknownError, nest_of, work
from tinygrad_rnn.compiler.ir import Buffer, Instr, Ref, Storage, View, When

F, F32, BOOL, INT = (np.dtype(t) for t in (np.float64, np.float32, np.bool, np.int64))


def once(*shape: int, dtype: Any = F, views: tuple[View, ...] = ()) -> Ref:
    """An array without an axis of time."""
    return Ref(Buffer("a", shape, np.dtype(dtype), Storage.SCRATCH), When.ALWAYS, 0, views)


def every(*shape: int, dtype: Any = F, views: tuple[View, ...] = (), time: int = 0) -> Ref:
    """The entries of all steps."""
    return Ref(Buffer("b", shape, np.dtype(dtype), Storage.SCRATCH, time), When.ALL, 0, views)


def one(*shape: int, dtype: Any = F, when: When = When.STEP, views: tuple[View, ...] = ()) -> Ref:
    """The entry of one step."""
    return Ref(Buffer("c", shape, np.dtype(dtype), Storage.SCRATCH, 0), when, 0, views)


def rows(width: int) -> tuple[View, ...]:
    return (View("reshape", (-1, width)),)


def turned(*axes: int) -> tuple[View, ...]:
    return (View("transpose", axes),)


LOSSES = once(2), once(2, 3), once(2)
LEFT: dict[str, tuple[Instr, str]] = {
    "more axes": (Instr(np.add, (once(2, 2, 3), 1.0), once(2, 3)), "more axes than the result"),
    "other shapes": (Instr(np.add, (once(2, 4), 1.0), once(2, 3)), "do not broadcast"),
    "entries of 16 bits": (
        Instr(np.tanh, (once(3, dtype=np.float16),), once(3, dtype=np.float16)),
        "entries of type float16",
    ),
    "two types": (Instr(np.add, (once(3), once(3, dtype=F32)), once(3)), "a mixture of types"),
    "numbers where truth is": (
        Instr(np.where, (once(3), once(3), 0.0), once(3)),
        "a condition that is no truth value",
    ),
    "truth as numbers": (
        Instr(np.add, (once(3), once(3)), once(3, dtype=BOOL)),
        "a result of another type",
    ),
    "logic of numbers": (
        Instr(np.logical_and, (once(3), once(3)), once(3, dtype=BOOL)),
        "a mixture of types",
    ),
    "a copy to truth": (Instr(operations.copy, (once(3),), once(3, dtype=BOOL)), "a mixture of"),
    "a constant factor": (Instr(np.dot, (2.0, once(3, 3)), once(3, 3)), "a product with a const"),
    "factors of two types": (
        Instr(np.dot, (once(2, 3), once(3, 4, dtype=F32)), once(2, 4)),
        "a product of several types",
    ),
    "a product of stacks": (
        Instr(np.matmul, (once(5, 2, 3), once(5, 3, 4)), once(5, 2, 4)),
        "a product of stacks",
    ),
    "a product down the columns": (
        Instr(np.dot, (once(3, 2, views=turned(1, 0)), once(3, 4)), once(2, 4)),
        "a product of arrays that are not in rows",
    ),
    "a matrix of all steps": (
        Instr(np.matmul, (every(2, 3), every(3, 4)), every(2, 4)),
        "a product over the steps",
    ),
    "all axes": (Instr(np.sum, (once(2, 3),), once()), "along another axis than the last"),
    "a first axis": (
        Instr(np.sum, (once(2, 3),), once(3), {"axis": 0}),
        "along another axis than the last",
    ),
    "a sum with a beginning": (
        Instr(np.sum, (once(2, 3),), once(2), {"axis": -1, "initial": 1.0}),
        "a reduction of another kind",
    ),
    "a sum into another form": (
        Instr(np.sum, (once(2, 3),), once(4), {"axis": -1}),
        "a reduction of another form",
    ),
    "labels in the text": (
        Instr(operations.cross_entropies, (once(2, 3), np.zeros(2, int), once(3)), LOSSES),
        "a cross-entropy of another form",
    ),
    "labels of 32 bits": (
        Instr(operations.cross_entropies, (once(2, 3), once(2, dtype=np.int32), once(3)), LOSSES),
        "a cross-entropy of another type",
    ),
    "logits down the columns": (
        Instr(
            operations.cross_entropies,
            (once(3, 2, views=turned(1, 0)), once(2, dtype=INT), once(3)),
            LOSSES,
        ),
        "a cross-entropy of another form",
    ),
    "losses of other rows": (
        Instr(
            operations.cross_entropies,
            (once(2, 3), once(2, dtype=INT), once(3)),
            (once(3), once(2, 3), once(2)),
        ),
        "a cross-entropy of another form",
    ),
    "exponentials of other classes": (
        Instr(
            operations.cross_entropies,
            (once(2, 3), once(2, dtype=INT), once(3)),
            (once(2), once(2, 4), once(2)),
        ),
        "a cross-entropy of another form",
    ),
    "a view that copies": (
        Instr(np.tanh, (once(2, 3, views=(*turned(1, 0), View("reshape", (6,)))),), once(6)),
        "a view that is a copy",
    ),
    "an axis of steps in the middle": (
        Instr(np.tanh, (every(2, 3, views=turned(1, 0, 2)),), every(2, 3, views=turned(1, 0, 2))),
        "an axis of steps that is not the first",
    ),
    "several results": (
        Instr(np.modf, (once(3),), (once(3), once(3))),
        "modf with several results",
    ),
    "no function": (Instr(np.sort, (once(3),), once(3)), "sort is none of its functions"),
    "no number": (Instr(np.add, (once(3), "x"), once(3)), "an argument 'x'"),
}


@pytest.mark.parametrize("name", LEFT)
def test_what_is_left_to_numpy(name: str) -> None:
    instr, reason = LEFT[name]
    with pytest.raises(UnknownError, match=reason):
        work(instr, "", {})


def test_the_entry_of_the_last_step() -> None:
    done, count = work(Instr(operations.copy, (one(3, when=When.LAST),), once(3)), "", {})
    (place,) = done.args
    assert count == ONCE and (place.offset.slope, place.offset.fixed) == (3, -3)  # type: ignore[union-attr]


def test_steps_that_read_one_another_are_no_nest() -> None:
    states = Buffer("h", (3,), F, Storage.STATE, 1)
    before, after = Ref(states, When.ALL, 0), Ref(states, When.ALL, 1)
    with pytest.raises(UnknownError, match="steps that depend on one another"):
        nest_of(Instr(np.tanh, (before,), after), "", Memory(), {})
    assert nest_of(Instr(np.tanh, (before,), every(3)), "", Memory(), {}).free


CELLS: dict[str, Any] = {
    "not": lambda x, h: np.where(~(x > 0), np.tanh(h), 0.5 * x),
    "columns with gaps": lambda x, h: np.tanh(np.concatenate([h[:, ::2], x[:, 1::2]], axis=1)),
    "columns turned round": lambda x, h: np.tanh(h[:, ::-1] * x + h),
    "one column": lambda x, h: np.tanh(h[:, 1:2] * x[:, 3:] + h),
}


@pytest.mark.parametrize("name", CELLS)
def test_cells(name: str) -> None:
    rng = np.random.default_rng(0)
    xs, h = rng.normal(size=(5, 3, 4)), tg.Tensor(rng.normal(size=(3, 4)), requires_grad=True)
    found = []
    for backend in ("numpy", "native"):
        states, _ = tg.scan(CELLS[name], xs, h, backend=backend)
        found.append([states.data, *tg.gradients(np.sum(np.sin(states)), [h])])
    for mine, theirs in zip(*found, strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=0, atol=1e-13)
