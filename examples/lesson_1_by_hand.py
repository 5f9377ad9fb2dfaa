"""Lesson 1: backpropagation through time, by hand and by the engine.

The linear network of the chapter: h_t = W_hx x_t + W_hh h_{t−1}, o_t = W_qh h_t, and
L = 1/T Σ l(o_t, y_t). By hand, ∂L/∂h_t runs backwards from ∂L/∂h_T,

    ∂L/∂h_t = W_hhᵀ ∂L/∂h_{t+1} + W_qhᵀ ∂L/∂o_t,    ∂L/∂W_hh = Σ_t ∂L/∂h_t h_{t−1}ᵀ.

The engine knows none of this: it records what was computed and applies the chain rule. What it
recorded is the chapter's figure, out/lesson-1-graph.svg.

Expected: the two differ by less than 1e-15, which is rounding.

    python -m examples.lesson_1_by_hand
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

import tinygrad_rnn as tg
import viz
from examples.lesson import run, save


def main(out: Path = Path("out"), small: bool = False) -> float:
    rng = np.random.default_rng(0)
    T, d, n, q = 5, 3, 4, 2
    W_hx, W_hh, W_qh = (rng.normal(size=shape) * 0.5 for shape in [(n, d), (n, n), (q, n)])
    x, y, h_0 = rng.normal(size=(T, d)), rng.integers(q, size=T), np.zeros(n)

    # By hand: forward, then the recurrence backwards.
    h, o = [h_0], []
    for t in range(T):
        h.append(W_hx @ x[t] + W_hh @ h[-1])
        o.append(W_qh @ h[-1])
    dL_do = [
        (np.exp(o_t) / np.exp(o_t).sum() - np.eye(q)[y_t]) / T
        for o_t, y_t in zip(o, y, strict=True)
    ]
    dL_dh, by_hand, shares = np.zeros(n), np.zeros((n, n)), []
    for t in reversed(range(T)):
        dL_dh = W_hh.T @ dL_dh + W_qh.T @ dL_do[t]
        shares.insert(0, np.outer(dL_dh, h[t]))  # h[t] is h_{t−1} when steps count from 1
        by_hand += shares[0]

    # By the engine: say how to compute it, then ask.
    hx, hh, qh = (
        tg.Tensor(W, requires_grad=True, name=name)
        for W, name in [(W_hx, "W_hx"), (W_hh, "W_hh"), (W_qh, "W_qh")]
    )
    states, _ = tg.unroll(lambda x_t, h_t: hx @ x_t + hh @ h_t, x, h_0)
    outputs = [(qh @ h_t).named(f"o_{t}") for t, h_t in enumerate(states, 1)]
    loss = tg.cross_entropy(np.stack(outputs), y).named("L")
    loss.backward()

    print("  step   ‖what it adds to ∂L/∂W_hh‖, by hand and by the engine")
    for use, share in zip(tg.contributions(loss, hh), shares, strict=True):
        mine, its = np.linalg.norm(share), np.linalg.norm(use.gradient)
        print(f"  {use.step + 1:4}   {mine:.15f}   {its:.15f}")
    difference = float(np.max(np.abs(hh.grad - by_hand)))
    print(f"largest difference in ∂L/∂W_hh: {difference:.1e}")
    save(viz.draw(loss), out, "lesson-1-graph.svg")
    return difference


if __name__ == "__main__":
    run(main, __doc__)
