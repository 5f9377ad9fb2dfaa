"""aⁿbⁿ, learnt by an LSTM for n = 1..10, and right far beyond (Gers & Schmidhuber 2001).

The network reads S aⁿ bⁿ and is to name what may come next: an a or a b as long as a's come, then
b's until there are as many, and then the end. To do so beyond the strings that it was trained on
it has to count, in c_t.
"""

from __future__ import annotations

from typing import Any

import numpy as np

import tinygrad_rnn as tg
from examples.published import lstm

SYMBOLS = "Sab"
"""S is the beginning, and the end."""


def strings(ns: Any) -> tuple[Any, Any, Any]:
    """Inputs (T, batch, symbols) of S aⁿ bⁿ, side by side, the symbols that may follow at each
    step, as zeros and ones of the same shape, and the lengths."""
    ns = np.asarray(ns)
    t = np.arange(2 * max(ns) + 2)[:, None]
    places = np.where((t >= 1) & (t <= ns), 1, np.where((t > ns) & (t <= 2 * ns), 2, 0))
    may_follow = tg.one_hot(places[1:], len(SYMBOLS))
    may_follow[(places[:-1] == 1)] = [0, 1, 1]
    return tg.one_hot(places[:-1], len(SYMBOLS)), may_follow, 2 * ns + 1


def opened(units: int) -> Any:
    """The biases of an LSTM whose forget gates begin open."""
    return np.repeat([0.0, 1.0, 0.0, 0.0], units)


RATE, BETAS = 0.02, (0.9, 0.9)
"""Adam's average of g² is short, so the steps stay large where the gradient has become tiny. So the
gates go on to saturate. Only then does an a count exactly as much as a b."""


class Ours(lstm.Ours):
    """The network by this library."""

    def __init__(self, seed: int, units: int = 3) -> None:
        super().__init__(len(SYMBOLS), units, seed, RATE, BETAS)
        self.cell.b_h.data = opened(units)

    def loss(self, h: Any, y: Any) -> Any:
        """The cross-entropy of each symbol's being allowed, summed over them, for each string:
        log(1 + exp(o)) − y o."""
        o = h @ self.W_hq + self.b_q
        return np.sum(np.logaddexp(0.0, o) - y * o, axis=1)

    def train(self, xs: Any, may_follow: Any, lengths: Any) -> float:
        """One step of Adam."""
        return self.update(xs, may_follow, lengths)


class Theirs(lstm.Theirs):
    """The same by PyTorch, with a mask."""

    def __init__(self, seed: int, units: int = 3) -> None:
        super().__init__(Ours(seed, units), RATE, BETAS)

    def train(self, xs: Any, may_follow: Any, lengths: Any) -> float:
        """One step of Adam."""
        torch = self.torch
        valid = torch.from_numpy(np.arange(len(xs))[:, None] < lengths)
        losses = torch.nn.functional.binary_cross_entropy_with_logits(
            self.outputs(torch.from_numpy(xs)), torch.from_numpy(may_follow), reduction="none"
        )
        return self.descend(losses.sum(-1)[valid].mean())


def right_up_to(network: Any, most: int) -> int:
    """The largest n up to which at every step of every string exactly the symbols that may follow
    have a probability above one half."""
    xs, may_follow, lengths = strings(np.arange(1, most + 1))
    wrong = np.any((network.scores(xs) > 0) != (may_follow == 1), axis=-1)
    wrong &= np.arange(len(xs))[:, None] < lengths
    bad = np.any(wrong, axis=0)
    return int(np.argmax(bad)) if np.any(bad) else most


def learn(seed: int, steps: int = 600, look: int = 10, wanted: int = 100, make: Any = Ours) -> int:
    """Train on n = 1..10, all of them in every step. Returns up to which n the network was right
    at the best of the looks at it, and stops where that is as far as wanted."""
    network = make(seed)
    batch = strings(range(1, 11))
    best = 0
    for n in range(1, steps + 1):
        network.train(*batch)
        if n % look == 0 and n >= 100:
            best = max(best, right_up_to(network, wanted))
            if best == wanted:
                break
    return best


def farthest(make: Any = Ours, progress: Any = iter) -> int:
    """Of ten seeds."""
    return max(learn(seed, make=make) for seed in progress(range(10)))
