"""Forward and back in one call, without a graph: the same numbers as recorded, for any model."""

from __future__ import annotations

import copy
import functools
import os
import weakref
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tinygrad_rnn as tg
from tests.compiler.test_outputs import LOSSES, OUTPUT, W_hq, entropy, model_of, one_hot, sequence
from tests.compiler.test_program import loops
from tests.compiler.test_scan import CELLS, STRATEGIES, flatten, parameter
from tinygrad_rnn.engine.table import RULES
from tinygrad_rnn.training.bptt import given_of, propagated_in_a_graph

T, D, H, Q = 7, 3, 4, 5


def gradients(
    run: Callable[[], tuple[Any, Any]], parameters: list[tg.Tensor]
) -> tuple[Any, Any, list[Any]]:
    for tensor in parameters:
        tensor.grad = None
    loss, last = run()
    return loss, last, [tensor.grad for tensor in parameters]


def in_a_graph(bptt: tg.BPTT, xs: Any, targets: Any, state: Any = None, **options: Any) -> Any:
    """The same with a graph, by `unroll` and `backward`."""
    options = {"reset": None, "lengths": None, "mask": None} | options
    given, reset, valid = given_of(xs, targets, *options.values())
    return propagated_in_a_graph(bptt, given, state, reset, valid)


def compare(bptt: tg.BPTT, parameters: list[tg.Tensor], *given: Any, **options: Any) -> None:
    """The compiled program beside the recorded graph. given: xs and targets."""
    expected = gradients(lambda: in_a_graph(bptt, *given, **options), parameters)
    for _ in range(2):
        loss, last, found = gradients(lambda: bptt(*given, **options), parameters)
        assert loss.dtype == expected[0].dtype and np.shape(loss) == ()
        assert loss == pytest.approx(float(expected[0]), rel=1e-14)
        for mine, theirs in zip(flatten(last), flatten(expected[1]), strict=True):
            assert type(mine) is np.ndarray and mine.dtype == theirs.dtype
            np.testing.assert_allclose(mine, theirs, rtol=0, atol=1e-14)
        for mine, theirs in zip(found, expected[2], strict=True):
            assert type(mine) is np.ndarray and mine.dtype == theirs.dtype
            np.testing.assert_allclose(mine, theirs, rtol=0, atol=1e-14)


def task(batch: int, steps: int = T) -> tuple[Any, Any]:
    """Inputs and labels."""
    xs, labels = sequence(batch, steps).values()
    return xs, labels


def bptt_of(name: str, loss: Any = entropy, *options: Any, **more: Any) -> tg.BPTT:
    return tg.BPTT(CELLS[name](), loss, *options, **more)


def parameters_of(bptt: tg.BPTT) -> list[tg.Tensor]:
    return [*bptt.cell.parameters().values(), *OUTPUT]


def is_for(truncation: Any, batch: int) -> bool:
    per_sequence = any(given in repr(truncation) for given in ("(1, 2, 3)", "(2, 3", "[["))
    return batch == 3 or not per_sequence


@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize("truncation", STRATEGIES, ids=repr)
@pytest.mark.parametrize("name", CELLS)
def test_every_cell_and_truncation(name: str, truncation: Any, batch: int) -> None:
    if is_for(truncation, batch):
        for block in (None, 3) if name == "tanh" else (None,):
            bptt = bptt_of(name, entropy, truncation, block=block)
            compare(bptt, parameters_of(bptt), *task(batch))


def per_sequence(h: Any, y: Any) -> Any:
    """The loss of each sequence by itself."""
    return np.sum(np.square(np.tanh(h @ W_hq + OUTPUT[1]) - one_hot[y]), axis=-1)


