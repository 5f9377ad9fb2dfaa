"""The embedded Reber grammar, learnt online by an LSTM (Hochreiter & Schmidhuber 1997).

A string is B, then T or P, then a string of Reber's grammar, then the same T or P again, then E.
At every step the network is to name the letters that may come next; the second T or P can be
known from the first alone, which lies all of the inner string back.

The paper's LSTMs solve it after 8,440 strings on average, simple recurrent networks never. Here
strings are drawn one by one; after every 500 it is looked whether the letters that may come next
have the largest probabilities at every step of 256 strings drawn for the test.
"""

from __future__ import annotations

from typing import Any

import numpy as np

import tinygrad_rnn as tg

LETTERS = "BTSXPVE"

GRAMMAR: list[list[tuple[str, int]]] = [
    [("B", 1)],
    [("T", 2), ("P", 3)],
    [("S", 2), ("X", 4)],
    [("T", 3), ("V", 5)],
    [("X", 3), ("S", 6)],
    [("P", 4), ("V", 6)],
    [("E", -1)],
]
"""Reber's grammar: from each state, the letters that may come and the states they lead to."""


def string(rng: np.random.Generator) -> tuple[str, list[set[str]]]:
    """A string, and after each of its letters but the last the set of those that may follow."""
    outer = str(rng.choice(["T", "P"]))
    letters, may_follow, state = "B" + outer, [{"T", "P"}, {"B"}], 0
    while state >= 0:
        letter, state = GRAMMAR[state][rng.integers(len(GRAMMAR[state]))]
        letters += letter
        may_follow.append({outer} if state < 0 else {following for following, _ in GRAMMAR[state]})
    return letters + outer + "E", [*may_follow, {"E"}]


def numbers(letters: str) -> Any:
    """Their places among the letters."""
    return np.array([LETTERS.index(letter) for letter in letters])


class Ours:
    """An LSTM and an output layer, and a step of training, by this library.

    seed: of the first weights.
    """

    def __init__(self, seed: int, units: int = 16) -> None:
        rng = np.random.default_rng(seed)
        self.cell = tg.LSTMCell(len(LETTERS), units, rng=rng)
        bound = 1 / np.sqrt(units)
        self.W_hq = tg.Tensor(rng.uniform(-bound, bound, (units, len(LETTERS))), True, "W_hq")
        self.b_q = tg.Tensor(np.zeros(len(LETTERS)), True, "b_q")
        self.bptt = tg.BPTT(self.cell, self.loss)
        self.optimizer = tg.Adam(self.bptt, 0.01)

    def loss(self, h: Any, y: Any) -> Any:
        """The cross-entropy of the next letter, one for each sequence."""
        return tg.cross_entropy(h @ self.W_hq + self.b_q, y, reduction="none")

    def train(self, letters: str) -> float:
        """One step of Adam, for one string."""
        xs, labels, lengths = padded([letters])
        self.optimizer.zero_grad()
        loss, _ = self.bptt(xs, labels, lengths=lengths)
        tg.clip_grad_norm(self.optimizer, 1.0)
        self.optimizer.step()
        return float(loss)

    def scores(self, xs: Any) -> Any:
        """Of the letters, at every step of strings side by side."""
        with tg.no_grad():
            (states, _), _ = tg.scan(self.cell, xs)
        return states.data @ self.W_hq.data + self.b_q.data


class Theirs:
    """The same by PyTorch: `nn.LSTM` and `nn.Linear`, from the same first weights."""

    def __init__(self, seed: int, units: int = 16) -> None:
        import torch

        self.torch, ours = torch, Ours(seed, units)
        self.layer = tg.to_torch(ours.cell, torch.nn.LSTM(len(LETTERS), units).double())
        self.linear = torch.nn.Linear(units, len(LETTERS)).double()
        with torch.no_grad():
            self.linear.weight.copy_(torch.from_numpy(ours.W_hq.data.T.copy()))
            self.linear.bias.zero_()
        self.weights = [*self.layer.parameters(), *self.linear.parameters()]
        self.optimizer = torch.optim.Adam(self.weights, 0.01)

    def train(self, letters: str) -> float:
        """One step of Adam, for one string."""
        functional = self.torch.nn.functional
        places = self.torch.from_numpy(numbers(letters))
        xs = functional.one_hot(places[:-1, None], len(LETTERS)).double()
        self.optimizer.zero_grad()
        states, _ = self.layer(xs)
        loss = functional.cross_entropy(self.linear(states[:, 0]), places[1:])
        loss.backward()
        self.torch.nn.utils.clip_grad_norm_(self.weights, 1.0)
        self.optimizer.step()
        return float(loss.detach())

    def scores(self, xs: Any) -> Any:
        """Of the letters, at every step of strings side by side."""
        with self.torch.no_grad():
            states, _ = self.layer(self.torch.from_numpy(xs))
            return self.linear(states).numpy()


def padded(strings: list[str]) -> tuple[Any, Any, Any]:
    """Inputs (T, batch, letters), labels (T, batch) and lengths of strings side by side; T in
    tens, so that few programs serve all lengths."""
    lengths = np.array([len(letters) - 1 for letters in strings])
    T = -(-max(lengths) // 10) * 10
    places = np.zeros((T + 1, len(strings)), int)
    for n, letters in enumerate(strings):
        places[: len(letters), n] = numbers(letters)
    return tg.one_hot(places[:-1], len(LETTERS)), places[1:], lengths


def right(network: Any, test: list[tuple[str, list[set[str]]]]) -> float:
    """The part of the strings at whose every step the letters that may follow are likeliest."""
    xs, _, _ = padded([letters for letters, _ in test])
    order = np.argsort(-network.scores(xs), axis=-1)
    return float(np.mean([
        all(
            {LETTERS[place] for place in order[t, n, : len(set_)]} == set_
            for t, set_ in enumerate(may_follow)
        )
        for n, (_, may_follow) in enumerate(test)
    ]))  # fmt: skip


def strings_until_solved(
    seed: int, most: int = 8000, every: int = 500, make: Any = Ours
) -> int | None:
    """After how many strings all of the test is right; None if it is not after `most`."""
    rng = np.random.default_rng(seed)
    test = [string(rng) for _ in range(256)]
    network = make(seed)
    for n in range(1, most + 1):
        network.train(string(rng)[0])
        if n % every == 0 and right(network, test) == 1:
            return n
    return None


def slowest(make: Any = Ours, progress: Any = iter) -> int:
    """Of ten seeds; a million, if one of them does not come to an end."""
    return max(strings_until_solved(seed, make=make) or 10**6 for seed in progress(range(10)))
