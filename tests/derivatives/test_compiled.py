"""Rows of the table whose way depends on values, in compiled cells, where no values are known."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tinygrad_rnn as tg

KNOTS, VALUES = np.array([-1.0, 0.0, 0.7, 2.0]), np.array([0.5, -0.5, 1.0, 0.25])
AFTER = np.array([False, True, True])

CALLS: dict[str, Callable[[Any], Any]] = {
    "interp": lambda x: np.interp(x, KNOTS, VALUES),
    "interp of values": lambda x: np.interp([-2.0, 0.1, 3.0], KNOTS[1:], x, left=0.5),
    "interp of knots": lambda x: np.interp(x, np.cumsum(np.exp(x)), x),
    "interp between fixed knots": lambda x: np.interp(x, [-1.0, 0.0, 2.0], [0.5, -0.5, 1.0]),
    "i0": np.i0,
    "median": np.median,
    "percentile": lambda x: np.percentile(x, [30, 60]),
    "nanmedian": np.nanmedian,
    "nanquantile": lambda x: np.nanquantile(x, 0.3),
    "nanmax": np.nanmax,
    "nanvar": lambda x: np.nanvar(x, ddof=1),
    "cov": lambda x: np.cov(x, x * x),
    "linspace": lambda x: np.linspace(x[0], x[1], 2),
    "linspace without an end": lambda x: np.linspace(x[0], x[1], 1, endpoint=False),
    "piecewise": lambda x: np.piecewise(x, AFTER, [np.exp]),
    "concatenate": lambda x: np.concatenate([x, x * 2], dtype=np.float32),
    "stack": lambda x: np.stack([x, x * 2], dtype=np.float64),
    "ediff1d": lambda x: np.ediff1d(x, to_begin=[0.5, 1.0]),
    "eigh": lambda x: np.linalg.eigh(x[:, None] * x + np.diag([1.0, 2.0, 4.0]))[0],
}


def run(scan: Any, call: Callable[[Any], Any], xs: Any) -> list[Any]:
    """The states, and the gradients of the inputs and of what the cell begins with."""

    def cell(x: Any, state: Any) -> Any:
        h, total = state
        h = np.tanh(0.5 * h + np.sum(np.sin(call(x))))
        return h, total + h

    inputs, start = tg.Tensor(xs, requires_grad=True), tg.Tensor(0.25, requires_grad=True)
    (hs, totals), _ = scan(cell, inputs, (start, np.float64(0.0)))
    hs, totals = (np.stack(part) if isinstance(part, list) else part for part in (hs, totals))
    loss = np.sum(hs * hs) + np.sum(totals)
    return [hs.data, totals.data, *tg.gradients(loss, [inputs, start])]


def unrolled(cell: Any, xs: Any, state: Any) -> Any:
    states, final = tg.unroll(cell, xs, state)
    return tuple(map(list, zip(*states, strict=True))), final


@pytest.mark.parametrize("name", CALLS)
def test_a_call_in_a_compiled_cell(name: str) -> None:
    xs = np.array([[-1.5, 0.3, 0.9], [2.5, -0.2, 0.1], [0.4, 1.4, -0.7]])
    for found, expected in zip(
        *(run(s, CALLS[name], xs) for s in (tg.scan, unrolled)), strict=True
    ):
        np.testing.assert_allclose(found, expected, rtol=1e-11, atol=1e-13)


@pytest.mark.parametrize(
    ("f", "is_number"),
    [
        (np.median, False),
        (lambda x: np.quantile(x, [0.2, 0.9]), False),
        (np.nanmedian, True),
        (lambda x: np.nanquantile(x, [0.2, 0.9]), True),
    ],
)
def test_a_nan_that_a_compiled_cell_meets(f: Any, is_number: bool) -> None:
    xs = np.array([[0.5, 1.0, 2.0], [np.nan, 1.0, 2.0]])
    inputs = tg.Tensor(xs, requires_grad=True)
    states, _ = tg.scan(lambda x, h: 0 * h + np.sum(f(x)), inputs, np.float64(0.0))
    assert np.isfinite(states.data).tolist() == [True, is_number]
    np.testing.assert_allclose(states.data[0], np.sum(f(xs[0])))
