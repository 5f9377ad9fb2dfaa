"""The program itself: what stands in the loop, and what does not."""

from __future__ import annotations

import ast
from typing import Any

import numpy as np
import pytest

import tinygrad_rnn as tg
from tinygrad_rnn.compiler.frontend.captures import CellKey

pytestmark = pytest.mark.usefixtures("source_of_numpy")
B, D, H = 2, 3, 4
CELLS: dict[str, Any] = {
    "rnn": tg.RNNCell(D, H, rng=0),
    "lstm": tg.LSTMCell(D, H, rng=0),
    "gru": tg.GRUCell(D, H, rng=0),
}


def loops(source: str) -> tuple[list[str], list[str]]:
    """The lines of the loops of `forward` and of `backward`."""
    functions = {
        node.name: node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.FunctionDef)
    }
    found = []
    for name in ("forward", "backward"):
        (loop,) = (node for node in functions[name].body if isinstance(node, ast.For))
        for statement in loop.body:  # calls, and assignments to arrays: a[...] = b
            targets = getattr(statement, "targets", [])
            assert isinstance(statement, ast.Expr | ast.Assign), name
            assert all(isinstance(target, ast.Subscript) for target in targets), name
        found.append([ast.unparse(statement) for statement in loop.body])
    return found[0], found[1]


@pytest.mark.parametrize(("name", "forward", "backward"), [("rnn", 3, 3), ("lstm", 20, 10)])
def test_nothing_but_numpy_calls_in_the_loops(name: str, forward: int, backward: int) -> None:
    ahead, back = loops(tg.scan_source(CELLS[name], np.ones((5, B, D))))
    assert (len(ahead), len(back)) == (forward, backward)


@pytest.mark.parametrize("name", CELLS)
def test_one_product_a_step_and_way(name: str) -> None:
    ahead, back = loops(tg.scan_source(CELLS[name], np.ones((5, B, D))))
    assert sum(".dot(" in line for line in ahead) == sum(".dot(" in line for line in back) == 1
    assert not any("W_xh" in line for line in (*ahead, *back))


def test_what_nobody_needs_is_not_computed() -> None:
    cell = tg.RNNCell(D, H, rng=0)
    xs = np.ones((5, B, D))
    assert "W_xh_T" not in tg.scan_source(cell, xs)  # for the gradient of the inputs alone
    assert "W_xh_T" in tg.scan_source(cell, tg.Tensor(xs, requires_grad=True))
    assert "dW_xh = " in tg.scan_source(cell, xs)
    cell.W_xh = tg.Tensor(cell.W_xh.data, name="W_xh")
    assert "dW_xh = " not in tg.scan_source(cell, xs)


def test_a_difference_of_gradients_is_one_factor() -> None:
    _, back = loops(tg.scan_source(CELLS["gru"], np.ones((5, B, D))))  # (1 − z) n + z h
    assert len(back) == 8 and not any("negative" in line for line in back)


def test_numbers_and_rows_are_arrays_before_the_loop() -> None:
    source = tg.scan_source(CELLS["gru"], np.ones((5, B, D)))
    assert "half[...] = 0.5" in source.partition("def forward")[0]
    assert "b_hn_spread[...] = b_hn" in source
    for lines in loops(source):
        assert not any(
            isinstance(node, ast.Constant) for line in lines for node in ast.walk(ast.parse(line))
        )


def test_large_steps_keep_their_factors_in_the_loop() -> None:
    small, large = tg.RNNCell(D, H, rng=0), tg.RNNCell(D, 2 * H, rng=0)
    steps = [loops(tg.scan_source(cell, np.ones((5, 1024, D)))) for cell in (small, large)]
    assert [len(back) for _, back in steps] == [3, 5]


def test_parts_of_a_slice_are_written_in_their_place() -> None:
    source = tg.scan_source(CELLS["lstm"], np.ones((5, B, D)))
    for part, index in (("di", "0:4"), ("df", "4:8"), ("dg", "8:12"), ("do", "12:16")):
        assert f"{part} = dgates[:, ..., {index}]" in source


def test_names_come_from_the_cell() -> None:
    U = tg.Tensor(np.eye(H), requires_grad=True, name="U")

    def cell(x: Any, h: Any) -> Any:
        gate = tg.sigmoid(h @ U)
        candidate = np.tanh(gate * h + x)
        return candidate

    source = tg.scan_source(cell, np.ones((5, B, H)), np.zeros((B, H)))
    assert "h_prev.dot(U, " in source and "gate_t" in source and "def forward(h_0, x, U):" in source


def test_structure_of_a_cell_is_its_key() -> None:
    first, second = tg.RNNCell(D, H, rng=0), tg.RNNCell(D, H, rng=1)
    assert CellKey(first).key == CellKey(second).key
    assert CellKey(first).names == ["W_xh", "W_hh", "b_h"]
    assert CellKey(first).key != CellKey(tg.RNNCell(D, H, "relu", rng=0)).key
    assert CellKey(first).key != CellKey(tg.RNNCell(D, H + 1, rng=0)).key
    factor = 2.0

    def cell(x: Any, h: Any) -> Any:
        return factor * h

    before = CellKey(cell).key
    factor = 3.0
    assert CellKey(cell).key != before