@pytest.mark.parametrize("truncation", STRATEGIES, ids=repr)
@pytest.mark.parametrize("name", ["tanh", "lstm"])
def test_a_loss_for_each_sequence(name: str, truncation: Any) -> None:
    for batch in (1, 3):
        if is_for(truncation, batch):
            bptt = bptt_of(name, per_sequence, truncation)
            compare(bptt, parameters_of(bptt), *task(batch))
    mean = bptt_of("tanh", lambda h, y: np.mean(per_sequence(h, y)))
    each = tg.BPTT(mean.cell, per_sequence)
    expected = gradients(lambda: mean(*task(3)), parameters_of(mean))
    found = gradients(lambda: each(*task(3)), parameters_of(each))
    assert found[0] == pytest.approx(expected[0], rel=1e-14)
    for mine, theirs in zip(found[2], expected[2], strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=0, atol=1e-15)


@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize("reduction", ["mean", "none", "sum"])
@pytest.mark.parametrize("ignored", [None, 2])
def test_cross_entropy_of_each_sequence(batch: int, reduction: str, ignored: int | None) -> None:
    def loss(h: Any, y: Any) -> Any:
        return tg.cross_entropy(h @ W_hq + OUTPUT[1], y, ignored, reduction)

    bptt = bptt_of("gru", loss)
    compare(bptt, parameters_of(bptt), *task(batch))
    source = tg.BPTT(bptt.cell, loss, backend="numpy").source(*task(batch))
    assert "cross_entropies(" in source and not any("cross" in line for line in loops(source)[0])


@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize("kind", LOSSES)
def test_state_and_reset(kind: str, batch: int) -> None:
    h, c = parameter(batch, H, seed=1), parameter(batch, H, seed=2)
    for block in (None, 2):
        bptt = bptt_of("lstm", LOSSES[kind], block=block)
        parameters = parameters_of(bptt)
        compare(bptt, [h, c, *parameters], *task(batch), state=(h, c))
        compare(bptt, parameters, *task(batch), reset=np.arange(T) % 3 == 2)


def test_a_chunk_after_the_other() -> None:
    bptt = bptt_of("gru")
    (xs, labels), parameters = task(3, 2 * T), parameters_of(bptt)
    chunks = tg.BPTT(bptt.cell, entropy, tg.Subsequence(T))
    whole = gradients(lambda: chunks(xs, labels), parameters)
    for tensor in parameters:
        tensor.grad = None
    losses, state = [], None
    for n in (0, T):
        loss, state = bptt(xs[n : n + T], labels[n : n + T], state)
        losses.append(loss)
    assert np.mean(losses) == pytest.approx(whole[0], rel=1e-14)
    for tensor, expected in zip(parameters, whole[2], strict=True):
        np.testing.assert_allclose(tensor.grad / 2, expected, rtol=0, atol=1e-14)


def test_gradients_are_added_up_and_belong_to_the_caller() -> None:
    bptt = bptt_of("tanh")
    parameters, (xs, labels) = parameters_of(bptt), task(3)
    _, last, once = gradients(lambda: bptt(xs, labels), parameters)
    kept = [np.array(part) for part in flatten(last)]
    once = [gradient.copy() for gradient in once]
    bptt(xs, labels)
    for tensor, gradient in zip(parameters, once, strict=True):
        np.testing.assert_allclose(tensor.grad, 2 * gradient, rtol=0, atol=1e-14)
        tensor.grad[...] = 7.0
    bptt(-xs, labels)
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
    compare(tg.BPTT(Cell(), entropy), parameters, *task(batch))
    assert not np.shares_memory(b_x.grad, b_h.grad)


def test_without_recording_there_is_the_loss_alone() -> None:
    bptt = bptt_of("tanh")
    parameters, given = parameters_of(bptt), task(3)
    loss, _, _ = gradients(lambda: bptt(*given), parameters)
    with tg.no_grad():
        same, _, found = gradients(lambda: bptt(*given), parameters)
    assert same == loss and found == [None] * len(parameters)
    for tensor in parameters:
        tensor.requires_grad = False
    try:
        assert bptt(*given)[0] == loss
    finally:
        for tensor in OUTPUT:
            tensor.requires_grad = True


