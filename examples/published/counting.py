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


def opened(units: int) -> Any:
    """The biases of an LSTM whose forget gates begin open."""
    return np.repeat([0.0, 1.0, 0.0, 0.0], units)


class Ours:
    """An LSTM and an output layer, and a step of training, by this library.

    Adam's average of g² is short, so that the steps stay large where the gradient has become
    tiny: the gates go on to saturate, and only then is an a worth exactly what a b is.
    """

    def __init__(self, seed: int, units: int = 3) -> None:
        rng = np.random.default_rng(seed)
        self.cell = tg.LSTMCell(len(SYMBOLS), units, rng=rng)
        self.cell.b_h.data = opened(units)
        bound = 1 / np.sqrt(units)
        self.W_hq = tg.Tensor(rng.uniform(-bound, bound, (units, len(SYMBOLS))), True, "W_hq")
        self.b_q = tg.Tensor(np.zeros(len(SYMBOLS)), True, "b_q")
        self.bptt = tg.BPTT(self.cell, self.loss)
        self.optimizer = tg.Adam(self.bptt, 0.02, betas=(0.9, 0.9))

    def loss(self, h: Any, y: Any) -> Any:
        """The cross-entropy of each symbol's being allowed, summed over them, for each string:
        log(1 + exp(o)) − y o."""
        o = h @ self.W_hq + self.b_q
        return np.sum(np.logaddexp(0.0, o) - y * o, axis=1)

    def train(self, xs: Any, may_follow: Any, lengths: Any) -> float:
        """One step of Adam."""
        self.optimizer.zero_grad()
        loss, _ = self.bptt(xs, may_follow, lengths=lengths)
        tg.clip_grad_norm(self.optimizer, 1.0)
        self.optimizer.step()
        return float(loss)

    def scores(self, xs: Any) -> Any:
        """o_t at every step: above zero where a symbol may follow."""
        with tg.no_grad():
            (states, _), _ = tg.scan(self.cell, xs)
        return states.data @ self.W_hq.data + self.b_q.data


class Theirs:
    """The same by PyTorch: `nn.LSTM`, `nn.Linear` and a mask, from the same first weights."""

    def __init__(self, seed: int, units: int = 3) -> None:
        import torch

        self.torch, ours = torch, Ours(seed, units)
        self.layer = tg.to_torch(ours.cell, torch.nn.LSTM(len(SYMBOLS), units).double())
        self.linear = torch.nn.Linear(units, len(SYMBOLS)).double()
        with torch.no_grad():
            self.linear.weight.copy_(torch.from_numpy(ours.W_hq.data.T.copy()))
            self.linear.bias.zero_()
        self.weights = [*self.layer.parameters(), *self.linear.parameters()]
        self.optimizer = torch.optim.Adam(self.weights, 0.02, (0.9, 0.9))

    def train(self, xs: Any, may_follow: Any, lengths: Any) -> float:
        """One step of Adam."""
        torch = self.torch
        valid = torch.from_numpy(np.arange(len(xs))[:, None] < lengths)
        self.optimizer.zero_grad()
        states, _ = self.layer(torch.from_numpy(xs))
        losses = torch.nn.functional.binary_cross_entropy_with_logits(
            self.linear(states), torch.from_numpy(may_follow), reduction="none"
        )
        loss = losses.sum(-1)[valid].mean()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.weights, 1.0)
        self.optimizer.step()
        return float(loss.detach())

    def scores(self, xs: Any) -> Any:
        """o_t at every step."""
        with self.torch.no_grad():
            states, _ = self.layer(self.torch.from_numpy(xs))
            return self.linear(states).numpy()


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
