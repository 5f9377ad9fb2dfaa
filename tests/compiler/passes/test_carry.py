"""The product of a gradient goes to the step before, where that pays."""

from __future__ import annotations

from typing import Any

import numpy as np

import tinygrad_rnn as tg
from tests.compiler.passes.test_split_outputs import with_loss
from tests.compiler.programs import D, H, graph_of, inputs, state, weight
from tinygrad_rnn.compiler.ir import Value
from tinygrad_rnn.compiler.passes.assemble import assemble
from tinygrad_rnn.compiler.passes.carry import carry
from tinygrad_rnn.compiler.passes.cse import cse
from tinygrad_rnn.compiler.passes.fuse_sums import LIMIT
from tinygrad_rnn.compiler.passes.rewrite import substituted, terms_of
from tinygrad_rnn.compiler.passes.split_outputs import split_outputs


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


def test_the_product_of_the_loss_is_joined_as_well_where_it_is_all() -> None:
    found = carry(split_outputs(with_loss(alone=True, batch=1)))
    fused = found.fused_adjoints[0]
    assert fused.is_complete and fused.matrix.shape == (H + 5, H)
    assert not carry(split_outputs(with_loss(batch=1))).fused_adjoints[0].is_complete


def test_a_row_of_gradients_is_joined_for_one_state_alone() -> None:
    U, V, Q = weight(H, H), weight(H, H), weight(H, H)

    def first(x: Any, state: Any) -> Any:
        a, b = state
        return np.tanh(x + a @ U + b @ V), np.sin(a * (b @ Q))

    def last(x: Any, state: Any) -> Any:
        a, b = state
        sin = np.sin(a * (b @ Q))
        return np.tanh(x + a @ U + b @ V), sin

    given = (state(1, H), state(1, H))
    for cell in (first, last):  # whichever row comes first in the gradient of b
        fused = carry(cse(graph_of(cell, inputs(1, H), given))).fused_adjoints
        assert list(fused) == [0, 1] and fused[0].row is not fused[1].row

    def one_row(x: Any, state: Any) -> Any:
        a, b = state
        return np.tanh(x + a @ U + b @ V), b * 0.5

    assert list(carry(cse(graph_of(one_row, inputs(1, H), given))).fused_adjoints) == [0]


def test_what_was_joined_follows_an_exchange() -> None:
    graph = carry(cse(graph_of(tg.RNNCell(D, H, rng=0), inputs(1))))
    fused = graph.fused_adjoints[0]
    for name in ("row", "matrix", "appended"):
        old = getattr(fused, name)
        other = Value(old.shape, old.dtype, "other")
        found = substituted(graph, {old: other}).fused_adjoints[0]
        assert found == fused._replace(**{name: other})


def carried(cell: Any, *states: tg.Tensor, width: int = H) -> dict[int, Any]:
    given = states[0] if len(states) == 1 else states
    return dict(carry(assemble(cse(graph_of(cell, inputs(1, width), given)))).fused_adjoints)


def test_only_a_state_through_which_a_gradient_flows_on_is_carried() -> None:
    U, count = weight(H, H), tg.Tensor(np.zeros((1, H), int))
    given = (state(1, H), state(1, H))
    ends = carried(lambda x, s: (x, np.tanh(x + s[1] @ U + s[0] @ U)), *given)
    assert list(ends) == [1]  # the gradient of the first is a product, but no step made it
    counted = carried(lambda x, s: (s[0] + 1, np.tanh(x + s[1] @ U)), count, state(1, H))
    assert list(counted) == [1]


def test_a_state_without_a_product_is_left_out() -> None:
    U, given = weight(H, H), (state(1, H), state(1, H))
    assert list(carried(lambda x, s: (s[0] * 0.5, np.tanh(x + s[1] @ U)), *given)) == [1]


def test_a_wide_state_is_left_out() -> None:
    U, wide = weight(H, H), weight(200, 200)
    cell = lambda x, s: (np.tanh(s[0] @ wide), np.tanh(x + s[1] @ U))  # noqa: E731
    assert list(carried(cell, state(1, 200), state(1, H))) == [1]


def test_the_first_product_is_carried_and_the_others_stay() -> None:
    U, V = weight(H, H), weight(H, H)
    graph = cse(graph_of(lambda x, h: np.tanh(h @ U) + np.sin(h @ V), inputs(1, H), state(1, H)))
    (gradient,) = graph.state_gradients
    assert gradient is not None
    first, second = terms_of(gradient)
    found = carry(graph)
    assert found.state_gradients == (second,) and found.fused_adjoints[0].row is first.args[0]


def test_a_row_that_is_a_part_of_another_array_stays() -> None:
    A, B, U, W = weight(H, 2), weight(H, 2), weight(H, H), weight(H, 2 * H)
    view = carried(lambda x, h: np.concatenate([h @ A, x @ B], axis=1), state(1, H))
    assert not view  # its row is a view of the gradient from above

    def piece(x: Any, h: Any) -> Any:
        z = x @ W
        return np.tanh(z[:, :H] + h @ U) * z[:, H:]

    assert not carried(piece, state(1, H))  # its row is written into the gradient of z


def test_a_large_product_of_the_loss_is_not_joined() -> None:
    found = carry(split_outputs(with_loss(alone=True, batch=1, classes=LIMIT // (8 * H))))
    assert found.fused_adjoints[0].is_complete
    graph = split_outputs(with_loss(alone=True, batch=1, classes=LIMIT // (8 * H) + 1))
    fused = carry(graph).fused_adjoints[0]
    assert fused.is_complete and fused.matrix.shape == (2 * H, H)  # an identity for what it gives
    assert fused.appended is graph.output_grads[0]


def test_what_is_known_before_the_loop_is_not_carried() -> None:
    U, V, given = weight(H, H), weight(H, H), (state(1, H), state(1, H))

    def first(x: Any, s: Any) -> Any:
        return np.tanh(x + s[0] @ U), s[0] @ V

    def last(x: Any, s: Any) -> Any:
        output = s[0] @ V
        return np.tanh(x + s[0] @ U), output

    for cell in (first, last):  # whichever product comes first in the gradient
        graph = cse(graph_of(cell, inputs(1, H), given))
        assert carry(graph).fused_adjoints[0].row is not graph.adjoints[1]