def test_a_change_of_the_model_is_seen() -> None:
    state: dict[str, Any] = {"loss": entropy}
    bptt = bptt_of("tanh", lambda h, y: state["loss"](h, y))
    cell = bptt.cell
    changes: list[Callable[[], Any]] = [
        lambda: None,
        lambda: setattr(cell, "W_hh", parameter(H, H, seed=11)),
        lambda: setattr(cell, "residual", True),
        lambda: setattr(cell, "phi", np.sin),
        lambda: state.update(loss=LOSSES["distance"]),
        lambda: setattr(cell.W_xh, "requires_grad", False),
        lambda: setattr(cell.b_h, "data", cell.b_h.data + 1),
    ]
    for change in changes:
        change()
        parameters = [p for p in cell.parameters().values() if p.requires_grad]
        compare(bptt, [*parameters, *OUTPUT], *task(3))


def test_a_property_that_comes_before_an_attribute_is_seen() -> None:
    """Only members that the class already had were looked at, so the first numbers stayed."""

    class Scaled:
        def __init__(self) -> None:
            self.k = 0.5

        def __call__(self, x: Any, h: Any) -> Any:
            return np.tanh(h + x * self.k)

    bptt = tg.BPTT(Scaled(), lambda h, y: tg.mse(h * W_hq[0, 0], y))
    given = np.ones((3, 2, 4)), np.zeros((3, 2, 4)), np.zeros((2, 4))
    for _ in range(5):
        bptt(*given)
    Scaled.k = property(lambda self: 0.1)  # type: ignore[assignment]
    for _ in range(4):
        assert bptt(*given)[0] == pytest.approx(bptt.record(*given).item(), rel=1e-14)


def test_what_is_refused() -> None:
    xs, labels = task(3)
    cell = CELLS["tanh"]()
    for loss in (lambda h, y: h @ W_hq, lambda h, y: np.ones((3, 2))):
        with pytest.raises(TypeError, match=r"one number, or one for each sequence.*shape \(3, "):
            tg.BPTT(cell, loss)(xs, labels)
    with pytest.raises(ValueError, match="there is no mean loss"):
        tg.BPTT(cell, entropy)(xs[:0], labels[:0], np.zeros((3, H)))
    with pytest.raises(ValueError, match="xs has 7 and targets has 6"):
        tg.BPTT(cell, entropy)(xs, labels[1:])
    with pytest.raises(TypeError, match="strategy such as"):
        tg.BPTT(cell, entropy, 3)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"<lambda> has no initial_state.*bptt\(xs, targets, state"):
        tg.BPTT(lambda x, h: cell(x, h), entropy)(xs, labels)
    with pytest.raises(ValueError, match="backend must be 'numpy' or 'native', not 'fortran'"):
        tg.BPTT(cell, entropy, backend="fortran")


def test_random_links_are_drawn_for_each_sequence() -> None:
    cell = CELLS["tanh"]()
    parameters = list(cell.parameters().values())
    mine, theirs = (tg.BPTT(cell, entropy, tg.Randomized(0.5, 3)) for _ in range(2))
    for _ in range(3):
        _, _, found = gradients(lambda: mine(*task(3)), parameters)
        run = functools.partial(in_a_graph, theirs, *task(3))
        _, _, expected = gradients(run, parameters)
        for gradient, other in zip(found, expected, strict=True):
            np.testing.assert_allclose(gradient, other, rtol=0, atol=1e-14)


def test_anomalies_are_found() -> None:
    bptt, (xs, labels) = bptt_of("tanh"), task(3)
    broken = xs.copy()
    broken[4, 1, 0] = np.inf
    with tg.anomaly(), pytest.raises(FloatingPointError, match=r"step 4|infinite"):
        bptt(broken, labels)
    with tg.anomaly():
        loss, _ = bptt(xs, labels)
    assert loss == pytest.approx(bptt(xs, labels)[0])


def test_nothing_is_kept_alive() -> None:
    bptt = bptt_of("tanh")
    bptt(*task(3))
    watched = weakref.ref(bptt), weakref.ref(bptt.cell)
    del bptt
    assert [ref() for ref in watched] == [None, None]


