"""A character model: an RNN that reads a text and guesses the next character."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from tqdm import tqdm

import tinygrad_rnn as tg
from tinygrad_rnn.training.text import Vocabulary, chunks


def english_text() -> str:
    """Text that every Python carries: the help topics of the language, as running prose."""
    from pydoc_data import topics

    return " ".join(" ".join(topics.topics.values()).split())


def read_text(path: str | None) -> str:
    """The text of a file, or Python's own; ValueError if there is too little of it."""
    if path is None:
        return english_text()
    if not Path(path).is_file():
        raise ValueError(f"there is no text file at {path}")
    text = " ".join(Path(path).read_text(encoding="utf-8", errors="replace").split())
    if len(text) < 5000:
        raise ValueError(f"{path} has {len(text)} characters; a model needs at least 5000 of them")
    return text


class History(NamedTuple):
    """What happened at each update: the loss, and the gradient's norm before clipping."""

    losses: list[float]
    norms: list[float]


class Model:
    """o_t = h_t W_hq + b_q over the characters, h_t an RNN's state.

    hidden_size: width of h_t.
    """

    def __init__(self, vocabulary: Vocabulary, hidden_size: int, rng: np.random.Generator) -> None:
        size = len(vocabulary)
        self.vocabulary = vocabulary
        self.cell = tg.RNNCell(
            size, hidden_size, rng=rng, dtype=np.float32, recurrent_weights="orthogonal"
        )
        bound = 1 / np.sqrt(hidden_size)
        W_hq = rng.uniform(-bound, bound, (hidden_size, size)).astype(np.float32)
        self.W_hq = tg.Tensor(W_hq, requires_grad=True, name="W_hq")
        self.b_q = tg.Tensor(np.zeros(size, np.float32), requires_grad=True, name="b_q")

    def parameters(self) -> dict[str, tg.Tensor]:
        return {**self.cell.parameters(), "W_hq": self.W_hq, "b_q": self.b_q}

    def loss(self, h: Any, y: Any) -> Any:
        """l_t, the cross-entropy of the guess at one step, the mean over the batch."""
        return tg.cross_entropy(h @ self.W_hq + self.b_q, y)

    def sample(self, prefix: str, length: int, rng: np.random.Generator) -> str:
        """A prefix and `length` bytes after it, each drawn from the model's own guess."""
        size = len(self.vocabulary)
        numbers = self.vocabulary.encode(prefix).tolist()
        begun = len(numbers)
        state = self.cell.initial_state(1)
        with tg.no_grad():
            for n in range(begun + length - 1):
                state = self.cell(tg.one_hot(numbers[n : n + 1], size, np.float32), state)
                if n + 1 == len(numbers):
                    p = tg.softmax((state @ self.W_hq + self.b_q) / 0.7).data[0].astype(np.float64)
                    numbers.append(int(rng.choice(size, p=p / p.sum())))
        return self.vocabulary.decode(numbers)


def train(
    model: Model,
    text: str,
    updates: int,
    max_norm: float,
    seconds: float = np.inf,
    batch_size: int = 32,
    steps: int = 32,
) -> History:
    """Truncated backpropagation through time, a chunk per update, the state carried over.

    A chunk begins with the numbers that the last one ended with, and no gradient flows back to
    it: over the whole text this is `Subsequence(steps)`.
    It ends after so many updates, or seconds, whichever comes first. The bar shows perplexity,
    exp of the loss, averaged over the last updates.
    """
    history = History([], [])
    optimizer = tg.Adam(model.parameters(), learning_rate=0.003)
    bptt = tg.BPTT(model.cell, model.loss)
    numbers = model.vocabulary.encode(text)
    batch_size = min(batch_size, (len(numbers) - 1) // steps)
    smooth = np.log(len(model.vocabulary))
    end = time.monotonic() + seconds
    with tqdm(total=updates, desc="training", unit="chunk", mininterval=0.5) as bar:
        while True:
            state = None  # the text begins anew
            for inputs, labels in chunks(numbers, batch_size, steps):
                xs = tg.one_hot(inputs, len(model.vocabulary), np.float32)
                optimizer.zero_grad()
                loss, state = bptt(xs, labels, state)
                norm = tg.clip_grad_norm(optimizer.parameters, max_norm)
                optimizer.step()
                history.losses.append(loss.item())
                history.norms.append(norm)
                smooth = 0.98 * smooth + 0.02 * history.losses[-1]
                bar.set_postfix(perplexity=f"{np.exp(smooth):.2f}", refresh=False)
                bar.update()
                if len(history.losses) == updates or time.monotonic() > end:
                    return history
