"""The training of a character model: an RNN that reads a text and guesses the next character."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from tqdm import tqdm

import tinygrad_rnn as tg
from tinygrad_rnn.training.language_model import LanguageModel
from tinygrad_rnn.training.text import chunks


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


def train(
    model: LanguageModel,
    numbers: Any,
    updates: int,
    max_norm: float,
    seconds: float = np.inf,
    batch_size: int = 32,
    steps: int = 32,
) -> History:
    """Truncated backpropagation through time, a chunk per update, the state carried over.

    numbers: the text.
    A chunk begins with the numbers that the last one ended with, and no gradient flows back to
    it: over the whole text this is `Subsequence(steps)`.
    It ends after so many updates, or seconds, whichever comes first. The bar shows perplexity,
    exp of the loss, averaged over the last updates.
    """
    history = History([], [])
    optimizer = tg.Adam(model.parameters(), learning_rate=0.003)
    bptt = tg.BPTT(model.cell, model.loss)
    batch_size = min(batch_size, (len(numbers) - 1) // steps)
    smooth = np.log(model.characters)
    end = time.monotonic() + seconds
    with tqdm(total=updates, desc="training", unit="chunk", mininterval=0.5) as bar:
        while True:
            state = None  # the text begins anew
            for inputs, labels in chunks(numbers, batch_size, steps):
                optimizer.zero_grad()
                loss, state = bptt(model.inputs(inputs), labels, state)
                norm = tg.clip_grad_norm(optimizer.parameters, max_norm)
                optimizer.step()
                history.losses.append(loss.item())
                history.norms.append(norm)
                smooth = 0.98 * smooth + 0.02 * history.losses[-1]
                bar.set_postfix(perplexity=f"{np.exp(smooth):.2f}", refresh=False)
                bar.update()
                if len(history.losses) == updates or time.monotonic() > end:
                    return history
