"""The variance of randomized truncation, over thousands of draws, by several processes.

Each draw of the links gives another gradient. Their mean is the full gradient, and their spread
around it grows as the probability π of keeping a link falls. Workers compute the gradients; links
are drawn, and results are added up, in one order, so the numbers are the same for any number of
workers.

Expected: the distance of the mean from the full gradient is what chance allows, near 1 in units of
its standard error, for every π; the noise of a single draw grows from π = 0.95 to π = 0.5.

    python -m examples.variance_of_truncation --draws 2000 --workers 2
"""

from __future__ import annotations

import argparse
from typing import Any, NamedTuple

import numpy as np

import tinygrad_rnn as tg
from examples.lesson import progress

STEPS, BATCH, INPUT, HIDDEN = 20, 4, 3, 8


class Spread(NamedTuple):
    """noise: √(E‖g − ḡ‖²) / ‖g_full‖ of a single draw. distance: ‖ḡ − g_full‖ in units of its
    standard error, which is near 1 if the mean of all draws is right."""

    noise: float
    distance: float


def spread(keep: float, draws: int, executor: Any) -> Spread:
    """How ∂L/∂W_hh of an orthogonal RNN scatters, over so many draws of the links."""
    rng = np.random.default_rng(0)
    shard = rng.normal(size=(STEPS, BATCH, INPUT)), rng.normal(size=(STEPS, BATCH, HIDDEN))
    cell = tg.RNNCell(INPUT, HIDDEN, rng=0, recurrent_weights="orthogonal")
    tg.BPTT(cell, tg.mse)(*shard)
    full = cell.W_hh.grad
    bptt = tg.BPTT(cell, tg.mse, tg.Randomized(keep, rng=1))
    found = tg.shard_gradients(bptt, [shard] * draws, executor)
    total = squares = np.zeros_like(full)
    for _, gradients, _ in progress(found, f"π = {keep:g}", draws):
        total = total + gradients["W_hh"]
        squares = squares + np.square(gradients["W_hh"] - full)
    mean = total / draws
    variance = float(np.sum(squares / draws - np.square(mean - full)))
    error = float(np.linalg.norm(mean - full))
    return Spread(
        float(np.sqrt(variance) / np.linalg.norm(full)), error / float(np.sqrt(variance / draws))
    )


def main(draws: int, workers: int, keeps: Any = (0.95, 0.9, 0.75, 0.5)) -> dict[float, Spread]:
    """Print a line for each π; returns what was found."""
    found = {}
    with tg.process_pool(workers) as executor:
        for keep in keeps:
            found[keep] = spread(keep, draws, executor)
            noise, distance = found[keep]
            print(f"π = {keep:<4g}  noise {noise:.3f}   mean off by {distance:.2f} standard errors")
    return found


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--draws", type=int, default=2000)
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args()
    main(options.draws, options.workers)
