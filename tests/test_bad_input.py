"""Mistakes of somebody new: each is one sentence that says what came and what is expected."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tinygrad_rnn as tg

XS, H_0 = np.ones((5, 2, 3)), np.zeros((2, 4))
LSTM, RNN = tg.LSTMCell(3, 4, rng=0), tg.RNNCell(3, 4, rng=0)
RUNS = (tg.unroll, tg.scan, lambda *a: list(tg.stream(*a)))


@pytest.mark.parametrize("run", RUNS)
def test_a_state_of_other_parts(run: Any) -> None:
    with pytest.raises(TypeError, match=r"LSTMCell has 2 parts .* one array of shape \(2, 4\) was"):
        run(LSTM, XS, H_0)
    with pytest.raises(
        TypeError, match=r"RNNCell has 1 part \(h_\{t\}\).* but 2 arrays were given"
    ):
        run(RNN, XS, (H_0, H_0))
    with pytest.raises(ValueError, match=r"a state of shape \(batch, 4\), but .* state \(2, 5\)"):
        run(RNN, XS, np.zeros((2, 5)))


def test_a_pair_that_is_an_array_of_two_rows() -> None:
    """A batch of two was once taken for the pair (h, c)."""
    with pytest.raises(
        TypeError, match=r"a pair \(h, c\).* one ndarray of shape \(2, 4\) was given"
    ):
        LSTM(XS[0], H_0)
    with pytest.raises(TypeError, match="LSTMCell has 2 parts"):
        tg.BPTT(LSTM, tg.mse)(XS, np.ones((5, 2, 4)), H_0)


@pytest.mark.parametrize("run", RUNS)
def test_a_batch_that_shrinks_or_grows(run: Any) -> None:
    for first, second in ((2, 1), (1, 2)):
        steps = [np.ones((first, 3)), np.ones((first, 3)), np.ones((second, 3))]
        with pytest.raises(ValueError, match=r"one batch.*step 2|one shape.*\(1, 3\)"):
            run(RNN, steps, np.zeros((first, 4)))
        with pytest.raises(ValueError, match=r"one batch.*step 2|one shape.*\(1, 3\)"):
            run(
                lambda x, h: np.tanh(x["a"] @ np.ones((3, 4)) + h),
                {"a": steps},
                np.zeros((first, 4)),
            )


def test_functions_that_want_a_plain_array(tmp_path: Any) -> None:
    w = tg.Tensor(np.ones((3, 4)), requires_grad=True, name="w")
    np.savez(tmp_path / "w.npz", w=w)
    np.savetxt(tmp_path / "w.txt", w)
    assert np.load(tmp_path / "w.npz")["w"].tolist() == np.loadtxt(tmp_path / "w.txt").tolist()
    plt = pytest.importorskip("matplotlib.pyplot")
    plt.switch_backend("Agg")
    for look in (plt.imshow, plt.contour, lambda t: np.testing.assert_allclose(t, 1)):
        with pytest.raises(TypeError, match=r"w of shape \(3, 4\) needs a gradient.*write \.data"):
            look(w)
    plt.close("all")
    with pytest.raises(TypeError, match=r"packbits has no rule.*pass \.data"):
        np.packbits(w)
    with pytest.raises(TypeError, match=r"histogram compares or counts values.*pass \.data"):
        np.histogram(w)


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("tensor", "there is Tensor"),
        ("LSTM", "LSTMCell"),
        ("tanh", r"NumPy's functions take Tensors: np\.tanh"),
        ("zeros", r"np\.zeros"),
    ],
)
def test_a_name_that_there_is_not(name: str, hint: str) -> None:
    with pytest.raises(AttributeError, match=f"no attribute '{name}'; .*{hint}"):
        getattr(tg, name)
    with pytest.raises(AttributeError, match=r"no attribute '_repr_html_'$"):
        getattr(tg, "_repr_" + "html_")


def test_unknown_keywords() -> None:
    for call in (
        lambda: tg.scan(RNN, XS, trunc=tg.Full()),  # type: ignore[call-overload]
        lambda: tg.RNNCell(3, 4, activation="relu"),  # type: ignore[call-arg]
        lambda: tg.BPTT(RNN, tg.mse, window=3),  # type: ignore[call-arg]
        lambda: tg.Tensor(1.0, grad=True),  # type: ignore[call-arg]
        lambda: np.sum(tg.Tensor(1.0, requires_grad=True), axes=0),  # type: ignore[call-overload]
    ):
        with pytest.raises(TypeError, match="unexpected keyword argument"):
            call()


@pytest.mark.parametrize("run", RUNS)
def test_a_run_inside_of_a_cell(run: Any) -> None:
    inner, xs = tg.RNNCell(4, 4, rng=0), np.random.default_rng(0).normal(size=(2, 3, 2, 4))

    def cell(x: Any, h: Any) -> Any:
        states = run(inner, x)
        return np.tanh((states[-1] if isinstance(states, list) else states[1]) + h)

    found = []
    for outer in (tg.unroll, tg.scan):
        _, last = outer(cell, xs, H_0)
        found.append((last.data, tg.gradients(np.sum(last * last), [inner.W_hh])[0]))
    for mine, theirs in zip(*found, strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=1e-12)
