"""Lesson 4: influence balancing, where truncation gets the sign of the gradient wrong.

A chain of 23 units, s' = A s + θ·sign with A = ½I + ½ superdiagonal: what enters unit j needs j
steps to get to unit 0, whose value is to be 1, so the loss is ½(s[0] − 1)² at every step. θ enters
the first 10 units with sign + and the 13 behind them with sign −. In the short run a larger θ makes
s[0] larger; in the long run, smaller: s[0] = −6θ, and the answer is θ = −1/6. A gradient that does
not look far enough back goes the wrong way, whatever the learning rate is, and diverges.

From Tallec & Ollivier, "Unbiasing Truncated Backpropagation Through Time" (2017) and "Unbiased
Online Recurrent Optimization" (2018).

Expected: `Subsequence(K)` diverges for K = 1, 10 and 100 and converges for 200. `Window(k)`
diverges up to k = 39 and converges from 40 on. The scheduled `Randomized`, with a mean length of
only 16, converges for five seeds of five, because it is right on average.

    python -m examples.lesson_4_influence_balancing
"""

from __future__ import annotations

from itertools import count, repeat
from pathlib import Path
from typing import Any

import numpy as np

import tinygrad_rnn as tg
from examples.lesson import progress, run, save

n, ANSWER, FAR = 23, -1 / 6, 10.0
A = 0.5 * np.eye(n) + 0.5 * np.eye(n, k=1)
SIGN = np.array([1.0] * 10 + [-1.0] * 13)


def learn(truncation: Any, rate: float, steps: int, updates: Any) -> np.ndarray:
    """θ after every update, in one long run; it ends early when θ is far out.

    updates: for every step, whether an update is due after its loss, before the next step.
    """
    theta = tg.Tensor(0.5, requires_grad=True, name="θ")
    run = tg.stream(lambda _, s: A @ s + theta * SIGN, repeat(0.0), np.ones(n), truncation)
    path, loss = [0.5], 0.0
    for _, due, s in zip(range(steps), updates, run, strict=False):
        loss = loss + 0.5 * (s[0] - 1) ** 2
        if due:
            loss.backward()
            theta.data = theta.data - rate * theta.grad
            theta.grad, loss = None, 0.0
            path.append(float(theta.data))
            if abs(theta.data) > FAR:
                break
    return np.array(path)


def every(k: int) -> Any:
    """An update after every k-th step."""
    return (t % k == 0 for t in count(1))


def at_cuts(seed: int) -> Any:
    """An update where the next link is cut: the same draws once more."""
    return (xi == 0 for xi in tg.Randomized.scheduled(6, 16, seed).factors())


def verdict(path: np.ndarray) -> str:
    if abs(path[-1]) > FAR:
        return "diverges"
    return "converges" if abs(path[-1] - ANSWER) < 0.02 else f"is at {path[-1]:.3f}"


def main(out: Path = Path("out"), small: bool = False) -> dict[str, str]:
    seeds, chunks, windows = range(5), (1, 10, 100, 200), (0, 39, 40, 60)
    if small:
        seeds, chunks, windows = range(1), (10, 200), (0,)
    # Rate and length of each run. The rate decides how soon, not where to: near k = 40 the
    # gradient is nearly zero, and everything takes ten times as long.
    jobs = {f"Subsequence({k})": (tg.Subsequence(k), 1e-4, 90_000, every(k)) for k in chunks}
    jobs |= {
        f"Window({k})": (tg.Window(k), 1e-3 if k in (39, 40) else 1e-4, 8_000, every(1))
        for k in windows
    }
    jobs |= {
        f"Randomized.scheduled(6, 16, {seed})": (
            tg.Randomized.scheduled(6, 16, seed), 1e-5, 20_000, at_cuts(seed)
        )
        for seed in seeds
    }  # fmt: skip
    if small:
        jobs["Subsequence(200)"] = (tg.Subsequence(200), 1e-4, 12_000, every(200))
    paths = {name: learn(*job) for name, job in progress(jobs.items(), "runs", len(jobs))}
    verdicts = {name: verdict(path) for name, path in paths.items()}
    for name, path in paths.items():
        print(f"{name:32}{verdicts[name]:12}θ = {path[-1]:.4f} after {len(path) - 1} updates")
    save(picture(paths), out, "lesson-4-influence-balancing.png")
    return verdicts


def picture(paths: dict[str, np.ndarray]) -> Any:
    figure, _ = tg.analysis.new_figure(9.5, 3.6, axes=False)
    kinds = ("Subsequence", "Window", "Randomized")
    for axes, kind in zip(figure.subplots(1, 3, sharey=True), kinds, strict=True):
        shown = {name: path for name, path in paths.items() if name.startswith(kind)}
        for (name, path), style in zip(shown.items(), tg.analysis.styles(), strict=False):
            axes.plot(path, label=name, lw=1.3, **style, ms=3, markevery=(0.0, 0.1))
        axes.axhline(ANSWER, color="0.5", ls="--", lw=1)
        axes.set(xlabel="updates", ylim=(-0.5, 2.5), title=kind)
        axes.set_xscale("symlog", linthresh=1)
        axes.legend(frameon=False, fontsize=7, loc="upper center", bbox_to_anchor=(0.5, -0.2))
    for axes in figure.axes:
        axes.set_xlim(left=0)
    figure.axes[0].set_ylabel("θ  (−1/6 is right)")
    figure.suptitle("Who looks back too few steps diverges; who is right on average does not")
    return figure


if __name__ == "__main__":
    run(main, __doc__)
