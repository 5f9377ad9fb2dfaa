"""What a reader is shown; and that showing it changes nothing."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tinygrad_rnn as tg
from tests.compiler.programs import CASES, B, Case, D, H, graph_of, inputs
from tinygrad_rnn.compiler.ir import AtOnce, Buffer, Instr, Operand, Ref, Storage, T
from tinygrad_rnn.compiler.show import Stages, Words, of_instr, of_sum, show

LINEAR = """\
inputs      x 2×3
states      h 2×4
parameters  W_xh 3×4, W_hh 4×4

forward
    a = x @ W_xh                                                 2×4
    v1 = h @ W_hh                                                2×4
    v2 = a + v1                                                  2×4
    h_t = v2

back, from dh = ∂L/∂h_t
    v3 = W_hh.T                                                  4×4
    dh2 = dh @ v3                                                2×4
    v4 = x.T                                                     3×2
    v5 = v4 @ dh                                                 3×4
    v6 = h.T                                                     4×2
    v7 = v6 @ dh                                                 4×4
    ∂L/∂h_{t−1} = dh2
    ∂L/∂W_xh = v5
    ∂L/∂W_hh = v7
"""


def test_a_step_graph_of_the_chapters_linear_network() -> None:
    cell = tg.RNNCell(D, H, "identity", bias=False, rng=0)
    assert show(graph_of(cell, inputs())) == LINEAR


def test_the_stages_of_a_scan() -> None:
    cell = tg.RNNCell(D, H, "identity", bias=False, rng=0)
    text = tg.scan_source(cell, inputs(), stages=True)
    for line in (
        "after fuse_sums",
        "∂L/∂W_hh = Σ_t hᵀ dh",
        "  in the loop, step by step",
        "    dh[t] ← dh_link + dL_dh_here[t]",
        "    dW_hh ← rows(h[:T]).T @ rows(dh[:])",
        "(as before)",
    ):
        assert line in text, line
    assert text.endswith(tg.scan_source(cell, inputs()))


@pytest.mark.parametrize("name", CASES)
def test_showing_changes_nothing(name: str) -> None:
    case: Case = CASES[name]()
    if case.loss_alone:
        return
    arguments: Any = case.cell, case.xs, case.state, case.truncation, case.reset
    first = tg.scan_source(*arguments)
    text = tg.scan_source(*arguments, stages=True)
    assert text.endswith(first) and tg.scan_source(*arguments) == first


def test_a_page_for_each_stage() -> None:
    stages = Stages()
    graph = graph_of(tg.LSTMCell(D, H, rng=0), inputs())
    stages("trace", graph)
    stages("cse", graph)
    assert [stage for stage, _ in stages.pages] == ["trace", "cse"]
    assert stages.text().count("(as before)") == 1
    assert "with [..., 12:16] = " in stages.text()


def test_what_has_no_gradient_has_no_way_back() -> None:
    cell = lambda x, h: h + (x > 0).astype(np.int64)  # noqa: E731
    text = show(graph_of(cell, inputs(), np.zeros((B, D), np.int64)))
    assert " as np.int64" in text and "back, from" not in text and text.endswith("h_t = v3\n")


def test_sums_in_the_notation_of_the_textbook() -> None:
    graph = graph_of(tg.RNNCell(D, H, rng=0), inputs())
    (h,), words = graph.states, Words(graph)
    times = AtOnce(h, np.multiply, (T, Operand(h)))
    assert of_sum(AtOnce(h, np.negative, (Operand(times),)), words) == "−(T · h)"


def test_an_instruction_with_a_list_of_arrays() -> None:
    a, b = (Ref(Buffer(name, (2,), np.dtype(float), Storage.SCRATCH)) for name in "ab")
    instr = Instr(np.concatenate, ([a, b], 0), Ref(Buffer("c", (4,), a.dtype, Storage.SCRATCH)))
    assert of_instr(instr) == "c ← concatenate([a, b], 0)"
