"""Character models of The Time Machine, as in the book "Dive into Deep Learning" (D2L).

The newer chapters train on 10,000 places of the text and hold 5,000 out: batches of 1,024 drawn
anew in each epoch, 32 steps from a state of zeros, 32 units, SGD, gradients clipped at a norm of 1.
The older ones read 10,000 characters in order, 32 rows of 35 steps at a time, with 256 units, and
carry the state on.

Each training loop is written twice, for this library and for PyTorch, with the same first weights
and the same batches. PyTorch's layers have two biases where one would do, so theirs moves twice as
far in a step, and the two runs go different ways.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

import tinygrad_rnn as tg
from tinygrad_rnn.training.language_model import LanguageModel

CHARACTERS = " abcdefghijklmnopqrstuvwxyz"
CLASSES = len(CHARACTERS) + 1
"""With the unknown character, which D2L's vocabulary has and the text has not."""


def read(path: str | Path) -> Any:
    """The text as numbers: letters in lower case, and one space for all that lies between."""
    text = re.sub("[^A-Za-z]+", " ", Path(path).read_text(encoding="utf-8")).lower()
    return np.array([CHARACTERS.index(character) + 1 for character in text.strip()])


Batches = Iterator[tuple[Any, Any, bool]]
"""Inputs and labels, (steps, batch), and whether the state goes on from the batch before."""


def places(numbers: Any, first: int, count: int, size: int, rng: Any = None) -> Batches:
    """Pieces of 32 steps from `count` places, in batches; shuffled, where there is a generator."""
    starts = np.arange(first, first + count)
    if rng is not None:
        rng.shuffle(starts)
    for n in range(0, count, size):
        pieces = numbers[starts[n : n + size, None] + np.arange(33)].T
        yield pieces[:-1], pieces[1:], False


def in_order(numbers: Any, rows: int, steps: int, rng: Any) -> Batches:
    """The text in rows, read side by side from a random beginning on."""
    offset = int(rng.integers(0, steps + 1))
    length = (len(numbers) - offset - 1) // rows
    inputs = numbers[offset : offset + length * rows].reshape(rows, -1).T
    labels = numbers[offset + 1 : offset + 1 + length * rows].reshape(rows, -1).T
    for n in range(length // steps):
        cut = slice(n * steps, (n + 1) * steps)
        yield inputs[cut], labels[cut], n > 0


class Ours:
    """The model and a step of training, by this library."""

    def __init__(self, kind: str, units: int, rate: float) -> None:
        self.model = LanguageModel(CLASSES, units, kind, rng=0, dtype=np.float32)
        self.bptt = tg.BPTT(self.model.cell, self.model.loss)
        self.optimizer = tg.SGD(self.model, rate)
        self.state: Any = None

    def loss(self, inputs: Any, labels: Any, goes_on: bool) -> float:
        """The mean cross-entropy of a batch; inside `no_grad` no more than that."""
        state = self.state if goes_on else None
        loss, self.state = self.bptt(self.model.inputs(inputs), labels, state)
        return float(loss)

    def train(self, inputs: Any, labels: Any, goes_on: bool) -> float:
        """One step of SGD."""
        self.optimizer.zero_grad()
        loss = self.loss(inputs, labels, goes_on)
        tg.clip_grad_norm(self.model, 1.0)
        self.optimizer.step()
        return loss

    def evaluate(self, batches: Batches) -> float:
        """The perplexity over batches."""
        with tg.no_grad():
            return perplexity([(self.loss(x, y, on), y.size) for x, y, on in batches])


class Theirs:
    """The same by PyTorch: `nn.RNN`, `nn.LSTM` or `nn.GRU` and `nn.Linear`."""

    def __init__(self, kind: str, units: int, rate: float) -> None:
        import torch

        self.torch = torch
        model = LanguageModel(CLASSES, units, kind, rng=0, dtype=np.float32)
        layer = getattr(torch.nn, kind.upper())(CLASSES, units)
        self.layer = tg.to_torch(model.cell, layer)
        self.linear = torch.nn.Linear(units, CLASSES)
        with torch.no_grad():
            self.linear.weight.copy_(torch.from_numpy(model.W_hq.data.T.copy()))
            self.linear.bias.zero_()
        self.weights = [*self.layer.parameters(), *self.linear.parameters()]
        self.optimizer = torch.optim.SGD(self.weights, rate)
        self.state: Any = None

    def loss(self, inputs: Any, labels: Any, goes_on: bool) -> Any:
        functional = self.torch.nn.functional
        xs = functional.one_hot(self.torch.from_numpy(inputs.copy()), CLASSES).float()
        states, last = self.layer(xs, self.state if goes_on else None)
        self.state = tuple(s.detach() for s in last) if type(last) is tuple else last.detach()
        logits = self.linear(states).reshape(-1, CLASSES)
        return functional.cross_entropy(logits, self.torch.from_numpy(labels.reshape(-1).copy()))

    def train(self, inputs: Any, labels: Any, goes_on: bool) -> float:
        """One step of SGD."""
        self.optimizer.zero_grad()
        loss = self.loss(inputs, labels, goes_on)
        loss.backward()
        self.torch.nn.utils.clip_grad_norm_(self.weights, 1.0)
        self.optimizer.step()
        return float(loss.detach())

    def evaluate(self, batches: Batches) -> float:
        """The perplexity over batches."""
        with self.torch.no_grad():
            return perplexity([(float(self.loss(x, y, on)), y.size) for x, y, on in batches])


def perplexity(losses: list[tuple[float, int]]) -> float:
    """exp of the mean cross-entropy, each batch counted by its characters."""
    total = sum(size for _, size in losses)
    return float(np.exp(sum(loss * size for loss, size in losses) / total))


def newer(
    model: Any, numbers: Any, epochs: int, progress: Any, count: int = 10_000, size: int = 1024
) -> float:
    """The newer setting; the perplexity of what was held out, at the end."""
    rng = np.random.default_rng(0)
    for _ in progress(range(epochs)):
        for batch in places(numbers, 0, count, size, rng):
            model.train(*batch)
    return float(model.evaluate(places(numbers, count, count // 2, size)))


def older(model: Any, numbers: Any, epochs: int, progress: Any) -> float:
    """The older setting; the perplexity of the last epoch of training."""
    rng = np.random.default_rng(0)
    losses: list[tuple[float, int]] = []
    for _ in progress(range(epochs)):
        losses = [(model.train(*b), b[1].size) for b in in_order(numbers[:10_000], 32, 35, rng)]
    return perplexity(losses)
