"""Lesson 2: vanishing and exploding gradients.

∂h_t/∂h_{t−k} is a product of k Jacobians. How its norm goes with the lag k, for

- a number W: 0.9^k and 1.1^k;
- a matrix W: the spectral radius decides in the long run;
- a Jordan block with spectral radius 0.9: it vanishes in the end, and yet it grows first,
  which no eigenvalue tells;
- tanh: where units saturate, the gradient is smaller than W alone would have it;
- an LSTM: as the frameworks initialise it, it forgets by a third at every step, hardly better
  than an RNN. A forget gate that begins open is what carries the gradient.

Expected, at lag 100 relative to lag 0: 2.7e-5 and 13800 for the numbers; the Jordan block grows
4-fold until lag 9 and is down at 0.003; RNN, LSTM and GRU as initialised lose 17 orders of
magnitude or more, the LSTM whose forget gate has the bias 2 less than one.

    python -m examples.lesson_2_vanishing_and_exploding
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

import tinygrad_rnn as tg
from examples.lesson import run, save


def linear(W: Any) -> Any:
    """A linear network with the given W_hh, as in h_t = W h_{t−1}."""
    cell = tg.RNNCell(1, len(W), nonlinearity="identity", bias=False, rng=0)
    cell.W_hh.data = np.transpose(np.asarray(W, float)).copy()
    return cell


def with_radius(radius: float, n: int = 32) -> Any:
    W = np.random.default_rng(1).normal(size=(n, n))
    return W * (radius / np.max(np.abs(np.linalg.eigvals(W))))


def main(out: Path = Path("out"), small: bool = False) -> dict[str, tg.analysis.Report]:
    lags, n = 100, 32  # quick enough as it is: `small` changes nothing
    xs = np.random.default_rng(0).normal(size=(lags, 4, 1))
    jordan = 0.9 * np.eye(2) + np.eye(2, k=1)

    tanh = tg.RNNCell(1, n, rng=0)
    tanh.W_hh.data = with_radius(1.1, n).T.copy()
    open_gate = tg.LSTMCell(1, n, rng=0)
    b_h = open_gate.b_h.data.copy()
    b_h[n : 2 * n] = 2  # the second block is the forget gate's
    open_gate.b_h.data = b_h
    cells = {
        "number, 0.9": linear([[0.9]]),
        "number, 1.1": linear([[1.1]]),
        "matrix, ρ = 0.9": linear(with_radius(0.9, n)),
        "matrix, ρ = 1.1": linear(with_radius(1.1, n)),
        "Jordan block, ρ = 0.9": linear(jordan),
        "tanh, ρ = 1.1": tanh,
        "RNN": tg.RNNCell(1, n, rng=0),
        "LSTM": tg.LSTMCell(1, n, rng=0),
        "LSTM, forget bias 2": open_gate,
        "GRU": tg.GRUCell(1, n, rng=0),
    }
    curves = {name: tg.analysis.jacobian_norms(cell, xs) for name, cell in cells.items()}
    reports = {name: tg.analysis.report(norms) for name, norms in curves.items()}
    for name, report in reports.items():
        print(f"{name:24}{report}")
    print(f"{'the Jordan block':24}{tg.analysis.spectrum(jordan)}")

    powers = list(cells)[:5]
    gated = ["RNN", "LSTM", "GRU", "LSTM, forget bias 2"]
    save(
        tg.analysis.plot_lags(
            {name: curves[name][:, 0] for name in powers},
            tg.analysis.spectrum(jordan),
            "Powers of W go as ρᵏ in the end; a Jordan block grows first",
        ),
        out,
        "lesson-2-powers.png",
    )
    save(
        tg.analysis.plot_lags(
            {name: curves[name] for name in gated},
            title="As initialised, all vanish; an open forget gate does not",
        ),
        out,
        "lesson-2-cells.png",
    )
    return reports


if __name__ == "__main__":
    run(main, __doc__)
