"""Strategies as a user writes them: of both kinds, for all sequences and for each."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

import tinygrad_rnn as tg

TEXT = "I. said, yes. And no; so be it"


class AtPunctuation(tg.Links):
    """No gradient flows back over the end of a sentence or a clause."""

    def __init__(self, text: str) -> None:
        self.text = text

    def links(self, T: int) -> Any:
        return np.array([1.0, *(c not in ".,;:!?" for c in self.text)])[:T]


class Fading(tg.Links):
    """Says its factors and not its links, for a stream."""

    def factors(self) -> Iterator[float]:
        while True:
            yield from (0.5, 1.0, 2.0)


class OfEach(tg.Links):
    """Columns of links."""

    def __init__(self, batch: int) -> None:
        self.batch = batch

    def links(self, T: int) -> Any:
        return (np.arange(T)[:, None] + np.arange(self.batch)) % 3 / 2

    def __repr__(self) -> str:
        return f"OfEach([[{self.batch}]])"


class SinceTheLastWord(tg.Windows):
    """Each loss looks back over the word that it stands in, and the one before."""

    def __init__(self, text: str) -> None:
        self.text = text

    def earliest(self, t: int) -> int:
        begins = [0] + [n + 1 for n, c in enumerate(self.text[:t]) if c == " "]
        return begins[max(0, len(begins) - 2)]


class ReachOfEach(tg.Windows):
    """A reach of its own for each sequence."""

    def __init__(self, batch: int) -> None:
        self.batch = batch

    def earliest(self, t: int) -> Any:
        return np.maximum(0, t - t % 3 - np.arange(self.batch))

    def __repr__(self) -> str:
        return f"ReachOfEach([[{self.batch}]])"


def for_all(T: int) -> list[tg.Truncation]:
    """Those that are the same for all sequences."""
    return [
        AtPunctuation(TEXT),
        Fading(),
        SinceTheLastWord(TEXT),
        tg.Links(np.arange(T) % 4 / 2),
        tg.Windows(np.arange(T) // 2),
    ]


def for_each(T: int, batch: int) -> list[tg.Truncation]:
    """Those that differ from sequence to sequence."""
    links = (np.arange(T)[:, None] * np.arange(1, batch + 1)) % 3 / 2
    return [OfEach(batch), ReachOfEach(batch), tg.Links(links)]