def test_lengths_come_and_go() -> None:
    bptt = bptt_of("tanh")
    for steps in range(1, 20):
        bptt(*task(3, steps))
    assert len(bptt.ready) <= 8
    assert repr(bptt) == "BPTT(RNNCell(3, 4), entropy, Full())"


@pytest.mark.parametrize("block", [None, 2, 3])
def test_outputs_beside_the_loss(block: int | None) -> None:
    inner, V = CELLS["tanh"](), parameter(H, H, seed=13)

    def cell(x: Any, state: Any) -> Any:
        h = inner(x, state[0])
        return h, h @ V

    def loss(state: Any, y: Any) -> Any:
        return np.sum(np.square(state[1]))

    bptt = tg.BPTT(cell, loss, block=block)
    for batch in (1, 3):
        start = np.zeros((batch, H)), None
        compare(bptt, [V, *inner.parameters().values()], *task(batch), state=start)
        _, (h, output) = bptt(*task(batch), start)
        assert h.shape == (batch, H) and output is None
        bptt(*task(batch), (h, output))
        assert len(bptt.ready) == batch // 2 + 1


def test_what_it_propagates_through_stays() -> None:
    bptt = bptt_of("tanh", entropy, tg.Window(2))
    assert bptt.loss is entropy and bptt.truncation == tg.Window(2)
    for attribute in ("cell", "loss", "truncation"):
        with pytest.raises(AttributeError):
            setattr(bptt, attribute, None)


def test_another_class_is_seen() -> None:
    class Once:
        factor = 1.0

        def __call__(self, h: Any, y: Any) -> Any:
            return tg.cross_entropy(self.factor * h @ W_hq, y)

    class Often(Once):
        factor = 50.0

    loss = Once()
    bptt = bptt_of("tanh", loss)
    compare(bptt, [W_hq], *task(3))
    loss.__class__ = Often
    compare(bptt, [W_hq], *task(3))


def test_a_rule_entered_anew_counts() -> None:
    bptt = bptt_of("tanh")
    W_hh = [bptt.cell.W_hh]
    _, _, before = gradients(lambda: bptt(*task(3)), W_hh)
    ((_, old),) = RULES[np.tanh].arguments
    try:
        tg.derivative(np.tanh, lambda g, y: 2 * g * (1 - y * y))
        _, _, found = gradients(lambda: bptt(*task(3)), W_hh)
    finally:
        tg.derivative(np.tanh, old.function)
    _, _, again = gradients(lambda: bptt(*task(3)), W_hh)
    assert not np.allclose(found[0], before[0])
    np.testing.assert_array_equal(again[0], before[0])


def test_gradients_flow_on_into_the_graph() -> None:
    """Inputs, initial state and a captured Tensor, all computed from others."""
    table, start, V = parameter(Q, D, seed=21), parameter(H, seed=22), parameter(H, H, seed=23)
    letters = np.random.default_rng(0).integers(0, Q, (T, 3))
    cell = CELLS["tanh"]()
    labels = task(3)[1]

    def given() -> tuple[Any, Any]:
        cell.W_hh = np.tanh(V) * 2
        return np.tanh(table)[letters], np.ones((3, 1)) * start

    parameters = [table, start, V, cell.W_xh, *OUTPUT]
    bptt = tg.BPTT(cell, entropy)

    def recorded() -> tuple[Any, Any]:
        xs, h = given()
        return in_a_graph(bptt, xs, labels, h)

    def compiled() -> tuple[Any, Any]:
        xs, h = given()
        return bptt(xs, labels, h)

    loss, _, expected = gradients(recorded, parameters)
    for _ in range(2):
        same, _, found = gradients(compiled, parameters)
        assert same == pytest.approx(float(loss), rel=1e-14) and len(bptt.ready) == 1
        for mine, theirs in zip(found, expected, strict=True):
            np.testing.assert_allclose(mine, theirs, rtol=0, atol=1e-14)
    assert cell.W_hh.grad is None


