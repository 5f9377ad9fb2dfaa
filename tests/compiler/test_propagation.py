"""Forward and back in one call, without a graph: the same numbers as `scan` and `backward`."""

from __future__ import annotations

import functools
import weakref
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tinygrad_rnn as tg
from tests.compiler.test_outputs import LOSSES, OUTPUT, W_hq, entropy, model_of, sequence
from tests.compiler.test_program import loops
from tests.compiler.test_scan import CELLS, STRATEGIES, flatten, parameter
from tinygrad_rnn.compiler.runtime.propagation import recorded
from tinygrad_rnn.engine.table import RULES

T, D, H, Q = 7, 3, 4, 5


def gradients(
    run: Callable[[], tuple[Any, Any]], parameters: list[tg.Tensor]
) -> tuple[Any, Any, list[Any]]:
    for tensor in parameters:
        tensor.grad = None
    loss, last = run()
    return loss, last, [tensor.grad for tensor in parameters]


def compare(
    propagation: tg.Propagation,
    parameters: list[tg.Tensor],
    xs: Any,
    state: Any = None,
    reset: Any = None,
) -> None:
    """The propagation beside `scan` and `backward`."""
    expected = gradients(lambda: recorded(propagation, xs, state, reset), parameters)
    for _ in range(2):
        loss, last, found = gradients(lambda: propagation(xs, state, reset), parameters)
        assert loss.dtype == expected[0].dtype
        assert loss == pytest.approx(float(expected[0]), rel=1e-14)
        for mine, theirs in zip(flatten(last), flatten(expected[1]), strict=True):
            np.testing.assert_array_equal(mine, theirs)
        for mine, theirs in zip(found, expected[2], strict=True):
            assert type(mine) is np.ndarray and mine.dtype == theirs.dtype
            np.testing.assert_allclose(mine, theirs, rtol=0, atol=1e-14)


def is_for(truncation: Any, batch: int) -> bool:
    per_sequence = any(given in repr(truncation) for given in ("(1, 2, 3)", "(2, 3", "[["))
    return batch == 3 or not per_sequence


@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize("truncation", STRATEGIES, ids=repr)
@pytest.mark.parametrize("name", CELLS)
def test_every_cell_and_truncation(name: str, truncation: Any, batch: int) -> None:
    if is_for(truncation, batch):
        model = model_of(name)
        parameters = [*model.parameters().values(), *OUTPUT]
        for block in (None, 2, 3):
            compare(tg.Propagation(model, truncation, block=block), parameters, sequence(batch))


@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize("kind", LOSSES)
def test_state_and_reset(kind: str, batch: int) -> None:
    model = model_of("lstm", LOSSES[kind])
    h, c = parameter(batch, H, seed=1), parameter(batch, H, seed=2)
    parameters = [h, c, *model.parameters().values(), *OUTPUT]
    for block in (None, 2):
        propagation = tg.Propagation(model, block=block)
        compare(propagation, parameters, sequence(batch), ((h, c), np.zeros(())))
        compare(propagation, parameters[2:], sequence(batch), reset=np.arange(T) % 3 == 2)


def test_a_chunk_after_the_other() -> None:
    model = model_of("gru")
    parameters = [*model.parameters().values(), *OUTPUT]
    xs, propagation = sequence(3, 2 * T), tg.Propagation(model)
    whole = gradients(lambda: tg.Propagation(model, tg.Subsequence(T))(xs), parameters)
    for tensor in parameters:
        tensor.grad = None
    losses, state = [], None
    for n in (0, T):
        loss, state = propagation({key: part[n : n + T] for key, part in xs.items()}, state)
        losses.append(loss)
    assert np.mean(losses) == pytest.approx(whole[0], rel=1e-14)
    for tensor, expected in zip(parameters, whole[2], strict=True):
        np.testing.assert_allclose(tensor.grad / 2, expected, rtol=0, atol=1e-14)


def test_gradients_are_added_up_and_belong_to_the_caller() -> None:
    model = model_of("tanh")
    parameters = [*model.parameters().values(), *OUTPUT]
    propagation = tg.Propagation(model)
    _, last, once = gradients(lambda: propagation(sequence(3)), parameters)
    kept = [np.array(part) for part in flatten(last)]
    once = [gradient.copy() for gradient in once]
    propagation(sequence(3))
    for tensor, gradient in zip(parameters, once, strict=True):
        np.testing.assert_allclose(tensor.grad, 2 * gradient, rtol=0, atol=1e-14)
        tensor.grad[...] = 7.0
    propagation({"x": -sequence(3)["x"], "y": sequence(3)["y"]})
    for part, before in zip(flatten(last), kept, strict=True):
        np.testing.assert_array_equal(part, before)


