"""Functions whose rules choose by numbers how to compute: a program has the general way."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tinygrad_rnn as tg
from tests.compiler.test_scan import compare, parameter

SPREAD = np.diag([1.0, 2.0, 4.0, 8.0])
KNOTS = np.array([-1.0, 0.25, 1.0])
W, v = parameter(4, 4, seed=1), parameter(4, seed=2)

FUNCTIONS: dict[str, Callable[[Any, Any], Any]] = {
    "sort": lambda x, h: np.sort(h @ W, axis=-1) + x,
    "sort of all": lambda x, h: np.sort(h @ W, axis=None).reshape(3, 4) + x,
    "partition": lambda x, h: np.partition(h @ W, 2) + x,
    "prod": lambda x, h: np.prod(h @ W, axis=-1, keepdims=True) + x,
    "prod with a zero": lambda x, h: np.prod(np.where(x > 0, 0, h @ W), axis=1, keepdims=True) + x,
    "cumprod": lambda x, h: np.cumprod(h @ W, axis=-1) + x,
    "logaddexp.reduce": lambda x, h: np.logaddexp.reduce(h @ W, axis=-1, keepdims=True) + x,
    "multiply.reduce": lambda x, h: np.multiply.reduce(h @ W, axis=1, keepdims=True) * h + x,
    "take along": lambda x, h: np.take_along_axis(h @ W, np.argsort(x, axis=-1), -1) + x,
    "one_hot": lambda x, h: tg.one_hot(np.argmax(h @ W, axis=-1), 4) * h + x,
    "rows of a table": lambda x, h: np.eye(4)[np.argmax(h @ W, axis=-1)] * h + x,
    "det": lambda x, h: h * np.linalg.det(W) + x,
    "weighted average": lambda x, h: np.average(h @ W, axis=1, weights=np.exp(v))[:, None] + x,
    "linspace": lambda x, h: h * np.linspace(v[0], v[1], 4) + x,
    "median": lambda x, h: np.median(h @ W, axis=1, keepdims=True) * h + x,
    "median of all": lambda x, h: h * np.median(x) + np.median(h),
    "quantile": lambda x, h: np.quantile(h @ W, [0.2, 0.7], axis=1)[1][:, None] * h + x,
    "quantile by a value": lambda x, h: (
        np.quantile(h @ W, tg.sigmoid(v[:2]), axis=1)[0, :, None] + x
    ),
    "percentile": lambda x, h: np.percentile(h, 30, axis=0, method="midpoint") * h + x,
    "nanmedian": lambda x, h: np.nanmedian(np.where(x > 1, np.nan, h @ W), axis=0) * h + x,
    "interp": lambda x, h: np.interp(h @ W, np.array([-1.0, 0, 1]), v[:3]) + x,
    "interp of inputs": lambda x, h: np.interp(x, KNOTS, np.array([1.0, 2, 0.5])) * h,
    "interp between weights": lambda x, h: np.interp(x, np.sort(W[0]), v) * h,
    "interp in periods": lambda x, h: np.interp(h, np.sort(x[0]), v, period=2.0) + x,
    "choose": lambda x, h: np.choose(np.argsort(x, axis=-1) % 2, [h @ W, v * h]) + x,
    "choose and clip": lambda x, h: np.choose(np.argmax(x, axis=0), [h, v * h], mode="clip") + x,
    "i0": lambda x, h: np.i0(h @ W) * 0.2 + x,
    "eigenvalues": lambda x, h: np.linalg.eigvalsh((h @ W).T @ (h @ W) + SPREAD) * h + x,
    "singular values": lambda x, h: np.linalg.svd(h @ W, compute_uv=False)[:, None] * h + x,
    "2-norm": lambda x, h: h / np.linalg.norm(W, 2) + x,
    "nuclear norm": lambda x, h: h / np.linalg.norm(h @ W, "nuc") + x,
    "condition": lambda x, h: h / np.linalg.cond(W) + x,
    "log of a determinant": lambda x, h: h * np.linalg.slogdet(SPREAD + h.T @ h)[1] + x,
    "parts of a number": lambda x, h: h * np.modf(np.sum(h) * 3)[0] + np.divmod(v[0], 0.3)[1] * x,
    "a list of one": lambda x, h: h * np.sum(np.sin(np.meshgrid(v * x[0])[0])) + x,
    "places of a number": lambda x, h: h + x * np.unravel_index(np.argmax(x), (3, 4))[1],
    "dot of a number": lambda x, h: np.dot(x[0, 0], h) + np.dot(x, 0.5),
    "moveaxis": lambda x, h: np.moveaxis((h @ W)[None], 0, 1)[:, 0] + x,
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_function(name: str) -> None:
    function = FUNCTIONS[name]
    xs = parameter(4, 3, 4, seed=5)
    compare(lambda x, h: np.tanh(function(x, h)), parameter(3, 4, seed=6), [W, v], xs)


def test_constants_without_entries() -> None:
    states, last = tg.scan(lambda x, h: np.sort(h @ W) + x, np.ones((2, 0, 4)), np.ones((0, 4)))
    (gradient,) = tg.gradients(np.sum(states) + np.sum(last), [W])
    assert states.shape == (2, 0, 4) and gradient.shape == W.shape and not gradient.any()


@pytest.mark.parametrize("reduction", ["sum", "none", "mean"])
def test_the_loss_of_no_sequence(reduction: str) -> None:
    loss = lambda h, y: np.sum(tg.cross_entropy(h @ W, y, reduction=reduction))  # noqa: E731
    bptt = tg.BPTT(lambda x, h: np.tanh(x + h), loss)
    given = np.ones((2, 0, 4)), np.zeros((2, 0), int), np.ones((0, 4))
    W.grad = None
    if reduction == "mean":
        for run in (bptt, bptt.record):
            with pytest.raises(ValueError, match=r'no labels .* \(0, 4\): reduction="sum" gives 0'):
                run(*given)
        return
    total, _ = bptt(*given)
    assert total == 0 and W.grad.shape == W.shape and not W.grad.any()  # type: ignore[attr-defined]
    bptt.record(*given).backward()
    assert not W.grad.any()  # type: ignore[attr-defined]
    W.grad = None


def test_what_no_program_may_let_pass() -> None:
    """Where `unroll` refuses by the numbers, a program refuses, too, or shows it by NaN."""
    place = {"y": np.array([[0], [2]]), "x": np.ones((2, 1))}
    state = tg.Tensor(np.ones(1), requires_grad=True)
    for run in (tg.unroll, tg.scan):
        with pytest.raises((ValueError, IndexError)):
            run(lambda d, h: np.choose(d["y"], [h, d["x"]]), place, state)  # type: ignore[operator]
        with pytest.raises((ValueError, IndexError)):
            run(lambda d, h: np.choose(d["y"] - 1, [h, d["x"]]), place, state)  # type: ignore[operator]
    xs = np.array([[1.0, 2.0], [np.nan, 1.0]])
    cell = lambda x, h: np.tanh(h * np.median(x * h))  # noqa: E731
    with pytest.raises(ValueError, match="a value is NaN"):
        tg.unroll(cell, xs, np.ones(2) + state)
    states, _ = tg.scan(cell, xs, np.ones(2) + state)
    assert np.isnan(states.data).tolist() == [[False] * 2, [True] * 2]


@pytest.mark.parametrize(
    ("name", "cell"),
    [
        ("np.geomspace", lambda x, h: h * np.geomspace(v[0] ** 2 + 1, 9.0, 4) + x),
        ("np.piecewise", lambda x, h: h + np.piecewise(x, [x > 0], [np.sin, np.cos])),
        ("np.full_like", lambda x, h: h * np.full_like(x, np.sum(x))),
        ("np.array2string", lambda x, h: h + len(np.array2string(x.data))),
        (".view", lambda x, h: h + x.data.view(np.int64) % 3),
        ("np.bincount", lambda x, h: h + np.bincount(np.argmax(x, axis=0), v, 4)),
        ("np.piecewise", lambda x, h: np.piecewise(h, [x > 0], [np.sin, np.cos])),
        ("np.trim_zeros", lambda x, h: h * np.sum(np.trim_zeros(v * x[0]))),
    ],
)
def test_a_refusal_names_the_function(name: str, cell: Any) -> None:
    with pytest.raises(tg.TraceError, match=rf"{name}.*test_table_functions.py, line") as refused:
        tg.scan(cell, np.ones((2, 3, 4)), np.ones((3, 4)) + v)
    assert "tg.unroll" in str(refused.value) and "`if`" not in str(refused.value)


def test_a_refusal_names_the_function_whose_derivative_it_is() -> None:
    for name, cell in {
        "svd": lambda x, h: np.linalg.svd(h @ W)[0][:, :1] * h + x,
        "qr": lambda x, h: np.linalg.qr((h @ W).T)[0].T[:, :4] * h + x,
    }.items():
        with pytest.raises(tg.TraceError, match=f"{name}, or its derivative, needs the numbers"):
            tg.scan(cell, np.ones((2, 3, 4)), np.ones((3, 4)) + v)