def each(h: Any, y: Any) -> Any:
    return tg.cross_entropy(h @ W_hq + OUTPUT[1], y, reduction="none")


@pytest.mark.parametrize("truncation", [tg.Full(), tg.Subsequence(3), tg.Window(2)], ids=repr)
@pytest.mark.parametrize("name", ["tanh", "lstm", "stacked"])
def test_sequences_of_different_lengths_are_each_by_itself(name: str, truncation: Any) -> None:
    bptt = bptt_of(name, each, truncation)
    parameters, lengths = parameters_of(bptt), np.array([4, 7, 1, 0])
    xs, labels = task(4)
    padded, wrong = xs.copy(), labels.copy()
    valid = np.arange(T)[:, None] < lengths
    padded[~valid], wrong[~valid] = np.nan, -100  # whatever stands there
    state = bptt.cell.initial_state(4)
    start = tg.engine.trees.unflatten(
        state, iter([parameter(4, H, seed=n) for n, _ in enumerate(flatten(state))])
    )
    parameters = [*flatten(start), *parameters]
    loss, last, found = gradients(lambda: bptt(padded, wrong, start, lengths=lengths), parameters)
    for tensor in parameters:
        tensor.grad = np.zeros(tensor.shape)
    total, ends = 0.0, [np.array(part.data) for part in flatten(start)]
    for b, n in enumerate(lengths[:3]):
        mine = tg.BPTT(bptt.cell, each, truncation)
        one = tg.engine.trees.unflatten(start, iter([h[b : b + 1] for h in flatten(start)]))
        before = [tensor.grad for tensor in parameters]
        by_itself, end = mine(xs[:n, b : b + 1], labels[:n, b : b + 1], one)
        total += by_itself * n
        for tensor, earlier in zip(parameters, before, strict=True):
            tensor.grad = earlier + n * (tensor.grad - earlier)
        for whole, part in zip(ends, flatten(end), strict=True):
            whole[b] = part[0]
    assert loss == pytest.approx(total / lengths.sum(), rel=1e-13)
    for mine, theirs in zip(flatten(last), ends, strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=0, atol=1e-14)
    for gradient, tensor in zip(found, parameters, strict=True):
        np.testing.assert_allclose(gradient, tensor.grad / lengths.sum(), rtol=0, atol=1e-14)
    compare(bptt, parameters, padded, wrong, state=start, lengths=lengths)
    compare(bptt, parameters, padded, wrong, state=start, mask=valid)


@pytest.mark.parametrize("truncation", STRATEGIES, ids=repr)
def test_steps_that_are_not_there(truncation: Any) -> None:
    """A mask with holes, and resets among them."""
    rng = np.random.default_rng(3)
    mask, reset = rng.random((T, 3)) < 0.6, rng.random((T, 3)) < 0.3
    bptt = bptt_of("lstm", each, truncation)
    compare(bptt, parameters_of(bptt), *task(3), mask=mask, reset=reset)
    if truncation == tg.Full():  # as the sequence without these steps
        xs, labels = task(3)
        loss, last, found = gradients(
            lambda: bptt(xs, labels, mask=mask, reset=reset), parameters_of(bptt)
        )
        total, sums = 0.0, [0.0] * len(found)
        for b in range(3):
            row = slice(b, b + 1), mask[:, b]
            part, end, own = gradients(
                lambda row=row: bptt(
                    *(given[row[1], row[0]] for given in task(3)), reset=reset[row[1], row[0]]
                ),
                parameters_of(bptt),
            )
            n = mask[:, b].sum()
            total, sums = total + n * part, [s + n * g for s, g in zip(sums, own, strict=True)]
            for whole, alone in zip(flatten(last), flatten(end), strict=True):
                np.testing.assert_allclose(whole[b], alone[0], rtol=0, atol=1e-14)
        assert loss == pytest.approx(total / mask.sum(), rel=1e-13)
        for mine, theirs in zip(found, sums, strict=True):
            np.testing.assert_allclose(mine, theirs / mask.sum(), rtol=0, atol=1e-14)


