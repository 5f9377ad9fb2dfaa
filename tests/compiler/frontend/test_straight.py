"""Functions that branch on numbers, and the straight lines that are traced in their place."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tinygrad_rnn as tg
from tests.compiler.programs import B, H, functions_of, graph_of, inputs, state
from tinygrad_rnn.compiler import backends
from tinygrad_rnn.compiler.frontend.straight import straight
from tinygrad_rnn.derivatives import functions


def test_which_they_are() -> None:
    known = {*straight()}
    assert {functions.losses_at, functions.mean_loss, functions.residual} <= known
    assert functions.softmax not in known and straight() is straight()


@pytest.mark.parametrize("name", ["softmax", "log_softmax"])
def test_the_same_numbers(name: str) -> None:
    function = getattr(tg, name)
    # Near 1 a logarithm has the rounding of its argument; NumPy's functions round alike.
    atol = 1e-300 if backends.DEFAULT == "numpy" else 1e-15
    for scale in (1.0, 800.0):
        xs = scale * inputs(width=H)
        states = [
            np.stack(run(lambda x, h: 0.0 * h + function(x), xs, state(B, H))[0])
            for run in (tg.unroll, tg.scan)
        ]
        np.testing.assert_allclose(states[1].data, states[0].data, rtol=1e-13, atol=atol)


def test_a_loss_is_one_call_each_way() -> None:
    labels = np.array([1, 2])
    graph = graph_of(
        lambda x, h: h + tg.cross_entropy(h + x, labels, reduction="none")[:, None],
        *(inputs(width=H), state(B, H)),
    )
    assert functions_of(graph.results).count("cross_entropies") == 1
    (gradient,) = graph.state_gradients
    assert gradient is not None
    assert functions_of([gradient]).count("cross_entropy_gradient") == 1


def test_labels_that_do_not_fit_are_refused_while_tracing() -> None:
    def cell(d: Any, h: Any) -> Any:
        return h + tg.cross_entropy(h, d["y"], reduction="none")[:, None]

    for labels, error in ((np.full((3, B), H), ValueError), (np.ones((3, B)), TypeError)):
        with pytest.raises(error, match="labels must"):
            tg.scan(cell, {"y": labels}, state(B, H))
