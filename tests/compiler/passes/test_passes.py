"""What each pass does, on the smallest cell that shows it; and what it leaves alone."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tinygrad_rnn as tg
from tests.compiler.programs import B, D, H, functions_of, graph_of, inputs, state, weight
from tinygrad_rnn.compiler.ir import StepGraph, Value
from tinygrad_rnn.compiler.operations import assembled
from tinygrad_rnn.compiler.passes.assemble import assemble, covers, disjoint
from tinygrad_rnn.compiler.passes.carry import carry
from tinygrad_rnn.compiler.passes.cse import cse
from tinygrad_rnn.compiler.passes.factor import factor
from tinygrad_rnn.compiler.passes.fuse_products import is_row, row_of_parts
from tinygrad_rnn.compiler.passes.hoist_sums import hoist_sums
from tinygrad_rnn.compiler.passes.rewrite import call, identity, ordered, recurring, unread
from tinygrad_rnn.compiler.passes.split_outputs import split_outputs
from tinygrad_rnn.training.cell_with_loss import CellWithLoss


def given(*shape: int, dtype: Any = float, name: str = "") -> Value:
    return Value(shape, np.dtype(dtype), name)


def reads_state(graph: StepGraph, value: Value) -> bool:
    return any(state in ordered([value]) for state in graph.states)


# cse ------------------------------------------------------------------------------------------


def test_equal_calls_are_one_and_keep_a_name() -> None:
    W = weight(H, H)

    def cell(x: Any, h: Any) -> Any:
        np.tanh(h @ W)
        twin = np.tanh(h @ W)
        return twin * np.tanh(h @ W)

    graph = graph_of(cell, inputs(width=H), state(B, H))
    assert functions_of(graph.results) == ["matmul", "tanh", "matmul", "tanh", "multiply"]
    found = cse(graph)
    assert functions_of(found.results) == ["matmul", "tanh", "multiply"]
    assert "twin" in {value.name for value in ordered(found.results)}


def test_unlike_constants_are_not_one() -> None:
    one, other = np.ones(2), np.ones(2)
    assert identity(1) != identity(1.0) and identity(True) != identity(1)
    assert identity(one) != identity(other) and identity((1, 2)) != identity([1, 2])
    assert identity({"a": slice(1, 2)}) == identity({"a": slice(1, 2)})
    graph = graph_of(lambda x, h: np.tanh(2 * h) + np.tanh(2.0 * h) + x, inputs(), state(B, D))
    assert functions_of(cse(graph).results).count("tanh") == 2


# assemble -------------------------------------------------------------------------------------


def test_parts_of_a_gradient_are_put_together() -> None:
    W = weight(D, 2 * H)

    def cell(x: Any, h: Any) -> Any:
        z = x @ W
        return np.tanh(z[:, :H]) * h + z[:, H:]

    found = assemble(cse(graph_of(cell, inputs(), state(B, H))))
    (gradient,) = (g for g in found.parameter_gradients if g is not None)
    (whole,) = (v for v in ordered([gradient]) if v.function is assembled)
    assert len(whole.args[3]) == 2 and covers(whole)
    assert "placed" not in functions_of([gradient])


def test_overlapping_parts_are_added() -> None:
    shape, dtype = (4,), np.dtype(float)
    part = given(2)

    def of(index: slice) -> Value:
        return Value(shape, dtype, "", assembled, (shape, dtype, (index,), [part]))

    assert disjoint(of(slice(0, 2)), of(slice(2, 4)))
    assert not disjoint(of(slice(0, 2)), of(slice(1, 3))) and not covers(of(slice(0, 2)))
    W = weight(D, H)

    def cell(x: Any, h: Any) -> Any:
        z = x @ W
        return np.concatenate([z[:, 0:3], z[:, 1:2]], axis=1) * h

    graph = assemble(cse(graph_of(cell, inputs(), state(B, H))))
    (gradient,) = (g for g in graph.parameter_gradients if g is not None)
    assert sum(v.function is assembled for v in ordered([gradient])) == 2


# hoist_sums -----------------------------------------------------------------------------------


def test_what_depends_on_no_state_is_added_up_first() -> None:
    U, b = weight(H, H), weight(H)
    graph = graph_of(lambda x, h: np.tanh(x + h @ U + b), inputs(width=H), state(B, H))
    (result,) = hoist_sums(graph).results
    heavy, light = result.args[0].args
    assert reads_state(graph, heavy) and not reads_state(graph, light)


@pytest.mark.parametrize("dtype", [bool, np.uint8])
def test_masks_keep_their_place_in_a_sum(dtype: Any) -> None:
    def cell(d: Any, h: Any) -> Any:
        return np.tanh(h + d["m"] + d["m"])

    xs = {"m": np.ones((3, B, H), dtype)}
    graph = graph_of(cell, xs, state(B, H))
    (result,) = hoist_sums(graph).results
    assert result.args[0].args[0].dtype == result.args[0].args[0].args[0].dtype == float


# factor ---------------------------------------------------------------------------------------


def test_what_multiplies_a_gradient_is_one_factor() -> None:
    graph = graph_of(tg.GRUCell(D, H, rng=0), inputs())
    before = functions_of(g for g in graph.state_gradients if g is not None)
    after = functions_of(g for g in factor(cse(graph)).state_gradients if g is not None)
    assert "negative" in before and "negative" not in after


def test_a_mask_of_integers_is_no_factor() -> None:
    def cell(d: Any, h: Any) -> Any:
        return (1 - h) * d["m"]

    graph = graph_of(cell, {"m": np.ones((3, B, H), np.uint8)}, state(B, H))
    found = factor(cse(graph))
    (gradient,) = found.state_gradients
    assert gradient is not None and gradient.function is np.negative


# fuse_products, carry -------------------------------------------------------------------------


def test_the_products_of_a_row_are_one() -> None:
    graph = hoist_sums(cse(graph_of(tg.RNNCell(D, H, rng=0), inputs(1))))
    assert functions_of(graph.results).count("matmul") == 1
    product = graph.results[0].args[0]
    parts = row_of_parts(product.args[0])
    assert parts is not None and [p.shape[-1] for p in parts] == [H, D, 1] and is_row(parts[0])
    assert (
        functions_of(hoist_sums(graph_of(tg.RNNCell(D, H, rng=0), inputs())).results).count(
            "matmul"
        )
        == 2
    )
    assert row_of_parts(call(np.concatenate, (given(2, 3), given(2, 3)), 0)) is None


def test_the_product_of_a_gradient_goes_to_the_step_before() -> None:
    graph = carry(cse(graph_of(tg.RNNCell(D, H, rng=0), inputs(1))))
    fused = graph.fused_adjoints[0]
    assert graph.state_gradients == (None,) and not fused.is_complete
    assert fused.matrix.shape == (2 * H, H) and fused.appended is graph.adjoints[0]
    wide = graph_of(tg.RNNCell(D, 200, rng=0), inputs(1))
    assert not carry(wide).fused_adjoints  # an identity of 200 × 200 costs more than a sum
    assert not carry(graph_of(tg.RNNCell(D, H, rng=0), inputs())).fused_adjoints
    windows = graph_of(tg.RNNCell(D, H, rng=0), inputs(1), truncation=tg.Window(1))
    assert carry(windows) is windows


# split_outputs --------------------------------------------------------------------------------


def with_loss(alone: bool = False, batch: int = B) -> StepGraph:
    W = weight(H, 5)
    model = CellWithLoss(tg.RNNCell(D, H, rng=0), lambda h, y: tg.cross_entropy(h @ W, y))
    xs = {"x": inputs(batch), "y": np.zeros((6, batch), int)}
    return cse(graph_of(model, xs, loss_alone=alone))


def test_what_an_output_adds_is_set_apart() -> None:
    graph = with_loss()
    assert unread(graph) == {graph.states[1]}
    assert "cross_entropies" not in functions_of(recurring(graph))
    found = split_outputs(graph)
    assert list(found.output_grads) == [0]
    (gradient,) = (g for g in found.state_gradients if g is not None)
    assert "cross_entropy_gradient" in functions_of(g for g in graph.state_gradients if g)
    assert "cross_entropy_gradient" not in functions_of([gradient])
    plain = graph_of(tg.RNNCell(D, H, rng=0), inputs())
    assert split_outputs(plain) is plain


def test_the_product_of_the_loss_is_joined_as_well_where_it_is_all() -> None:
    found = carry(split_outputs(with_loss(alone=True, batch=1)))
    fused = found.fused_adjoints[0]
    assert fused.is_complete and fused.matrix.shape == (H + 5, H)
    assert not carry(split_outputs(with_loss(batch=1))).fused_adjoints[0].is_complete
