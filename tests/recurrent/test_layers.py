"""Embedding, layer normalization and dropout within a cell: compiled, and as PyTorch has them; and
layers of two directions."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tinygrad_rnn as tg
from tests.compiler.test_scan import compare, parameter
from tests.recurrent.test_order import LENGTHS, VALID

T, B, D, H = 6, 3, 3, 4


@pytest.mark.parametrize("truncation", [None, tg.Subsequence(2), tg.Window(1)], ids=repr)
def test_all_of_them_in_one_compiled_cell(truncation: Any) -> None:
    table, W, U = parameter(5, D), parameter(D, H, seed=1), parameter(H, H, seed=2)
    gain, bias = parameter(H, seed=3), parameter(H, seed=4)

    def cell(given: Any, h: Any) -> Any:
        x = tg.embedding(table, given["letter"])
        return np.tanh(tg.layer_norm(x @ W + (given["mask"] * h) @ U, gain, bias))

    letters = np.random.default_rng(0).integers(0, 5, (T, B))
    mask = tg.dropout_mask((B, H), 0.5, rng=0, steps=T)
    xs = {"letter": letters, "mask": mask}
    state = parameter(B, H, seed=5)
    compare(cell, state, [table, W, U, gain, bias], xs, truncation=truncation)
    if truncation is None:
        source = tg.scan_source(cell, xs, state)
        before = source.split("def forward")[1].split("# The loop")[0]
        assert "letter" in before  # one look-up for all steps


def test_embedding() -> None:
    table = parameter(5, D)
    letters = np.array([[0, 4], [4, 4]])
    tg.check_gradients(lambda W: np.sum(np.sin(tg.embedding(W, letters))), table.data, order=2)
    np.testing.assert_array_equal(tg.embedding(table, letters).data, table.data[letters])
    np.testing.assert_array_equal(
        tg.embedding(table, letters).data, (tg.one_hot(letters, 5) @ table.data)
    )
    assert tg.embedding(table.data, 3).shape == (D,)
    for wrong in (np.ones(2), [0.5], True):
        with pytest.raises(TypeError, match="must be integers"):
            tg.embedding(table, wrong)


def test_layer_norm() -> None:
    x, gain, bias = (np.random.default_rng(n).normal(size=4) for n in range(3))
    normal = (x - x.mean()) / np.sqrt(x.var() + 1e-5)
    for found, expected in (
        (tg.layer_norm(x), normal),
        (tg.layer_norm(x, gain), normal * gain),
        (tg.layer_norm(x, bias=bias), normal + bias),
        (tg.layer_norm(x, gain, bias), normal * gain + bias),
        (tg.layer_norm(x, epsilon=1.0), (x - x.mean()) / np.sqrt(x.var() + 1.0)),
    ):
        np.testing.assert_allclose(found, expected, rtol=1e-13)


def test_layer_norm_as_in_pytorch() -> None:
    torch = pytest.importorskip("torch")
    x, gain, bias = parameter(B, H), parameter(H, seed=1), parameter(H, seed=2)
    theirs = [torch.tensor(t.data, requires_grad=True) for t in (x, gain, bias)]
    out = torch.nn.functional.layer_norm(theirs[0], (H,), *theirs[1:])
    out.sin().sum().backward()
    mine = tg.layer_norm(x, gain, bias)
    np.testing.assert_allclose(mine.data, out.detach().numpy(), rtol=0, atol=1e-13)
    found = tg.gradients(np.sum(np.sin(mine)), [x, gain, bias])
    for gradient, other in zip(found, theirs, strict=True):
        np.testing.assert_allclose(gradient, other.grad.numpy(), rtol=0, atol=1e-13)
    assert tg.layer_norm(np.ones((2, 3), np.float32)).dtype == np.float32


def test_dropout_masks() -> None:
    mask = tg.dropout_mask((1000, 100), 0.2, rng=0, dtype=np.float32)
    assert mask.dtype == np.float32 and set(np.unique(mask)) == {np.float32(0), np.float32(1.25)}
    assert abs(np.mean(mask) - 1) < 0.01  # 5 standard deviations are 0.008
    of_steps = tg.dropout_mask((2, 3), 0.5, rng=0, steps=4)
    np.testing.assert_array_equal(of_steps, np.stack([tg.dropout_mask((2, 3), 0.5, rng=0)] * 4))
    assert of_steps.strides[0] == 0  # the memory of one
    assert np.all(tg.dropout_mask((2, 3), 0.0) == 1)
    for p in (-0.1, 1.0):
        with pytest.raises(ValueError, match="at least 0 and below 1"):
            tg.dropout_mask((2, 3), p)
    with pytest.raises(ValueError, match=r"not \(2, 3\); the order .* \(shape, p\)$"):
        tg.dropout_mask(0.5, (2, 3))  # type: ignore[arg-type]


@pytest.mark.parametrize("run", [tg.scan, tg.unroll])
def test_two_layers_of_two_directions_as_in_pytorch(run: Any) -> None:
    torch = pytest.importorskip("torch")
    theirs = torch.nn.GRU(D, H, num_layers=2, bidirectional=True).double()
    weights = theirs.state_dict()

    def direction(layer: int, suffix: str) -> Any:
        names = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
        return tg.from_torch({f"{n}_l0": weights[f"{n}_l{layer}{suffix}"] for n in names})

    layers = [
        tg.Bidirectional(direction(n, ""), direction(n, "_reverse"), run=run) for n in range(2)
    ]
    xs = parameter(T, B, D, seed=9)
    given = torch.tensor(xs.data, requires_grad=True)
    packed = torch.nn.utils.rnn.pack_padded_sequence(
        given, torch.tensor(LENGTHS), enforce_sorted=False
    )
    outputs, final = theirs(packed)
    outputs, _ = torch.nn.utils.rnn.pad_packed_sequence(outputs)
    (outputs.sin().sum() + final.sum()).backward()
    h: Any = xs
    ends: list[Any] = []
    for layer in layers:
        h, last = layer(h, lengths=LENGTHS)
        ends += last
    for mine, other in zip(ends, final, strict=True):
        np.testing.assert_allclose(mine.data, other.detach().numpy(), rtol=0, atol=1e-12)
    loss = np.sum(np.sin(h) * VALID[..., None]) + np.sum(np.stack(ends))
    loss.backward()
    np.testing.assert_allclose(xs.grad, given.grad.numpy(), rtol=0, atol=1e-12)
    cell = layers[0].backward
    expected = theirs.weight_hh_l0_reverse.grad.numpy().T
    np.testing.assert_allclose(cell.W_hh.grad, expected, rtol=0, atol=1e-12)
    assert list(layers[0].parameters())[:2] == ["forward.W_xh", "forward.W_hh"]


@pytest.mark.parametrize("run", [tg.scan, tg.unroll])
def test_the_state_that_each_direction_begins_with(run: Any) -> None:
    layer = tg.Bidirectional(tg.LSTMCell(D, H, rng=0), tg.RNNCell(D, 2, rng=1), run=run)
    xs, state = parameter(T, B, D, seed=9).data, (tuple(np.ones((2, B, H))), np.ones((B, 2)))
    outputs, last = layer(xs, state, truncation=tg.Subsequence(2))
    (h, _), end = tg.scan(layer.forward, xs, state[0])
    g, first = tg.scan(layer.backward, xs, state[1], reverse=True)
    np.testing.assert_array_equal(outputs.data, np.concatenate([h, g], axis=-1).data)
    np.testing.assert_array_equal(last[0][1].data, end[1].data)
    np.testing.assert_array_equal(last[1].data, first.data)
    assert "Bidirectional(LSTMCell(3, 4)" in repr(layer)