@pytest.mark.parametrize("kind", ["RNN", "LSTM", "GRU"])
def test_packed_sequences_of_pytorch(kind: str) -> None:
    torch = pytest.importorskip("torch")
    pack = torch.nn.utils.rnn.pack_padded_sequence
    layer = getattr(torch.nn, kind)(D, H).double()
    cell, lengths = tg.from_torch(layer), [3, 7, 5]
    xs, labels = task(3)
    bptt = tg.BPTT(cell, each)
    for tensor in parameters_of(bptt):
        tensor.grad = None
    loss, last = bptt(xs, labels, lengths=lengths)
    packed = pack(torch.tensor(xs), torch.tensor(lengths), enforce_sorted=False)
    targets = pack(torch.tensor(labels), torch.tensor(lengths), enforce_sorted=False)
    outputs, final = layer(packed)
    logits = outputs.data @ torch.tensor(W_hq.data) + torch.tensor(OUTPUT[1].data)
    theirs = torch.nn.functional.cross_entropy(logits, targets.data)
    theirs.backward()
    assert loss == pytest.approx(theirs.item(), rel=1e-12)
    for mine, other in zip(flatten(last), final if kind == "LSTM" else [final], strict=True):
        np.testing.assert_allclose(mine, other[0].detach().numpy(), rtol=0, atol=1e-12)
    np.testing.assert_allclose(cell.W_hh.grad, layer.weight_hh_l0.grad.numpy().T, atol=1e-12)
    np.testing.assert_allclose(cell.W_xh.grad, layer.weight_ih_l0.grad.numpy().T, atol=1e-12)


def test_sequences_of_one_length_less() -> None:
    """A number for all sequences may be left out where it is left out for all of them."""
    bptt, (xs, labels) = bptt_of("tanh"), task(3)
    expected = gradients(lambda: bptt(xs[:5], labels[:5]), parameters_of(bptt))
    found = gradients(lambda: bptt(xs, labels, lengths=[5, 5, 5]), parameters_of(bptt))
    assert found[0] == pytest.approx(expected[0], rel=1e-14)
    for mine, theirs in zip(found[2], expected[2], strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=0, atol=1e-14)
    whole = gradients(lambda: bptt(xs, labels, lengths=[7, 7, 7]), parameters_of(bptt))
    for mine, theirs in zip(
        whole[2], gradients(lambda: bptt(xs, labels), parameters_of(bptt))[2], strict=True
    ):
        np.testing.assert_array_equal(mine, theirs)
    with pytest.raises(TypeError, match=r'one number for each sequence.*reduction="none"'):
        bptt(xs, labels, lengths=[5, 5, 4])


def test_lengths_that_do_not_fit() -> None:
    bptt, (xs, labels) = bptt_of("tanh", each), task(3)
    for lengths in ([5, 5], [5.0, 5.0, 5.0], [[5, 5, 5]]):
        with pytest.raises(
            ValueError, match=r"one whole number for each sequence, of shape \(3,\)"
        ):
            bptt(xs, labels, lengths=lengths)
    with pytest.raises(ValueError, match=r"lengths must lie in 0\.\.7, .* over -1\.\.8"):
        bptt(xs, labels, lengths=[8, -1, 3])
    with pytest.raises(ValueError, match=r"booleans of shape \(7, 3\), .* shape \(3, 7\)"):
        bptt(xs, labels, mask=np.ones((3, 7), bool))
    with pytest.raises(ValueError, match="not both"):
        bptt(xs, labels, lengths=[1, 2, 3], mask=np.ones((7, 3), bool))
    with pytest.raises(ValueError, match="no sequence has a step"):
        bptt(xs, labels, lengths=[0, 0, 0])


class Own:
    """A model that holds its BPTT, the loss of which is a method of its own."""

    def __init__(self) -> None:
        self.cell, self.calls, self.losses = CELLS["tanh"](), 0, []
        self.bptt = tg.BPTT(self.cell, self.loss)

    def loss(self, h: Any, y: Any) -> Any:
        return entropy(h, y)

    def train(self) -> Any:
        loss, _ = self.bptt(*task(3))
        self.calls += 1
        self.losses.append(loss)
        return loss


