"""Lesson 3: the three rows of the comparison, measured on real text: bias and variance.

The chapter compares randomized truncation, regular truncation and the full sum. Here a character
RNN reads English text, and the gradient dL/dW_hh of every strategy is compared with the full one,
over many places in the text and many draws of the random links:

    bias   ‖E[g] − g_full‖ / ‖g_full‖        what no amount of data cures
    noise  √(E‖g − E[g]‖²) / ‖g_full‖        what averaging cures
    error  √(E‖g − g_full‖²) / ‖g_full‖      both together, in a single step of training

Two networks read it: one as the frameworks initialise it, which forgets within a few steps, and
one with an orthogonal W_hh, which does not.

Expected: regular truncation has bias and no noise, randomized truncation noise and no bias. Where
the network forgets by itself, a window of 8 links costs nothing (0.005), and randomizing it only
adds noise (0.19). With a long memory regular truncation is off by a quarter (`Window`) to nearly
a half (`Subsequence`) of the gradient, on average and for ever; randomized truncation is right on
average, but in a single step farther off than either (0.55). That is the chapter's explanation of
why it "does not work much better", in numbers.

    python -m examples.lesson_3_three_strategies
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np

import tinygrad_rnn as tg
import viz
from examples.demo.language_model import english_text
from examples.lesson import progress, run, save

STRATEGIES = [
    tg.Full(),
    tg.Subsequence(8),
    tg.Window(8),
    tg.Randomized(7 / 8, rng=0),
    tg.Randomized.scheduled(6, 8, rng=0),
]


def english(length: int) -> str:
    """The beginning of Python's own manual, without the lines and boxes drawn in it."""
    return " ".join(re.sub(r"[^a-z0-9,.;:'() ]+", " ", english_text().lower()).split())[:length]


def network(text: str, hidden: int, recurrent_weights: str) -> Any:
    """A cell, an output layer, and the losses of reading a piece of text, one per step."""
    alphabet = sorted(set(text))
    number = {character: i for i, character in enumerate(alphabet)}
    cell = tg.RNNCell(len(alphabet), hidden, rng=0, recurrent_weights=recurrent_weights)
    W_hq = tg.Tensor(np.random.default_rng(1).normal(size=(hidden, len(alphabet))) / hidden**0.5)

    def losses(piece: str, truncation: Any = None) -> list[Any]:
        numbers = np.array([number[character] for character in piece])
        xs = tg.one_hot(numbers[:-1, None], len(alphabet))
        states, _ = tg.unroll(cell, xs, truncation=truncation)
        return [
            tg.cross_entropy(h @ W_hq, label) / len(states)
            for h, label in zip(states, numbers[1:, None], strict=True)
        ]

    return cell, losses


def measure(recurrent_weights: str, small: bool) -> tuple[dict[str, Any], Any]:
    """Bias, noise and error of every strategy; and the contributions at the last place."""
    T, hidden, places, draws = (24, 12, 4, 200) if small else (48, 24, 20, 500)
    text = english(20_000)
    cell, losses = network(text, hidden, recurrent_weights)
    sums = {strategy: np.zeros(3) for strategy in STRATEGIES}
    scale = 0.0
    for start in progress(range(0, places * 700, 700), recurrent_weights, places):
        piece = text[start : start + T + 1]
        # The definition: parts[t, s] is ∂L_t/∂W_s, and a strategy's gradient is Σ M[t, s] of them.
        parts = np.array(
            [tg.analysis.step_contributions(l_t, cell.W_hh, T) for l_t in losses(piece)]
        ).reshape(T * T, -1)
        full = parts.sum(axis=0)
        scale += full @ full
        for strategy in STRATEGIES:
            count = draws if isinstance(strategy, tg.Randomized) else 1
            M = np.array([strategy.weights(T).ravel() for _ in range(count)])
            gradients = M @ parts
            mean = gradients.mean(axis=0)
            bias = np.sum((mean - full) ** 2)
            noise = np.mean(np.sum((gradients - mean) ** 2, axis=1))
            # The mean of finitely many draws is off by noise / draws, which is no bias.
            sums[strategy] += [bias - noise / count if count > 1 else bias, noise, bias + noise]
    table = {
        repr(strategy): dict(
            zip(("bias", "noise", "error"), np.sqrt(np.maximum(total, 0) / scale), strict=True)
        )
        for strategy, total in sums.items()
    }
    return table, tg.analysis.pair_contributions(losses(piece), cell.W_hh)


def main(out: Path = Path("out"), small: bool = False) -> dict[str, Any]:
    results, panels = {}, {}
    for name, kind in {"forgets": "uniform", "remembers": "orthogonal"}.items():
        results[name], panels[f"network {name}"] = measure(kind, small)
        print(f"\na network that {name}:{'':25}bias   noise   error")
        for strategy, row in results[name].items():
            print(f"  {strategy:44}" + "".join(f"{value:8.3f}" for value in row.values()))
    T = len(next(iter(panels.values())))
    rows = [tg.Randomized.scheduled(6, 8, rng=3), tg.Subsequence(8), tg.Full()]
    save(viz.draw_truncations(english(T), rows), out, "lesson-3-rows.svg")
    panels = {repr(s).replace(", rng=0", ""): s.weights(T) for s in STRATEGIES} | {
        f"‖∂L_t/∂W_s‖, {name}": matrix for name, matrix in panels.items()
    }
    save(tg.analysis.plot_pairs(panels), out, "lesson-3-strategies.png")
    return results


if __name__ == "__main__":
    run(main, __doc__)
