"""Lesson 7: powers of a matrix, and the one direction in which all gradients end.

The chapter's exercise. Let M be symmetric with eigenvalues |λ_1| > |λ_2| ≥ ... and eigenvectors
v_1, v_2, ...; M^k has the eigenvalues λ_i^k. A random vector x = Σ c_i v_i has some of each, so in
M^k x = Σ c_i λ_i^k v_i the first term wins: the angle to v_1 shrinks by |λ_2/λ_1| a step, whatever
x was.

For a linear RNN with W_hh = M, ∂L/∂h_{t−k} = M^k ∂L/∂h_t. So what arrives at early steps is, up to
its length |λ_1|^k, always the same direction v_1, and no longer depends on the loss: that the
gradient vanishes or explodes is half of the story, that it loses its content the other half.

Expected: the angle between the gradient and v_1 falls by 0.8 a step = |λ_2/λ_1|, for three losses
that have nothing in common.

    python -m examples.lesson_7_powers_of_a_matrix
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

import tinygrad_rnn as tg
from examples.lesson import run, save


def main(out: Path = Path("out"), small: bool = False) -> list[float]:
    rng = np.random.default_rng(0)
    n, T = 8, 40
    eigenvalues = np.array([1.0, 0.8, -0.7, 0.6, 0.5, -0.4, 0.3, 0.2])
    vectors = np.linalg.qr(rng.normal(size=(n, n)))[0]
    M = vectors @ np.diag(eigenvalues) @ vectors.T

    cell = tg.RNNCell(1, n, nonlinearity="identity", bias=False, rng=0)
    cell.W_hh.data = M
    states, last = tg.unroll(cell, rng.normal(size=(T, 1, 1)))
    losses = {
        "one unit": last[0, 0],
        "sum of squares": np.sum(last**2),
        "cross-entropy": tg.cross_entropy(last, np.array([3])),
    }
    angles, rates = {}, []
    for name, loss in losses.items():
        gradients = np.array(tg.gradients(loss, states))[::-1, 0]  # lag 0 first
        along = gradients @ vectors[:, 0]
        across = np.linalg.norm(gradients - along[:, None] * vectors[:, 0], axis=1)
        angles[name] = np.degrees(np.arctan2(across, np.abs(along)))
        rates.append(float((angles[name][-1] / angles[name][-11]) ** 0.1))
        print(
            f"{name:16}angle to v_1: {angles[name][0]:5.1f}° at lag 0, "
            f"{angles[name][-1]:.4f}° at lag {T - 1}; a factor {rates[-1]:.4f} a step"
        )
    print(f"{'':16}|λ_2/λ_1| = {abs(eigenvalues[1] / eigenvalues[0])}")
    angles["0.8ᵏ"] = angles["one unit"][0] * 0.8 ** np.arange(T)
    figure = tg.analysis.plot_lags(
        angles, title="Every gradient turns into the leading eigenvector", ylabel="angle to v₁ (°)"
    )
    save(figure, out, "lesson-7-directions.png")
    return rates


if __name__ == "__main__":
    run(main, __doc__)