def test_a_model_that_holds_its_bptt_is_compiled_once(monkeypatch: pytest.MonkeyPatch) -> None:
    model = Own()
    first = model.train()
    (ready,) = model.bptt.ready.values()
    made = []
    monkeypatch.setattr(tg.BPTT, "_made_ready", lambda *given: made.append(given))
    assert [model.train() for _ in range(3)] == [first] * 3
    assert not made and list(model.bptt.ready.values()) == [ready]
    assert set(tg.parameters(model)) == {"W_xh", "W_hh", "b_h", "W_hq", "b_q"}


def test_recorded_for_pictures() -> None:
    bptt = bptt_of("lstm", entropy, tg.Window(1))
    xs, labels = task(3, 3)
    L = bptt.record(xs, labels)
    steps = {node.name: node.step for node in tg.tape(L)}
    assert {"L", "l_1", "l_3", "h_3", "c_3", "x_1", "y_1", "W_hq"} <= steps.keys()
    assert [steps[f"h_{n}"] for n in (1, 2, 3)] == [0, 1, 2]
    loss, _, found = gradients(lambda: bptt(xs, labels), [bptt.cell.W_hh])
    assert L.data == pytest.approx(float(loss), rel=1e-14)
    uses = tg.contributions(L, bptt.cell.W_hh)
    assert [use.step for use in uses] == [0, 1, 1, 2]
    np.testing.assert_allclose(sum(use.gradient for use in uses), found[0], atol=1e-14)
    assert "cross_entropies(" in bptt.source(xs, labels)


def test_layers_without_names_are_counted_in_the_program() -> None:
    W, xs = tg.Tensor(np.eye(3), requires_grad=True), np.ones((2, 2, 3))
    layers = tg.Stacked([lambda x, h: np.tanh(x @ W + h)] * 2)
    source = tg.BPTT(layers, tg.mse).source(xs, xs, (np.ones((2, 3)), np.ones((2, 3))))
    assert "# The loop: h_1_t, h_2_t, l_t from" in source


def test_parameters_of_cell_and_loss() -> None:
    bptt = bptt_of("lstm")
    assert sorted(bptt.parameters()) == ["W_hh", "W_hq", "W_xh", "b_h", "b_q"]
    assert set(map(id, bptt.parameters().values())) == set(map(id, parameters_of(bptt)))


@pytest.mark.usefixtures("source_of_numpy")
def test_nothing_is_added_that_nobody_gives() -> None:
    with_gradients = loops(tg.scan_source(model_of("lstm"), sequence(3)))[1]
    training = loops(bptt_of("lstm").source(*task(3)))[1]
    assert any("dL_dc_t" in line for line in with_gradients)
    assert not any("dL_dc_t" in line for line in training)
    assert len(training) < len(with_gradients)


@pytest.mark.usefixtures("source_of_numpy")
def test_for_one_row_the_product_of_the_loss_is_joined() -> None:
    assert ", W_hq_T, " in bptt_of("tanh").source(*task(3))
    alone = bptt_of("tanh").source(*task(1))
    assert "W_hq.T" in alone and "np.eye" not in alone
    assert "np.eye" in tg.scan_source(model_of("tanh"), sequence(1))


