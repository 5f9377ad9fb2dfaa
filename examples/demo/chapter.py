"""The chapter's linear network: recorded for the figure, and its gradients in closed form."""

from __future__ import annotations

from typing import Any

import numpy as np

import tinygrad_rnn as tg


def linear_network(steps: int, rng: np.random.Generator) -> tuple[Any, dict[str, Any], Any, Any]:
    """h_t = x_t W_xh + h_{t−1} W_hh, o_t = h_t W_hq, L = 1/T Σ l(o_t, y_t), recorded.

    Returns L, the parameters by name, the inputs (T, batch, input) and the labels (T, batch).
    """
    cell = tg.RNNCell(4, 5, nonlinearity="identity", bias=False, rng=rng)
    W_hq = tg.Tensor(rng.normal(size=(5, 3)), requires_grad=True, name="W_hq")
    xs, labels = rng.normal(size=(steps, 2, 4)), rng.integers(0, 3, (steps, 2))
    states, _ = tg.unroll(cell, xs)
    losses = []
    for t, h in enumerate(states, 1):
        o = (h @ W_hq).named(f"o_{t}")
        losses.append(tg.cross_entropy(o, tg.Tensor(labels[t - 1], name=f"y_{t}")))
    L = (sum(losses[1:], losses[0]) / steps).named("L")
    return L, {**cell.parameters(), "W_hq": W_hq}, xs, labels


def closed_form(parameters: dict[str, Any], xs: Any, labels: Any) -> dict[str, Any]:
    """The chapter's sums, with powers of W_hh and nothing else: no recurrence, no engine.

    ∂L/∂h_t = Σ_{s≥t} ∂L/∂o_s W_hqᵀ (W_hhᵀ)^{s−t},   ∂L/∂W_hq = Σ_t h_tᵀ ∂L/∂o_t,
    ∂L/∂W_xh = Σ_t x_tᵀ ∂L/∂h_t,   ∂L/∂W_hh = Σ_t h_{t−1}ᵀ ∂L/∂h_t.
    """
    W_xh, W_hh, W_hq = (parameters[name].data for name in ("W_xh", "W_hh", "W_hq"))
    T, batch, _ = xs.shape
    power = [np.linalg.matrix_power(W_hh, n) for n in range(T)]
    h = [sum((xs[s] @ W_xh @ power[t - s] for s in range(t + 1)), start=0.0) for t in range(T)]
    before = [np.zeros_like(h[0]), *h[:-1]]
    e = [np.exp(h[t] @ W_hq) for t in range(T)]
    dL_do = [
        (e[t] / e[t].sum(axis=1, keepdims=True) - np.eye(3)[labels[t]]) / (T * batch)
        for t in range(T)
    ]
    dL_dh = [
        sum((dL_do[s] @ W_hq.T @ power[s - t].T for s in range(t, T)), start=0.0) for t in range(T)
    ]
    return {
        "W_xh": sum(xs[t].T @ dL_dh[t] for t in range(T)),
        "W_hh": sum(before[t].T @ dL_dh[t] for t in range(T)),
        "W_hq": sum(h[t].T @ dL_do[t] for t in range(T)),
    }


def largest_difference(L: Any, parameters: dict[str, Any], xs: Any, labels: Any) -> float:
    """How far the engine's gradients are from the closed form, over all entries."""
    engine = dict(zip(parameters, tg.gradients(L, list(parameters.values())), strict=True))
    exact = closed_form(parameters, xs, labels)
    return max(float(np.abs(engine[name] - exact[name]).max()) for name in exact)
