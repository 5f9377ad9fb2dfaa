"""Text as sequences of characters, cut so that a state can be carried from chunk to chunk."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np


class Vocabulary:
    """The characters of a text and their numbers, in the order of the alphabet.

    >>> from tinygrad_rnn.training.text import Vocabulary
    >>> vocabulary = Vocabulary("the time machine")
    >>> len(vocabulary), vocabulary.encode("time").tolist()
    (9, [8, 5, 6, 3])
    >>> vocabulary.decode([8, 4, 3])
    'the'
    """

    def __init__(self, text: str) -> None:
        if not text:
            raise ValueError("a vocabulary needs a text with at least one character")
        self.characters = sorted(set(text))
        self.numbers = {character: n for n, character in enumerate(self.characters)}

    def __len__(self) -> int:
        return len(self.characters)

    def encode(self, text: str) -> Any:
        """The numbers of the characters, an integer array; KeyError names one that is unknown."""
        unknown = set(text) - self.numbers.keys()
        if unknown:
            raise KeyError(
                f"the vocabulary, of {len(self)} characters, does not have {sorted(unknown)}"
            )
        return np.array([self.numbers[character] for character in text], dtype=np.intp)

    def decode(self, numbers: Any) -> str:
        """The text again."""
        return "".join(self.characters[n] for n in numbers)


def chunks(numbers: Any, batch_size: int, steps: int) -> Iterator[tuple[Any, Any]]:
    """Cut a text into `batch_size` strips and yield them chunk by chunk, in reading order.

    numbers: the text, (length,). Yields inputs and labels, each (steps, batch_size), the labels
    one character ahead. Row b of a chunk goes on where row b of the chunk before it ended, so the
    hidden state carries over: *sequential partitioning*, as `Subsequence(steps)` needs it.
    Raises ValueError if the text is too short for one chunk.

    >>> import numpy as np
    >>> from tinygrad_rnn.training.text import chunks
    >>> for inputs, labels in chunks(np.arange(9), batch_size=2, steps=2):
    ...     print(inputs.T.tolist(), labels.T.tolist())
    [[0, 1], [4, 5]] [[1, 2], [5, 6]]
    [[2, 3], [6, 7]] [[3, 4], [7, 8]]
    """
    numbers = np.asarray(numbers)
    length = (len(numbers) - 1) // batch_size // steps * steps
    if length == 0:
        raise ValueError(
            f"a text of {len(numbers)} characters is too short for {batch_size} sequences of "
            f"{steps} steps: it takes {batch_size * steps + 1}"
        )
    inputs = numbers[: length * batch_size].reshape(batch_size, length).T
    labels = numbers[1 : length * batch_size + 1].reshape(batch_size, length).T
    for start in range(0, length, steps):
        yield inputs[start : start + steps], labels[start : start + steps]
