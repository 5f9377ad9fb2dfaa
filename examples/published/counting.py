"""aⁿbⁿ, learnt by an LSTM for n = 1..10, and right far beyond (Gers & Schmidhuber 2001).

The network reads S aⁿ bⁿ and is to name what may come next: an a or a b as long as a's come, then
b's until there are as many, and then the end. To do so beyond the strings that it was trained on
it has to count, in c_t.
"""

from __future__ import annotations

from typing import Any

import numpy as np

import tinygrad_rnn as tg

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


class Network:
    """An LSTM and an output layer."""

    def __init__(self, seed: int, units: int = 3) -> None:
        rng = np.random.default_rng(seed)
        self.cell = tg.LSTMCell(len(SYMBOLS), units, rng=rng)
        bias = np.zeros(4 * units)
        bias[units : 2 * units] = 1  # the forget gates begin open
        self.cell.b_h.data = bias
        bound = 1 / np.sqrt(units)
        self.W_hq = tg.Tensor(rng.uniform(-bound, bound, (units, len(SYMBOLS))), True, "W_hq")
        self.b_q = tg.Tensor(np.zeros(len(SYMBOLS)), True, "b_q")

    def loss(self, h: Any, y: Any) -> Any:
        """The cross-entropy of each symbol's being allowed, summed over them, for each string:
        log(1 + exp(o)) − y o."""
        o = h @ self.W_hq + self.b_q
        return np.sum(np.logaddexp(0.0, o) - y * o, axis=1)


def right_up_to(network: Network, most: int) -> int:
    """The largest n up to which at every step of every string exactly the symbols that may follow
    have a probability above one half."""
    xs, may_follow, lengths = strings(np.arange(1, most + 1))
    with tg.no_grad():
        (states, _), _ = tg.scan(network.cell, xs)
        allowed = states.data @ network.W_hq.data + network.b_q.data > 0
    wrong = np.any(allowed != (may_follow == 1), axis=-1)
    wrong &= np.arange(len(xs))[:, None] < lengths
    bad = np.any(wrong, axis=0)
    return int(np.argmax(bad)) if np.any(bad) else most


def learn(seed: int, steps: int = 600, look: int = 10, wanted: int = 100) -> int:
    """Train on n = 1..10, all of them in every step. Returns up to which n the network was right
    at the best of the looks at it, and stops where that is as far as wanted.

    Adam's average of g² is short, so that the steps stay large where the gradient has become
    tiny: the gates go on to saturate, and only then is an a worth exactly what a b is.
    """
    network = Network(seed)
    bptt = tg.BPTT(network.cell, network.loss)
    optimizer = tg.Adam(bptt, 0.02, betas=(0.9, 0.9))
    xs, may_follow, lengths = strings(range(1, 11))
    best = 0
    for n in range(1, steps + 1):
        optimizer.zero_grad()
        bptt(xs, may_follow, lengths=lengths)
        tg.clip_grad_norm(bptt, 1.0)
        optimizer.step()
        if n % look == 0 and n >= 100:
            best = max(best, right_up_to(network, wanted))
            if best == wanted:
                break
    return best


def best(progress: Any = iter) -> int:
    """The farthest of ten seeds."""
    return max(learn(seed) for seed in progress(range(10)))
