"""What is fuzzed by bytes, and bytes for those who have no atheris."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from typing import NamedTuple


class Target(NamedTuple):
    """A function of bytes that raises where something is wrong, and some good bytes to begin with.

    tokens: what is worth putting between other bytes.
    """

    check: Callable[[bytes], None]
    corpus: Callable[[], list[bytes]]
    tokens: tuple[bytes, ...] = ()


class Choices:
    """Decisions, one after another, that bytes make."""

    def __init__(self, data: bytes) -> None:
        self.data = iter(data)

    def below(self, n: int) -> int:
        return next(self.data, 0) % n

    def of(self, things: tuple[object, ...]) -> object:
        return things[self.below(len(things))]


def mutants(target: Target, seed: int) -> Iterator[bytes]:
    """The corpus, and then changed copies of it without end: bits, bytes and pieces."""
    rng = random.Random(seed)
    corpus = target.corpus()
    yield from corpus
    while True:
        data = bytearray(rng.choice(corpus))
        for _ in range(rng.choice((1, 1, 2, 4, 16))):
            here, there = sorted(rng.randrange(len(data) + 1) for _ in range(2))
            kind = rng.randrange(6)
            if kind == 0 and data:
                data[min(here, len(data) - 1)] ^= 1 << rng.randrange(8)
            elif kind == 1 and data:
                data[min(here, len(data) - 1)] = rng.choice((0, 1, 127, 128, 255))
            elif kind == 2:
                del data[here : rng.choice((there, here + 1))]
            elif kind == 3:
                data[here:here] = data[here:there]
            elif kind == 4:
                other = rng.choice(corpus)
                data[here:here] = other[rng.randrange(len(other) + 1) :][:64]
            elif target.tokens:
                data[here : rng.choice((here, there))] = rng.choice(target.tokens)
        yield bytes(data[:100_000])
