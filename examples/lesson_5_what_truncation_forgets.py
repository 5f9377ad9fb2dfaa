"""Lesson 5: what truncation forgets, and what it does not.

*A bit to keep.* At step 1 the input is +1 or −1, then come τ steps of noise, then the question:
which was it? The loss looks back k links. If k < τ the network never learns to write the bit
down, because no gradient gets to where it is read. RNN and LSTM, many seeds, success against k.

*Over a longer time* the full gradient is not enough either, for the RNN's has vanished.

*The adding problem* (Hochreiter & Schmidhuber 1997): 100 random numbers, two of them marked, one
in each half; the answer is their sum. Answering 1, the mean, has the error 1/6 = 0.167; ignoring
the first number 1/12 = 0.083.

Expected: for τ = 20, at most half of the seeds below k = 20, and all from there on. For τ = 60, the
RNN never, the LSTM with an open forget gate always. The LSTM adds with an error below 0.01;
and (this is what one would not expect) it does so with k = 10 as well, when no gradient
ever gets to the first number, and to the second only where it stands near the end. What it learns
to do with that one serves for all, since the weights are the same at every step: truncation limits
what is *taught*, and not always what is learnt.

    python -m examples.lesson_5_what_truncation_forgets
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import tinygrad_rnn as tg
from examples.lesson import progress, run, save

Task = Callable[[np.random.Generator], tuple[np.ndarray, np.ndarray]]


def keep_a_bit(tau: int, batch: int) -> Task:
    """The bit stands in the first channel of the first step, noise in the second of the others."""

    def draw(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        bit = rng.integers(2, size=batch)
        xs = np.zeros((tau + 1, batch, 2), np.float32)
        xs[0, :, 0] = 2 * bit - 1
        xs[1:, :, 1] = rng.choice([-1, 1], size=(tau, batch))
        return xs, bit

    return draw


def add_two(T: int, batch: int) -> Task:
    """Numbers in the first channel, marks in the second."""

    def draw(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        xs = np.zeros((T, batch, 2), np.float32)
        xs[..., 0] = rng.random((T, batch))
        rows = np.arange(batch)
        for half in (rng.integers(T // 2, size=batch), rng.integers(T // 2, T, size=batch)):
            xs[half, rows, 1] = 1
        return xs, np.sum(xs[..., 0] * xs[..., 1], axis=0)[:, None]

    return draw


def looking_back(k: int, T: int) -> Any:
    """For a single loss, at the last step, a window of k links is one cut link."""
    xi = np.ones(T - 1)
    if k < T - 1:
        xi[T - 2 - k] = 0
    return tg.Randomized.from_links(xi)


class Model:
    """A cell and an output layer, trained with the loss at the last step only."""

    def __init__(self, cell: Any, outputs: int, rate: float, rng: np.random.Generator) -> None:
        self.cell, self.loss = cell, tg.cross_entropy if outputs > 1 else tg.mse
        W = rng.normal(size=(cell.hidden_size, outputs)) / cell.hidden_size**0.5
        self.W_hq = tg.Tensor(W.astype(np.float32), requires_grad=True)
        self.b_q = tg.Tensor(np.full(outputs, 1, np.float32), requires_grad=True)
        self.parameters = cell.parameters() | {"W_hq": self.W_hq, "b_q": self.b_q}
        self.optimizer = tg.Adam(self.parameters, rate)

    def answer(self, xs: np.ndarray, truncation: Any = None) -> Any:
        _, last = tg.scan(self.cell, xs, truncation=truncation)
        return self.cell.output(last) @ self.W_hq + self.b_q

    def update(self, xs: np.ndarray, target: np.ndarray, k: int) -> float:
        self.optimizer.zero_grad()
        loss = self.loss(self.answer(xs, looking_back(k, len(xs))), target)
        loss.backward()
        tg.clip_grad_norm(self.parameters, 1.0)
        self.optimizer.step()
        return loss.item()


def new_cell(kind: str, hidden: int, rng: np.random.Generator) -> Any:
    """An RNN, or an LSTM with the bias of its forget gate, as in "LSTM 3"."""
    if kind == "RNN":
        return tg.RNNCell(2, hidden, rng=rng, dtype=np.float32)
    cell = tg.LSTMCell(2, hidden, rng=rng, dtype=np.float32)
    b_h = cell.b_h.data.copy()
    b_h[hidden : 2 * hidden] = float(kind.split()[1])
    cell.b_h.data = b_h
    return cell


def success(kind: str, tau: int, k: int, seeds: int, updates: int) -> float:
    """The share of seeds with which more than 95 of 100 bits are kept."""
    kept = 0
    for seed in range(seeds):
        rng = np.random.default_rng(seed)
        model = Model(new_cell(kind, 16, rng), 2, 0.01 if kind == "RNN" else 0.02, rng)
        for _ in range(updates):
            model.update(*keep_a_bit(tau, 32)(rng), k)
        xs, bit = keep_a_bit(tau, 500)(rng)
        with tg.no_grad():
            kept += np.mean(np.argmax(model.answer(xs).data, axis=1) == bit) > 0.95
    return float(kept / seeds)


def add(T: int, k: int, updates: int, enough: float) -> list[float]:
    """The error over training, averaged over 100 updates each, until it is small enough."""
    rng = np.random.default_rng(0)
    model = Model(new_cell("LSTM 1", 32, rng), 1, 0.01, rng)
    errors: list[float] = []
    for _ in progress(range(updates // 100), f"adding, k = {k}"):
        errors.append(float(np.mean([model.update(*add_two(T, 32)(rng), k) for _ in range(100)])))
        if errors[-1] < enough:
            break
    return errors


def main(out: Path = Path("out"), small: bool = False) -> dict[str, Any]:
    tau, ks, seeds = (20, (10, 20), {"RNN": 4}) if small else (
        20, (2, 5, 10, 15, 18, 20, 25), {"RNN": 8, "LSTM 1": 4}
    )  # fmt: skip
    jobs = [(kind, k) for kind in seeds for k in ks]
    shares: dict[str, dict[int, float]] = {kind: {} for kind in seeds}
    for kind, k in progress(jobs, "keeping a bit"):
        shares[kind][k] = success(kind, tau, k, seeds[kind], 300)
    for kind, curve in shares.items():
        row = ", ".join(f"k={k}: {share:.2f}" for k, share in curve.items())
        print(f"bit kept over {tau} steps, {kind:7} {row}")
    results: dict[str, Any] = {"shares": shares}
    if not small:
        results["long"] = {kind: success(kind, 60, 60, 4, 500) for kind in ("RNN", "LSTM 3")}
        print("bit kept over 60 steps, full gradient:", results["long"])
    T, reaches, enough = (16, (16,), 0.02) if small else (100, (100, 10), 0.006)
    results["adding"] = {k: add(T, k, 2500, enough) for k in reaches}
    for k, errors in results["adding"].items():
        print(f"adding over {T} steps, k = {k}: {errors[-1]:.4f} after {100 * len(errors)} updates")
    save(picture(shares, tau, results["adding"]), out, "lesson-5-forgets.png")
    return results


def picture(shares: Any, tau: int, adding: Any) -> Any:
    figure, _ = tg.analysis.new_figure(9.0, 3.6, axes=False)
    left, right = figure.subplots(1, 2)
    for (kind, curve), style in zip(shares.items(), tg.analysis.styles(), strict=False):
        left.plot(list(curve), list(curve.values()), **style, label=kind.split()[0])
    left.axvline(tau, color="0.5", ls="--", lw=1)
    left.set(xlabel="k, links looked back", ylabel="share of seeds that succeed",
             title=f"A bit to keep over {tau} steps", ylim=(-0.05, 1.05))  # fmt: skip
    below = {"frameon": False, "loc": "upper center", "bbox_to_anchor": (0.5, -0.2), "ncols": 3}
    left.legend(**below)
    for (k, errors), style in zip(adding.items(), tg.analysis.styles(), strict=False):
        updates = 100 * np.arange(1, len(errors) + 1)
        right.semilogy(updates, errors, **style, ms=3, markevery=(0.0, 0.1), label=f"k = {k}")
    for level, name, side in ((1 / 6, "always 1", "right"), (1 / 12, "second number only", "left")):
        right.axhline(level, color="0.5", ls="--", lw=1)
        at, offset = ((1, level), (-3, 2)) if side == "right" else ((0, level), (3, 2))
        right.annotate(name, at, offset, ("axes fraction", "data"), "offset points",
                       ha=side, fontsize=8)  # fmt: skip
    right.set(xlabel="updates", ylabel="mean squared error", title="The adding problem")
    right.set_ylim(top=0.3)  # above the curves: room for a name
    right.legend(**below)
    return figure


if __name__ == "__main__":
    run(main, __doc__)
