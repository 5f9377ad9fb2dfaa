"""A character-level language model: recurrent layers that predict the next character."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from tinygrad_rnn.derivatives.functions import one_hot, softmax
from tinygrad_rnn.engine.recording import no_grad
from tinygrad_rnn.engine.tensor import Tensor
from tinygrad_rnn.recurrent.cells import GRUCell, LSTMCell, RNNCell
from tinygrad_rnn.recurrent.initial import uniform
from tinygrad_rnn.recurrent.stacked import Stacked
from tinygrad_rnn.training.losses import cross_entropy

CELLS: dict[str, Any] = {"rnn": RNNCell, "lstm": LSTMCell, "gru": GRUCell}


class LanguageModel:
    """o_t = h_t W_hq + b_q, the logits of character t + 1; h_t is the output of the top layer.

    characters: the size of the alphabet. hidden_size: the width of every layer.
    kind: "rnn", "lstm" or "gru". layers: the number of layers. rng, dtype: as for the cells.
    Raises ValueError for another kind, or no layer.

    `BPTT(model.cell, model.loss)` trains it, on one-hot inputs and integer labels.

    >>> import numpy as np
    >>> from tinygrad_rnn.training.language_model import LanguageModel
    >>> model = LanguageModel(5, 8, "gru", layers=2, rng=0)
    >>> len(model.parameters()), len(list(model.sample([0, 1], 10, rng=0)))
    (10, 10)
    """

    def __init__(
        self,
        characters: int,
        hidden_size: int,
        kind: str = "rnn",
        layers: int = 1,
        rng: np.random.Generator | int | None = None,
        dtype: Any = np.float32,
    ) -> None:
        if kind not in CELLS or layers < 1:
            raise ValueError(
                f"a model has one or more layers of {', '.join(CELLS)}, not {layers} of {kind!r}"
            )
        rng = np.random.default_rng(rng)
        widths = [characters] + [hidden_size] * layers
        cells = [CELLS[kind](widths[n], hidden_size, rng=rng, dtype=dtype) for n in range(layers)]
        self.characters, self.dtype = characters, np.dtype(dtype)
        self.cell = cells[0] if layers == 1 else Stacked(cells)
        self.W_hq = uniform(rng, (hidden_size, characters), hidden_size, dtype, "W_hq")
        self.b_q = Tensor(np.zeros(characters, dtype), requires_grad=True, name="b_q")

    def parameters(self) -> dict[str, Tensor]:
        """The parameters of all layers, W_hq and b_q."""
        return {**self.cell.parameters(), "W_hq": self.W_hq, "b_q": self.b_q}

    def inputs(self, numbers: Any) -> Any:
        """One-hot vectors of the characters, (..., characters): the inputs of the first layer."""
        return one_hot(numbers, self.characters, self.dtype)

    def logits(self, h: Any) -> Any:
        """The logits o_t."""
        return h @ self.W_hq + self.b_q

    def loss(self, h: Any, y: Any) -> Any:
        """l_t, the cross-entropy of the prediction at one step, the mean over the batch."""
        return cross_entropy(self.logits(h), y)

    def sample(
        self,
        prefix: Any,
        length: int,
        rng: np.random.Generator | int | None = None,
        temperature: float = 1.0,
    ) -> Iterator[int]:
        """The numbers of characters after a prefix, each drawn from the model's prediction.

        temperature: divides the logits. Below 1, likely characters become likelier.
        """
        if not len(prefix):
            raise ValueError("prefix must have at least one character, from which the text goes on")
        if not temperature > 0:
            raise ValueError(f"the temperature must be positive, not {temperature}")
        rng = np.random.default_rng(rng)
        state = self.cell.initial_state(1)
        for number in prefix:
            state = self._read(number, state)
        for _ in range(length):
            with no_grad():
                logits = self.logits(self.cell.output(state)).data[0].astype(np.float64)
            p = softmax(logits / temperature)
            number = int(rng.choice(len(p), p=p / p.sum()))
            yield number
            state = self._read(number, state)

    def _read(self, number: int, state: Any) -> Any:
        with no_grad():
            return self.cell(self.inputs(np.array([number])), state)
