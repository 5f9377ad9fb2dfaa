"""What an output adds to the gradient of a state is set apart."""

from __future__ import annotations

import numpy as np

import tinygrad_rnn as tg
from tests.compiler.programs import B, D, H, functions_of, graph_of, inputs, weight
from tinygrad_rnn.compiler.ir import StepGraph
from tinygrad_rnn.compiler.passes.cse import cse
from tinygrad_rnn.compiler.passes.rewrite import recurring, unread
from tinygrad_rnn.compiler.passes.split_outputs import split_outputs
from tinygrad_rnn.training.cell_with_loss import CellWithLoss


def with_loss(alone: bool = False, batch: int = B, classes: int = 5) -> StepGraph:
    W = weight(H, classes)
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