@pytest.mark.parametrize("batch", [1, 3])
def test_parameters_with_equal_gradients(batch: int) -> None:
    b_x, b_h = parameter(H, seed=5), parameter(H, seed=6)
    W, U = parameter(D, H), parameter(H, H)

    class Cell:
        def __call__(self, x: Any, h: Any) -> Any:
            return np.tanh(x @ W + b_x + h @ U + b_h)

        def initial_state(self, batch_size: int) -> Any:
            return np.zeros((batch_size, H))

    parameters = [W, U, b_x, b_h, *OUTPUT]
    compare(tg.Propagation(tg.WithLoss(Cell(), entropy)), parameters, sequence(batch))
    assert not np.shares_memory(b_x.grad, b_h.grad)


def test_without_recording_there_is_the_loss_alone() -> None:
    model = model_of("tanh")
    parameters = [*model.parameters().values(), *OUTPUT]
    propagation = tg.Propagation(model)
    loss, _, _ = gradients(lambda: propagation(sequence(3)), parameters)
    with tg.no_grad():
        same, _, found = gradients(lambda: propagation(sequence(3)), parameters)
    assert same == loss and found == [None] * len(parameters)
    for tensor in parameters:
        tensor.requires_grad = False
    try:
        assert propagation(sequence(3))[0] == loss
    finally:
        for tensor in OUTPUT:
            tensor.requires_grad = True


def test_a_change_of_the_model_is_seen() -> None:
    model = model_of("tanh")
    cell, propagation = model.cell, tg.Propagation(model)
    changes: list[Callable[[], Any]] = [
        lambda: None,
        lambda: setattr(cell, "W_hh", parameter(H, H, seed=11)),
        lambda: setattr(cell, "residual", True),
        lambda: setattr(cell, "phi", np.sin),
        lambda: setattr(model, "loss", LOSSES["distance"]),
        lambda: setattr(cell.W_xh, "requires_grad", False),
        lambda: setattr(cell.b_h, "data", cell.b_h.data + 1),
    ]
    for change in changes:
        change()
        parameters = [p for p in cell.parameters().values() if p.requires_grad]
        compare(propagation, [*parameters, *OUTPUT], sequence(3))


def test_what_is_refused() -> None:
    xs = sequence(3)
    cell = CELLS["tanh"]()
    with pytest.raises(TypeError, match=r"end with the loss at the step.* shape \(3, 4\)"):
        tg.Propagation(cell)(xs["x"])
    added = tg.Propagation(lambda g, s: (cell(g["x"], s[0]), s[1] + entropy(s[0], g["y"])))
    with pytest.raises(TypeError, match="and a step reads it"):
        added(xs, (np.zeros((3, H)), np.zeros(())))
    model = model_of("tanh")
    with pytest.raises(ValueError, match="no losses is not defined"):
        tg.Propagation(model)(sequence(3, 0), (np.zeros((3, H)), np.zeros(())))
    model.cell.W_hh = np.tanh(parameter(H, H)).named("W")
    W_hq.grad = None
    with pytest.raises(TypeError, match=r"W of shape \(4, 4\) was computed from others"):
        tg.Propagation(model)(xs)
    assert W_hq.grad is None
    with pytest.raises(TypeError, match="strategy such as"):
        tg.Propagation(model, 3)  # type: ignore[arg-type]


def test_random_links_are_drawn_for_each_sequence() -> None:
    model = model_of("tanh")
    parameters = list(model.parameters().values())
    truncations = [tg.Randomized(0.5, 3) for _ in range(2)]
    propagation = tg.Propagation(model, truncations[0])
    for _ in range(3):
        _, _, found = gradients(lambda: propagation(sequence(3)), parameters)
        scan = functools.partial(recorded, tg.Propagation(model, truncations[1]))
        _, _, expected = gradients(functools.partial(scan, sequence(3), None, None), parameters)
        for mine, theirs in zip(found, expected, strict=True):
            np.testing.assert_allclose(mine, theirs, rtol=0, atol=1e-14)


