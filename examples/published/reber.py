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
from examples.published import lstm

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


RATE = 0.01
"""Adam's learning rate."""


class Ours(lstm.Ours):
    """The network by this library."""

    def __init__(self, seed: int, units: int = 16) -> None:
        super().__init__(len(LETTERS), units, seed, RATE)

    def loss(self, h: Any, y: Any) -> Any:
        """The cross-entropy of the next letter, one for each sequence."""
        return tg.cross_entropy(h @ self.W_hq + self.b_q, y, reduction="none")

    def train(self, letters: str) -> float:
        """One step of Adam, for one string."""
        return self.update(*padded([letters]))


class Theirs(lstm.Theirs):
    """The same by PyTorch."""

    def __init__(self, seed: int, units: int = 16) -> None:
        super().__init__(Ours(seed, units), RATE)

    def train(self, letters: str) -> float:
        """One step of Adam, for one string."""
        functional = self.torch.nn.functional
        places = self.torch.from_numpy(numbers(letters))
        xs = functional.one_hot(places[:-1, None], len(LETTERS)).double()
        return self.descend(functional.cross_entropy(self.outputs(xs)[:, 0], places[1:]))


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
