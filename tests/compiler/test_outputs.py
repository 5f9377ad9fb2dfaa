"""Outputs: what no step reads is computed outside of the loops, and means what it means."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tinygrad_rnn as tg
from tests.compiler.test_program import loops
from tests.compiler.test_scan import CELLS, STRATEGIES, compare, flatten, parameter
from tinygrad_rnn.training.cell_with_loss import CellWithLoss

T, D, H, Q = 7, 3, 4, 5
W_hq, b_q = parameter(H, Q, seed=3, name="W_hq"), parameter(Q, seed=4, name="b_q")
OUTPUT = [W_hq, b_q]
one_hot = tg.Tensor(np.eye(Q))


def entropy(h: Any, y: Any) -> Any:
    return tg.cross_entropy(h @ W_hq + b_q, y)


def distance(h: Any, y: Any) -> Any:
    return tg.mse(np.tanh(h @ W_hq + b_q), one_hot[y])


LOSSES: dict[str, Callable[[Any, Any], Any]] = {"entropy": entropy, "distance": distance}


def sequence(batch: int, steps: int = T, dtype: Any = np.int64) -> dict[str, Any]:
    labels = np.random.default_rng(1).integers(0, Q, (steps, batch)).astype(dtype)
    return {"x": parameter(steps, batch, D, seed=9).data, "y": labels}


def model_of(name: str, loss: Callable[[Any, Any], Any] = entropy) -> Any:
    return CellWithLoss(CELLS[name](), loss)


def state_of(model: Any, batch: int) -> Any:
    """An initial state that needs a gradient, in all parts but the loss."""
    state, loss = model.initial_state(batch)
    following = iter(parameter(batch, H, seed=n) for n, _ in enumerate(flatten(state)))
    return tg.engine.trees.unflatten(state, following), loss


@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize("truncation", STRATEGIES, ids=repr)
@pytest.mark.parametrize("name", CELLS)
def test_a_loss_at_every_step(name: str, truncation: Any, batch: int) -> None:
    if batch == 1 and any(given in repr(truncation) for given in ("(1, 2, 3)", "(2, 3", "[[")):
        return  # it is for three sequences
    model = model_of(name)
    parameters = [*model.cell.parameters().values(), *OUTPUT]
    state = state_of(model, batch)
    compare(model, state, parameters, sequence(batch), truncation=truncation)


@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize("name", CELLS)
@pytest.mark.parametrize("kind", LOSSES)
def test_the_gradient_of_the_losses_alone(kind: str, name: str, batch: int) -> None:
    model = model_of(name, LOSSES[kind])
    inputs = [*model.cell.parameters().values(), *OUTPUT, *flatten(state_of(model, batch)[0])]
    xs, state = sequence(batch), state_of(model, batch)
    inputs = [*model.cell.parameters().values(), *OUTPUT, *flatten(state[0])]
    states, _ = tg.unroll(model, xs, state)
    expected = tg.gradients(np.mean(np.stack([loss for _, loss in states])), inputs)
    for block in (None, 3):
        (_, losses), _ = tg.scan(model, xs, state, block=block)
        found = tg.gradients(np.mean(losses), inputs)
        for mine, theirs in zip(found, expected, strict=True):
            np.testing.assert_allclose(mine, theirs, rtol=0, atol=1e-13)


@pytest.mark.usefixtures("source_of_numpy")
@pytest.mark.parametrize("name", ["tanh", "lstm", "stacked"])
@pytest.mark.parametrize("batch", [1, 3])
def test_the_loss_is_no_part_of_the_loops(name: str, batch: int) -> None:
    source = tg.scan_source(model_of(name), sequence(batch))
    with_loss, without = loops(source), loops(tg.scan_source(CELLS[name](), sequence(batch)["x"]))
    for mine, theirs in zip(with_loss, without, strict=True):
        assert len(mine) == len(theirs)
        assert not any("W_hq" in line or "cross" in line for line in mine)
    assert "cross_entropies(" in source and ".max(axis=1" in source


@pytest.mark.usefixtures("source_of_numpy")
def test_a_loss_that_is_added_up_stays_in_the_loop() -> None:
    cell = CELLS["tanh"]()

    def model(given: Any, state: Any) -> Any:
        h = cell(given["x"], state[0])
        return h, state[1] + entropy(h, given["y"])

    xs, state = sequence(3), (np.zeros((3, H)), np.zeros(()))
    ahead, _ = loops_of_any(tg.scan_source(model, xs, state))
    assert any("cross_entropies(" in line for line in ahead)
    for truncation in (None, tg.Window(2), tg.Subsequence(3)):
        parameters = [*cell.parameters().values(), *OUTPUT]
        compare(model, state, parameters, xs, truncation=truncation)


def loops_of_any(source: str) -> tuple[list[str], list[str]]:
    """The lines between the comments of the loops and the next ones."""
    parts = [part.split("#")[0] for part in source.split("# The loop")[1:]]
    return parts[0].splitlines(), parts[1].splitlines()


def many_outputs(given: Any, state: Any) -> Any:
    """Outputs that hang on one another, on the input alone, on the state before, on nothing."""
    h, *_ = state
    new = np.tanh(given["x"] @ parameter_W + h @ parameter_U)
    logits = new @ W_hq + b_q
    return new, logits, tg.softmax(logits), h * 2, given["x"] @ parameter_W, np.ones(2), h


parameter_W, parameter_U = parameter(D, H, seed=5), parameter(H, H, seed=6)


@pytest.mark.parametrize("truncation", [None, tg.Subsequence(3), tg.Window(2)], ids=repr)
@pytest.mark.parametrize("batch", [1, 3])
def test_many_outputs(batch: int, truncation: Any) -> None:
    h, logits = np.zeros((batch, H)), np.zeros((batch, Q))
    state = (parameter(batch, H, seed=8), logits, logits, h, h, np.ones(2), h)
    parameters = [parameter_W, parameter_U, *OUTPUT]
    xs = {"x": parameter(T, batch, D, seed=9), "y": sequence(batch)["y"]}
    compare(many_outputs, state, parameters, xs, truncation=truncation)
    compare(many_outputs, state, parameters, xs, reset=np.arange(T) % 3 == 2)


@pytest.mark.parametrize("options", [{"outputs": "last"}, {"checkpoint": 2}], ids=repr)
def test_the_last_output_and_checkpoints(options: dict[str, Any]) -> None:
    model = model_of("lstm")
    parameters = [*model.cell.parameters().values(), *OUTPUT]
    _, (_, expected) = tg.scan(model, sequence(3))
    for block in (2, 3, T):
        _, (_, last) = tg.scan(model, sequence(3), block=block, **options)
        assert last.data == pytest.approx(expected.data, abs=1e-15)
        for mine, theirs in zip(
            tg.gradients(last, parameters), tg.gradients(expected, parameters), strict=True
        ):
            np.testing.assert_allclose(mine, theirs, rtol=0, atol=1e-13)


@pytest.mark.parametrize("dtype", [np.int8, np.uint8, np.int32, np.uint64])
def test_labels_of_any_integers(dtype: Any) -> None:
    model = model_of("tanh")
    (_, losses), _ = tg.scan(model, sequence(3, dtype=dtype))
    np.testing.assert_allclose(losses.data, tg.scan(model, sequence(3))[0][1].data, rtol=1e-14)


@pytest.mark.parametrize("wrong", [-1, Q, 100, -100])
def test_a_label_of_any_step_that_no_class_has(wrong: int) -> None:
    model, xs = model_of("tanh"), sequence(3)
    tg.scan(model, xs)
    xs["y"][4, 1] = wrong
    with pytest.raises(ValueError, match=rf"must lie in 0\.\.{Q - 1}, .* but they range over"):
        tg.scan(model, xs)
    (_, losses), _ = tg.scan(model, sequence(3))  # and nothing is lost
    assert np.isfinite(losses.data).all()


def test_labels_that_do_not_fit() -> None:
    for labels in (sequence(2)["y"], sequence(3)["x"][..., 0]):
        with pytest.raises((ValueError, TypeError), match="label"):
            tg.scan(model_of("tanh"), sequence(3) | {"y": labels})


@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize("scale", [1e-3, 1.0, 30.0, 1e4])
def test_logits_of_any_size(scale: float, batch: int) -> None:
    factor = tg.Tensor(scale, requires_grad=True)
    offset = parameter(Q, seed=4)

    def loss(h: Any, y: Any) -> Any:
        return tg.cross_entropy(factor * (h @ W_hq) + offset - 1000.0, y)

    model = CellWithLoss(CELLS["tanh"](), loss)
    xs, parameters = sequence(batch), [factor, offset, W_hq, *model.cell.parameters().values()]
    compare(model, state_of(model, batch), parameters, xs)


def test_rows_far_below_the_largest_logit() -> None:
    rows = np.zeros((T, 3, Q))
    rows[:, 1] -= 50.0
    rows[3, 2] = -1e5
    shift = parameter(Q, seed=4)
    model = CellWithLoss(CELLS["tanh"](), lambda h, y: tg.cross_entropy(y["o"] + shift, y["y"]))
    xs = {"x": sequence(3)["x"], "y": {"o": rows, "y": sequence(3)["y"]}}
    (_, losses), _ = tg.scan(model, xs)
    alone = [tg.cross_entropy(o + shift, y) for o, y in zip(rows, xs["y"]["y"], strict=True)]
    np.testing.assert_allclose(losses.data, [loss.data for loss in alone], rtol=1e-14)
    (mine,) = tg.gradients(np.mean(losses), [shift])
    (theirs,) = tg.gradients(np.mean(np.stack(alone)), [shift])
    np.testing.assert_allclose(mine, theirs, rtol=0, atol=1e-15)


@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_precision_stays(dtype: Any) -> None:
    cell = tg.RNNCell(D, H, rng=0, dtype=dtype)
    W = tg.Tensor(W_hq.data.astype(dtype), requires_grad=True)
    model = CellWithLoss(cell, lambda h, y: tg.cross_entropy(h @ W, y))
    xs = sequence(3) | {"x": sequence(3)["x"].astype(dtype)}
    (states, losses), _ = tg.scan(model, xs)
    assert states.dtype == losses.dtype == dtype
    (gradient,) = tg.gradients(np.mean(losses), [W])
    exact = CellWithLoss(CELLS["tanh"](), lambda h, y: tg.cross_entropy(h @ W_hq, y))
    for mine, theirs in zip(
        exact.cell.parameters().values(), cell.parameters().values(), strict=True
    ):
        mine.data = theirs.data.astype(float)
    (expected,) = tg.gradients(np.mean(tg.scan(exact, sequence(3))[0][1]), [W_hq])
    assert gradient.dtype == dtype
    np.testing.assert_allclose(gradient, expected, atol=20 * np.finfo(dtype).eps)


@pytest.mark.usefixtures("source_of_numpy")
def test_the_source_runs_by_itself() -> None:
    model, xs = model_of("tanh"), sequence(3)
    (states, losses), _ = tg.scan(model, xs)
    namespace: dict[str, Any] = {}
    exec(compile(tg.scan_source(model, xs), "pasted.py", "exec"), namespace)
    forward, backward = namespace["program"](T)
    parameters = [*model.cell.parameters().values(), *OUTPUT]
    given = (xs["x"], xs["y"], *(p.data for p in parameters))
    for mine, theirs in zip(forward(np.zeros((3, H)), 0.0, *given), (states, losses), strict=True):
        np.testing.assert_array_equal(mine, theirs.data)
    found = backward(0, 0, None, np.full(T, 1 / T), *given)
    expected = tg.gradients(np.mean(losses), parameters)
    for mine, theirs in zip(found[4:], expected, strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=0, atol=1e-15)


def test_second_derivatives() -> None:
    model, xs = model_of("tanh"), sequence(3)
    cell = model.cell

    def curvature(run: Callable[..., Any]) -> Any:
        loss = np.mean(run())
        (slope,) = tg.gradients(loss, [cell.W_hh], create_graph=True)
        return tg.gradients(np.sum(slope * slope), [cell.W_hh, W_hq])

    ours = curvature(lambda: tg.scan(model, xs)[0][1])
    theirs = curvature(lambda: np.stack([loss for _, loss in tg.unroll(model, xs)[0]]))
    for mine, other in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(mine, other, rtol=0, atol=1e-13)


Given = parameter(H, H, seed=12)

ODD: dict[str, tuple[Callable[[Any, Any, Any], Any], Callable[[int], tuple[int, ...]]]] = {
    # What a step gives out besides h, from x, h_{t−1} and h; and its shape for a batch.
    "no call for all steps": (lambda x, s, h: np.cumsum(h @ Given, axis=1), lambda B: (B, H)),
    "of an intermediate": (lambda x, s, h: np.clip(h @ Given, -0.1, 0.1) + h, lambda B: (B, H)),
    "einsum": (lambda x, s, h: np.einsum("bi,bi->b", h @ Given, h), lambda B: (B,)),
    "an index array": (lambda x, s, h: (h @ Given)[:, [0, 2]], lambda B: (B, 2)),
    "vectors": (lambda x, s, h: (h @ Given)[0] @ h[0], lambda B: ()),
    "a reshape that copies": (lambda x, s, h: np.reshape(h.T, (-1,)), lambda B: (B * H,)),
    "tile": (lambda x, s, h: np.tile(h, (1, 2)), lambda B: (B, 2 * H)),
    "broadcast": (lambda x, s, h: np.broadcast_to(h[:1], (3, H)) * 2, lambda B: (3, H)),
    "joined": (lambda x, s, h: np.concatenate([h, h], axis=1), lambda B: (B, 2 * H)),
    "joined with the state before": (
        lambda x, s, h: np.concatenate([np.tanh(s), x], axis=1), lambda B: (B, H + D),
    ),
    "split": (lambda x, s, h: np.split(h, 2, axis=1)[0] * 2, lambda B: (B, H // 2)),
    "the same labels at all steps": (
        lambda x, s, h: tg.cross_entropy(h @ Given, np.arange(len(h))), lambda B: (),
    ),
    "two losses in one": (
        lambda x, s, h: tg.cross_entropy(np.stack([h, h]), np.zeros((2, len(h)), int)),
        lambda B: (),
    ),
    "the same logits at all steps": (
        lambda x, s, h: tg.cross_entropy(Given, np.arange(H)) + np.sum(s), lambda B: (),
    ),
}  # fmt: skip


@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize("name", ODD)
def test_odd_outputs(name: str, batch: int) -> None:
    output, shape = ODD[name]

    def cell(x: Any, state: Any) -> Any:
        h = np.tanh(x @ parameter_W + state[0] @ parameter_U)
        return h, output(x, state[0], h)

    parameters = [parameter_W, parameter_U, Given]
    state = parameter(batch, H, seed=8), np.zeros(shape(batch))
    xs = parameter(T, batch, D, seed=9)
    for truncation in (None, tg.Subsequence(3), tg.Window(2)):
        compare(cell, state, parameters, xs, truncation=truncation)
    _, (_, expected) = tg.unroll(cell, xs, state)
    weights = np.random.default_rng(2).standard_normal(expected.shape)
    found = tg.gradients(np.sum(expected * weights), [*parameters[:2], state[0]])
    for options in ({}, {"block": 3}, {"block": 2, "checkpoint": 2}):
        _, (_, last) = tg.scan(cell, xs, state, outputs="last", **options)
        np.testing.assert_allclose(last.data, expected.data, rtol=0, atol=1e-13)
        gradients = tg.gradients(np.sum(last * weights), [*parameters[:2], state[0]])
        for mine, theirs in zip(gradients, found, strict=True):
            np.testing.assert_allclose(mine, theirs, rtol=0, atol=1e-13)


def test_a_row_of_the_loop_that_is_given_out() -> None:
    def cell(x: Any, state: Any) -> Any:
        z = np.concatenate([np.tanh(state[0] @ parameter_U), x], axis=1)
        return np.tanh(state[0] + z @ np.ones((H + D, H))), z

    for batch in (1, 3):
        state = np.zeros((batch, H)), np.zeros((batch, H + D))
        compare(cell, state, [parameter_U], parameter(T, batch, D, seed=9))


def test_outputs_of_integers_and_booleans() -> None:
    def cell(x: Any, state: Any) -> Any:
        h = np.tanh(x @ parameter_W + state[0] @ parameter_U)
        return h, np.argmax(h, axis=1), np.argmax(h, axis=1) == 1

    state = np.zeros((3, H)), np.zeros(3, int), np.zeros(3, bool)
    xs = parameter(T, 3, D, seed=9).data
    found = []
    for run in (tg.unroll, tg.scan):
        states, _ = run(cell, xs, state)
        if run is tg.unroll:
            states = map(np.stack, zip(*states, strict=True))
        h, best, right = states
        assert not isinstance(best, tg.Tensor) or not best.requires_grad
        loss = np.sum(h) + np.mean(right) * np.sum(best)
        gradients = tg.gradients(loss, [parameter_W, parameter_U])
        found.append([tg.Tensor(best).data, tg.Tensor(right).data, *gradients])
    for mine, theirs in zip(*found, strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=0, atol=1e-13)


def test_a_gradient_is_not_added_into_what_others_read() -> None:
    """What an output adds to ∂L/∂h is also the gradient of an input, or a part of another one."""
    V, bias = parameter(H, Q, seed=13), parameter(2, 3, H, seed=15)
    parameters, xs = [parameter_U, V, bias], parameter(T, 3, H, seed=9)

    def shared(x: Any, state: Any) -> Any:
        h = np.tanh(x + state[0] @ parameter_U)
        return h, np.sin((h + x) @ V)

    def looked_into(x: Any, state: Any) -> Any:
        h = np.tanh(x + state[0] @ parameter_U)
        return h, np.sin(np.stack([h, x]) + bias)

    h = np.zeros((3, H))
    compare(shared, (h, np.zeros((3, Q))), parameters, xs)
    compare(looked_into, (h, np.zeros((2, 3, H))), parameters, xs)


def test_a_dict_may_come_back_in_another_order() -> None:
    def cell(x: Any, s: Any) -> Any:
        h = np.tanh(x @ parameter_W + s["h"] @ parameter_U)
        return {"c": 0.5 * s["c"] + h * h, "h": h}

    state = {"h": np.zeros((3, H)), "c": np.ones((3, H))}
    xs = parameter(T, 3, D, seed=9).data
    (states, _), (steps, _) = (run(cell, xs, state) for run in (tg.scan, tg.unroll))
    for key in state:
        expected = np.stack([step[key].data for step in steps])
        np.testing.assert_allclose(states[key].data, expected, rtol=0, atol=1e-14)
    for step in (steps[2], list(tg.stream(cell, xs, state))[2]):
        assert {key: part.name for key, part in step.items()} == {"c": "c_3", "h": "h_3"}

    def curvature(run: Callable[..., Any]) -> Any:
        _, last = run(cell, xs, state)
        loss = np.sum(last["c"] ** 2) + np.sum(np.sin(last["h"]))
        (slope,) = tg.gradients(loss, [parameter_U], create_graph=True)
        return tg.gradients(np.sum(slope * slope), [parameter_U, parameter_W])

    for mine, theirs in zip(curvature(tg.scan), curvature(tg.unroll), strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=0, atol=1e-11)


@pytest.mark.parametrize("truncation", [tg.Subsequence([1, 2, 3]), tg.Window([0, 1, 2])], ids=repr)
def test_what_has_no_row_for_each_sequence(truncation: Any) -> None:
    def cell(x: Any, state: Any) -> Any:
        h = np.tanh(x @ parameter_W + state[0] @ parameter_U)
        return h, np.sum(h, axis=0)

    for run in (tg.unroll, tg.scan):
        for options in ({"truncation": truncation}, {"reset": np.eye(T, 3) == 1}):
            if run is tg.scan and isinstance(options.get("truncation"), tg.Window):
                continue  # no step reads it, and no link leads through it
            with pytest.raises(ValueError, match=r"each of 3 sequences, but .* shape \(4,\)"):
                run(cell, sequence(3)["x"], (np.zeros((3, H)), np.zeros(H)), **options)


def test_plain_arrays_among_tensors_are_no_constants() -> None:
    def cell(x: Any, state: Any) -> Any:
        h = np.tanh(x @ parameter_W + state[0] @ parameter_U)
        positive = h > 0
        return h, positive, np.stack([positive, state[0]], axis=1)

    state = np.zeros((3, H)), np.zeros((3, H), bool), np.zeros((3, 2, H))
    xs = parameter(T, 3, D, seed=9).data
    *_, both = tg.scan(cell, xs, state)[0]
    expected = np.stack([step[2].data for step in tg.unroll(cell, xs, state)[0]])
    np.testing.assert_allclose(both.data, expected, rtol=0, atol=1e-14)


def test_a_reset_of_all_sequences_asks_for_no_rows() -> None:
    def cell(x: Any, state: Any) -> Any:
        h = np.tanh(x @ parameter_W + state[0] @ parameter_U)
        return h, np.sum(h, axis=0)

    state, rows = (np.zeros((3, H)), np.zeros(H)), np.arange(T)[:, None] % 3 == [2, 2, 2]
    compare(cell, state, [parameter_W, parameter_U], sequence(3)["x"], reset=rows)


@pytest.mark.parametrize("truncation", [None, tg.Window(2)], ids=repr)
def test_a_transpose_that_is_given_out_and_wanted_on_the_way_back(truncation: Any) -> None:
    V = parameter(2, D, seed=14)

    def cell(x: Any, state: Any) -> Any:
        bent = np.where(x > 0, x, 0.5 * x)
        return np.tanh(bent @ parameter_W + state[0] @ parameter_U), V @ bent.T

    parameters = [V, parameter_W, parameter_U]
    state, xs = (np.zeros((3, H)), np.zeros((2, 3))), parameter(T, 3, D, seed=9)
    compare(cell, state, parameters, xs, truncation=truncation)


def test_exponentials_of_booleans() -> None:
    def cell(x: Any, state: Any) -> Any:
        h = np.tanh(x @ parameter_W + state[0] @ parameter_U)
        right, labels = h > 0, np.zeros(3, int)
        return h, tg.cross_entropy(right, labels), tg.log_softmax(right), tg.softmax(right)

    h = np.zeros((3, H))
    compare(cell, (h, np.zeros(()), h, h), [parameter_W, parameter_U], sequence(3)["x"])


def test_numbers_alone_have_no_sequences_to_cut() -> None:
    w = parameter()

    def cell(x: Any, h: Any) -> Any:
        return np.tanh(w * h + x)

    for run in (tg.unroll, tg.scan):
        with pytest.raises(ValueError, match=r"each of 3 sequences, but the state .* shape \(\)"):
            run(cell, np.ones(T), np.zeros(()), tg.Subsequence([1, 2, 3]))
    for change in (tg.detach, tg.reset):
        with pytest.raises(ValueError, match="each of 2 sequences"):
            change(w * 2, rows=[True, False])
        beside = change((w * 2, w * np.ones((2, 1))), rows=[True, False])
        assert beside[0].data == 2 * w.data and beside[0].requires_grad
    model = model_of("lstm")
    for truncation in (tg.Subsequence([1, 2, 3]), tg.Window([0, 1, 2])):
        tg.check_truncated_gradients(
            lambda states: sum(loss for _, loss in states),
            model,
            sequence(3),
            truncation=truncation,
            parameters=model.cell.parameters(),
        )