def test_anomalies_are_found() -> None:
    model = model_of("tanh")
    propagation, xs = tg.Propagation(model), sequence(3)
    xs["x"] = xs["x"].copy()
    xs["x"][4, 1, 0] = np.inf
    with tg.anomaly(), pytest.raises(FloatingPointError, match=r"step 4|infinite"):
        propagation(xs)
    with tg.anomaly():
        loss, _ = propagation(sequence(3))
    assert loss == pytest.approx(propagation(sequence(3))[0])


def test_nothing_is_kept_alive() -> None:
    model = model_of("tanh")
    propagation = tg.Propagation(model)
    propagation(sequence(3))
    watched = weakref.ref(propagation), weakref.ref(model.cell)
    del propagation, model
    assert [ref() for ref in watched] == [None, None]


def test_lengths_come_and_go() -> None:
    propagation = tg.Propagation(model_of("tanh"))
    for steps in range(1, 20):
        propagation(sequence(3, steps))
    assert len(propagation.ready) <= 8
    assert repr(propagation) == "Propagation(WithLoss(RNNCell(3, 4)), Full())"


@pytest.mark.parametrize("block", [None, 2, 3])
def test_an_output_that_is_a_product_beside_the_loss(block: int | None) -> None:
    cell, V = CELLS["tanh"](), parameter(H, H, seed=13)

    def model(x: Any, state: Any) -> Any:
        h = cell(x, state[0])
        return h, h @ V, np.sum(np.square(h @ V))

    for batch in (1, 3):
        xs, h = sequence(batch)["x"], np.zeros((batch, H))
        parameters = [V, *cell.parameters().values()]
        compare(tg.Propagation(model, block=block), parameters, xs, (h, h, np.zeros(())))


def test_what_it_propagates_through_stays() -> None:
    propagation = tg.Propagation(model_of("tanh"), tg.Window(2))
    assert isinstance(propagation.model, tg.WithLoss) and propagation.truncation == tg.Window(2)
    for attribute in ("model", "truncation"):
        with pytest.raises(AttributeError):
            setattr(propagation, attribute, None)


def test_another_class_is_seen() -> None:
    class Once:
        factor = 1.0

        def __call__(self, h: Any, y: Any) -> Any:
            return tg.cross_entropy(self.factor * h @ W_hq, y)

    class Often(Once):
        factor = 50.0

    loss = Once()
    model = tg.WithLoss(CELLS["tanh"](), loss)
    propagation = tg.Propagation(model)
    compare(propagation, [W_hq], sequence(3))
    loss.__class__ = Often
    compare(propagation, [W_hq], sequence(3))


def test_a_rule_entered_anew_counts() -> None:
    model = model_of("tanh")
    propagation, W_hh = tg.Propagation(model), [model.cell.W_hh]
    _, _, before = gradients(lambda: propagation(sequence(3)), W_hh)
    ((_, old),) = RULES[np.tanh].arguments
    try:
        tg.derivative(np.tanh, lambda g, y: 2 * g * (1 - y * y))
        _, _, found = gradients(lambda: propagation(sequence(3)), W_hh)
    finally:
        tg.derivative(np.tanh, old.function)
    _, _, again = gradients(lambda: propagation(sequence(3)), W_hh)
    assert not np.allclose(found[0], before[0])
    np.testing.assert_array_equal(again[0], before[0])


def source_of(name: str, batch: int) -> str:
    """The program for a model's training."""
    propagation = tg.Propagation(model_of(name))
    propagation(sequence(batch))
    (ready,) = propagation.ready.values()
    return ready.program.source


def test_nothing_is_added_that_nobody_gives() -> None:
    model = model_of("lstm")
    with_gradients = loops(tg.scan_source(model, sequence(3)))[1]
    training = loops(source_of("lstm", 3))[1]
    assert any("dL_dc_t" in line for line in with_gradients)
    assert not any("dL_dc_t" in line for line in training)
    assert len(training) < len(with_gradients)


def test_for_one_row_the_product_of_the_loss_is_joined() -> None:
    assert ".dot(W_hq_T, " in source_of("tanh", 3)
    assert "W_hq.T" in source_of("tanh", 1) and "np.eye" not in source_of("tanh", 1)
    assert "np.eye" in tg.scan_source(model_of("tanh"), sequence(1))
