"""Systems that take no input: None at every step, alone or beside other inputs."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tinygrad_rnn as tg
from tests.compiler.test_scan import compare, parameter

T, B, H = 3, 2, 4
W, H_0, YS = parameter(H, H), parameter(B, H, seed=1), parameter(T, B, H, seed=2).data


def cell(x: Any, h: Any) -> Any:
    given = x["b"] if isinstance(x, dict) and "b" in x else 0.5
    return np.tanh(h @ W + given)


INPUTS: dict[str, Any] = {
    "none": [None] * T,
    "none in a dict": {"a": [None] * T},
    "none before others": {"a": [None] * T, "b": YS},
}


@pytest.mark.parametrize("truncation", [None, tg.Subsequence(2), tg.Window(1)], ids=repr)
@pytest.mark.parametrize("inputs", INPUTS)
def test_scan(inputs: str, truncation: Any) -> None:
    compare(cell, H_0, [W], INPUTS[inputs], truncation=truncation)


def test_few_steps() -> None:
    compare(cell, H_0, [W], [None])
    states, last = tg.scan(cell, [None] * 0, H_0)
    assert states.shape == (0, B, H) and last is H_0


@pytest.mark.parametrize("inputs", INPUTS)
@pytest.mark.parametrize("options", [{}, {"lengths": [2, 3]}, {"mask": np.eye(T, B) == 0}])
def test_loss_included(inputs: str, options: Any) -> None:
    bptt = tg.BPTT(cell, lambda h, y: np.mean(np.square(h - y), axis=-1))
    W.grad = None
    loss, _ = bptt(INPUTS[inputs], YS, H_0.data, **options)
    found, W.grad = W.grad, None
    recorded = bptt.record(INPUTS[inputs], YS, H_0.data, **options)
    recorded.backward()
    np.testing.assert_allclose(loss, recorded.data, rtol=1e-13)
    np.testing.assert_allclose(found, W.grad, rtol=1e-12)


@pytest.mark.parametrize("options", [{}, {"reverse": True}])
def test_lengths(options: Any) -> None:
    for xs in INPUTS.values():
        compare(cell, H_0, [W], xs, lengths=[2, 3], **options)
    by_count, _ = tg.scan(cell, None, H_0, lengths=[2, 3], steps=T, **options)
    lists = {"a": [None] * T, "b": list(YS)}
    compare(cell, H_0, [W], lists, lengths=[2, 3], **options)
    one_by_one, _ = tg.scan(cell, [None] * T, H_0, lengths=[2, 3], **options)
    np.testing.assert_array_equal(by_count.data, one_by_one.data)
    for run in (tg.unroll, tg.scan):
        with pytest.raises(ValueError, match="for each of 3 sequences, but the state has"):
            run(cell, [None] * T, H_0, lengths=[1, 2, 3])  # type: ignore[operator]


def test_second_derivatives() -> None:
    found = []
    for run in (tg.unroll, tg.scan):
        for xs in INPUTS.values():
            _, last = run(cell, xs, H_0)  # type: ignore[operator]
            (first,) = tg.gradients(np.sum(last * last), [W], create_graph=True)
            found.append(tg.gradients(np.sum(first * first), [W])[0])
    for mine, theirs in zip(found[: len(INPUTS)], found[len(INPUTS) :], strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=1e-12)


def test_some_steps_without() -> None:
    for xs in ([None, YS[0]], {"a": [None, YS[0]]}):
        with pytest.raises(ValueError, match=r"xs\[0\] is None, but xs\[1\] is not"):
            tg.scan(cell, xs, H_0)


class Own:
    """A cell with a list of parameters, and an initial state that nobody may ask for."""

    def __init__(self) -> None:
        self.W, self.V = parameter(H, H, name="W"), parameter(H, name="V")

    def parameters(self) -> list[tg.Tensor]:
        return [self.W, self.V, self.W]

    def initial_state(self, batch_size: int) -> Any:
        raise AssertionError("a state was given")

    def __call__(self, x: Any, h: Any) -> Any:
        return np.tanh(h @ self.W) * self.V


def test_a_given_state_is_the_only_one() -> None:
    own, xs = Own(), [None] * T
    for options in ({}, {"lengths": [2, 3]}, {"reverse": True}):
        compare(own, H_0, own.parameters()[:2], xs, **options)
    for states in (tg.stream(own, xs, H_0), tg.unroll(own, xs, H_0)[0]):
        assert len(list(states)) == T
    bptt = tg.BPTT(own, lambda h, y: tg.mse(h, y))
    loss, _ = bptt(xs, YS, H_0.data)
    np.testing.assert_allclose(loss, bptt.record(xs, YS, H_0.data).data)
    assert "h = " in bptt.source(xs, YS, H_0.data)


def test_parameters_in_a_list(tmp_path: Any) -> None:
    own, other = Own(), Own()
    before = own.W.data
    np.sum(tg.scan(own, [None] * T, H_0)[1]).backward()
    gradient = own.W.grad
    assert gradient is not None
    tg.SGD(own, 0.5).step()
    np.testing.assert_allclose(own.W.data, before - 0.5 * gradient)  # one step, though twice there
    tg.clip_grad_norm(own, 1.0)
    tg.save(tmp_path / "own.npz", own)
    tg.load(tmp_path / "own.npz", other)
    np.testing.assert_array_equal(other.W.data, own.W.data)
    tg.save_run(tmp_path / "run.npz", model=own, optimizer=tg.Adam(own))
    tg.restore_run(tmp_path / "run.npz", model=other, optimizer=tg.Adam(other))
    loss = lambda states: sum(np.sum(h * h) for h in states)  # noqa: E731
    tg.check_truncated_gradients(loss, own, [None] * T, H_0, tg.Window(1))
