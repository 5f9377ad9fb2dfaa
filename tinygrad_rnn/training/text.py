"""Text as sequences of bytes, cut so that a state can be carried from chunk to chunk."""

from __future__ import annotations

import codecs
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np


def chunks(numbers: Any, batch_size: int, steps: int) -> Iterator[tuple[Any, Any]]:
    """Cut a text into `batch_size` strips and yield them chunk by chunk, in reading order.

    numbers: the text, (length,). Yields inputs and labels, each (steps, batch_size). The labels are
    one character ahead. Row b of a chunk continues row b of the chunk before it, so the hidden
    state carries over: *sequential partitioning*, as `Subsequence(steps)` needs it.
    Raises ValueError if the text is too short for one chunk.

    >>> import numpy as np
    >>> from tinygrad_rnn.training.text import chunks
    >>> for inputs, labels in chunks(np.arange(9), batch_size=2, steps=2):
    ...     print(inputs.T.tolist(), labels.T.tolist())
    [[0, 1], [4, 5]] [[1, 2], [5, 6]]
    [[2, 3], [6, 7]] [[3, 4], [7, 8]]
    """
    for n in range(chunk_count(len(numbers), batch_size, steps)):
        yield chunk(numbers, batch_size, steps, n)


def chunk_count(length: int, batch_size: int, steps: int) -> int:
    """The number of chunks; ValueError if there is none."""
    count = (length - 1) // batch_size // steps
    if count < 1:
        raise ValueError(
            f"a text of {length} characters is too short for {batch_size} sequences of "
            f"{steps} steps, which need {batch_size * steps + 1}"
        )
    return count


def chunk(numbers: Any, batch_size: int, steps: int, n: int) -> tuple[Any, Any]:
    """Chunk n of `chunks`, without computing those before it, as a resumed run needs it."""
    numbers = np.asarray(numbers)
    length = chunk_count(len(numbers), batch_size, steps) * steps
    inputs = numbers[: length * batch_size].reshape(batch_size, length).T
    labels = numbers[1 : length * batch_size + 1].reshape(batch_size, length).T
    return inputs[n * steps : (n + 1) * steps], labels[n * steps : (n + 1) * steps]


BLOCK = 1 << 18
"""The number of bytes of a file that are read at once."""


def mapped(path: str | os.PathLike[str]) -> Any:
    """The bytes of a file, (size,), as a memory-mapped array. The file may be of any length.

    Raises FileNotFoundError for a missing file, ValueError for an empty one.
    """
    source = Path(path)
    if not source.is_file():
        raise FileNotFoundError(f"there is no text file at {source}")
    if not source.stat().st_size:
        raise ValueError(f"{source} is empty")
    return np.memmap(source, np.uint8, "r")


class Vocabulary:
    """The bytes that occur in a text and their numbers, in sorted order.

    text: a string, which counts as UTF-8; or bytes in any encoding, or an array of them. They are
        read block by block.
    In UTF-8 a letter outside ASCII is two bytes or more. The model has to learn these sequences.

    >>> from tinygrad_rnn.training.text import Vocabulary
    >>> vocabulary = Vocabulary("naïve")
    >>> len(vocabulary), vocabulary.encode("vïa").tolist()
    (6, [3, 5, 4, 0])
    >>> vocabulary.decode([3, 5, 4, 0])
    'vïa'
    """

    def __init__(self, text: Any) -> None:
        text = _as_array(text)
        if not len(text):
            raise ValueError("a vocabulary needs a text with at least one byte")
        counts = np.zeros(256, np.int64)
        for start in range(0, len(text), BLOCK):
            counts += np.bincount(text[start : start + BLOCK], minlength=256)
        self.bytes = np.flatnonzero(counts).astype(np.uint8)
        self.numbers = np.full(256, -1, np.int16)
        self.numbers[self.bytes] = np.arange(len(self.bytes))

    def __len__(self) -> int:
        return len(self.bytes)

    def encode(self, text: Any) -> Any:
        """The numbers of the bytes, an integer array; KeyError names unknown bytes."""
        text = _as_array(text)
        numbers = self.numbers[text]
        if numbers.size and numbers.min() < 0:
            unknown = bytes(np.unique(text[numbers < 0]).tolist())
            raise KeyError(f"the vocabulary of {len(self)} bytes does not contain {unknown!r}")
        return numbers

    def decode(self, numbers: Any) -> str:
        """The text of these numbers, decoded as UTF-8. Invalid bytes are shown as \ufffd."""
        return codecs.decode(self.bytes[np.asarray(numbers, int)].tobytes(), errors="replace")


def _as_array(text: Any) -> Any:
    text = text.encode() if isinstance(text, str) else text
    return np.frombuffer(text, np.uint8) if isinstance(text, bytes) else np.asarray(text)