@pytest.mark.parametrize("name", ["tanh", "lstm"])
def test_usual_calls(name: str) -> None:
    """From the third call on, most are of a form that is known, and nothing is looked at in full:
    whatever changes in between is seen."""
    bptt = bptt_of(name)
    W_xh = bptt.cell.W_xh

    def again(xs: Any, labels: Any, state: Any = None) -> Any:
        parameters = [tensor for tensor in parameters_of(bptt) if tensor.requires_grad]
        loss, last, found = gradients(lambda: bptt(xs, labels, state), parameters)
        expected, _, theirs = gradients(lambda: in_a_graph(bptt, xs, labels, state), parameters)
        assert loss == pytest.approx(float(expected), rel=1e-14)
        for mine, other in zip(found, theirs, strict=True):
            np.testing.assert_allclose(mine, other, rtol=0, atol=1e-14)
        return last

    for batch in (3, 1, 3):
        xs, labels = task(batch)
        state = None
        for _ in range(6):
            state = again(xs, labels, state)
        assert bptt.usual
        leaf = tg.Tensor(flatten(state)[0] + 1, requires_grad=True)
        if name == "tanh":
            for _ in range(3):
                again(xs, labels, leaf)
            assert leaf.grad is not None
            leaf.grad = None
        for change in (
            lambda: setattr(W_xh, "data", 2 * W_xh.data),
            lambda: setattr(W_xh, "requires_grad", False),
            lambda: setattr(W_xh, "requires_grad", True),
        ):
            change()
            for _ in range(2):
                again(xs, labels, state)
        with pytest.raises(ValueError, match="labels"):
            bptt(xs, labels + Q)
        with pytest.raises((TypeError, ValueError)):
            bptt(xs, labels, np.ones((batch, H + 1)))
        with pytest.raises(TypeError):
            bptt(xs, labels, (state, state, state, state))
        with tg.no_grad():
            assert bptt(xs, labels)[0] == pytest.approx(float(in_a_graph(bptt, xs, labels)[0]))
        assert again(xs, labels[:, ::-1], None) is not None
    tg.clear_programs()
    assert not bptt.usual


def test_an_initial_state_changes_with_the_cell() -> None:
    def halved(batch_size: int) -> Any:
        return np.full((batch_size, H), 0.5)

    def single(cell: Any) -> None:
        for tensor in (*cell.parameters().values(), *OUTPUT):
            tensor.data = tensor.data.astype(np.float32)

    before = [tensor.data for tensor in OUTPUT]
    bptt = bptt_of("tanh")
    try:
        for change in (
            lambda cell: None,
            lambda cell: setattr(cell, "initial_state", halved),
            lambda cell: delattr(cell, "initial_state"),
            single,
        ):
            change(bptt.cell)
            xs, labels = task(3)
            xs = xs.astype(bptt.cell.W_hh.dtype)
            for _ in range(4):
                loss, last = bptt(xs, labels)
                expected, same = in_a_graph(bptt, xs, labels)
                assert last.dtype == same.dtype
                assert loss == pytest.approx(
                    float(expected), rel=1e-6 if change is single else 1e-14
                )
    finally:
        for tensor, data in zip(OUTPUT, before, strict=True):
            tensor.data = data


def test_an_initial_state_that_is_drawn() -> None:
    class Begins(tg.RNNCell):
        generator = np.random.default_rng(0)

        def initial_state(self, batch_size: int) -> Any:
            return self.generator.standard_normal((batch_size, H))

    bptt, same = tg.BPTT(Begins(D, H, rng=0), entropy), bptt_of("tanh")
    for _ in range(7):
        generator = copy.deepcopy(Begins.generator)
        loss, _ = bptt(*task(3))
        expected, _ = same(*task(3), generator.standard_normal((3, H)))
        assert loss == pytest.approx(float(expected), rel=1e-14)


def test_a_program_renewed_by_a_list_serves_arrays_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lists go the long way and arrays a shorter one, to the same program."""
    monkeypatch.setenv("FACTOR", "1")

    def cell(x: Any, h: Any) -> Any:
        return np.tanh(x * float(os.environ["FACTOR"]) + h)

    xs, targets, state = np.ones((3, 2, 4)), np.zeros((3, 2, 4)), np.zeros((2, 4))
    bptt = tg.BPTT(cell, tg.mse)
    bptt(xs, targets, state)
    monkeypatch.setenv("FACTOR", "2")
    with pytest.warns(tg.StaleProgramWarning):
        right, _ = bptt(list(xs), targets, state)
    assert bptt(xs, targets, state)[0] == right
    assert np.isclose(right, bptt.record(xs, targets, state).data, rtol=1e-14)
