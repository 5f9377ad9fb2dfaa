"""What an output adds to the gradient of a state is set apart."""

from __future__ import annotations

from typing import Any

import numpy as np

import tinygrad_rnn as tg
from tests.compiler.programs import B, D, H, functions_of, graph_of, inputs, state, weight
from tinygrad_rnn.compiler.ir import StepGraph, Value
from tinygrad_rnn.compiler.passes.cse import cse
from tinygrad_rnn.compiler.passes.rewrite import call, exchange, substituted
from tinygrad_rnn.compiler.passes.split_outputs import split_outputs
from tinygrad_rnn.training.cell_with_loss import CellWithLoss


def with_loss(alone: bool = False, batch: int = B, classes: int = 5) -> StepGraph:
    W = weight(H, classes)
    model = CellWithLoss(tg.RNNCell(D, H, rng=0), lambda h, y: tg.cross_entropy(h @ W, y))
    xs = {"x": inputs(batch), "y": np.zeros((6, batch), int)}
    return cse(graph_of(model, xs, loss_alone=alone))


def test_what_an_output_adds_is_set_apart() -> None:
    graph = with_loss()
    assert graph.unread == {graph.states[1]}
    assert "cross_entropies" not in functions_of(graph.recurring)
    found = split_outputs(graph)
    assert list(found.output_grads) == [0]
    (gradient,) = (g for g in found.state_gradients if g is not None)
    assert "cross_entropy_gradient" in functions_of(g for g in graph.state_gradients if g)
    assert "cross_entropy_gradient" not in functions_of([gradient])
    (old,) = found.output_grads.values()
    other = Value(old.shape, old.dtype, "other")
    assert substituted(found, {old: other}).output_grads == {0: other}
    plain = graph_of(tg.RNNCell(D, H, rng=0), inputs())
    assert split_outputs(plain) is plain
    windows = graph_of(
        lambda x, s: (np.tanh(s[0]), np.sin(s[0])),
        inputs(),
        (state(B, H), state(B, H)),
        truncation=tg.Window(1),
    )
    assert split_outputs(windows) == windows


def set_apart(cell: Any, *states: tg.Tensor) -> list[int]:
    """The states for which an addition is set apart."""
    return list(split_outputs(cse(graph_of(cell, inputs(width=H), states))).output_grads)


def test_whichever_state_has_an_addition() -> None:
    W, given = weight(H, H), (state(B, H), state(B, H))

    def last(x: Any, s: Any) -> Any:
        h = np.tanh(x + s[1] @ W)
        return np.sin(h), h

    def among_others(x: Any, s: Any) -> Any:
        h = np.tanh(x + s[1] @ W)
        return np.tanh(s[0]), h, np.sin(h)

    assert set_apart(last, *given) == [1]
    assert set_apart(among_others, *given, state(B, H)) == [1]


def test_what_is_not_set_apart() -> None:
    U, W, given = weight(H, H), weight(H, H), (state(B, H), state(B, H))

    def outputs_alone(x: Any, s: Any) -> Any:
        h = np.tanh(x + s[0] @ W)
        first = np.sin(h)
        return h, first, np.sin(first)

    assert set_apart(outputs_alone, *given, state(B, H)) == [0]  # not what adds to an output

    def used_twice(x: Any, s: Any) -> Any:
        return s[0] + x @ U, np.sin(s[0])

    assert not set_apart(used_twice, *given)  # the gradient of U needs it without the addition

    def broadcast(x: Any, s: Any) -> Any:
        h = np.tanh(x + s[0] @ W)
        return h, np.sum(h, axis=1, keepdims=True)

    assert not set_apart(broadcast, state(B, H), state(B, 1))  # of another shape
    graph = with_loss()
    (total,) = (v for v in graph.order if graph.adjoints[0] in v.operands)
    product = exchange(graph, {total: call(np.multiply, *total.args)})
    assert split_outputs(product) == product
