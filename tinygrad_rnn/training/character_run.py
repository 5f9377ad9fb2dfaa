"""A training run of a character model on a text file, which can be stopped and resumed."""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from tinygrad_rnn.engine.recording import no_grad
from tinygrad_rnn.recurrent.strategy import strategy
from tinygrad_rnn.training.bptt import BPTT
from tinygrad_rnn.training.checkpoints import restore_run, save_run
from tinygrad_rnn.training.clipping import clip_grad_norm
from tinygrad_rnn.training.language_model import LanguageModel
from tinygrad_rnn.training.optimizers import Adam
from tinygrad_rnn.training.text import Vocabulary, chunk, chunk_count, mapped

MOST = 200
"""The largest number of chunks in a validation."""


@dataclass(frozen=True)
class Options:
    """The options of a run, apart from the text.

    cell: "rnn", "lstm" or "gru". layers, hidden_size: number and width of the layers.
    dtype: "float32" or "float64". steps: characters per update; the state is carried from one
    update to the next without its gradient. batch_size: the number of places of the text that are
    read in parallel. truncation: the strategy within an update, written as a call, `Window(8)`.
    validation: the fraction at the end of the text that is held out.
    """

    cell: str = "lstm"
    layers: int = 1
    hidden_size: int = 256
    dtype: str = "float32"
    steps: int = 64
    batch_size: int = 32
    truncation: str = "Full()"
    learning_rate: float = 0.003
    clip: float = 1.0
    validation: float = 0.1
    seed: int = 0

    def model(self, characters: int, rng: np.random.Generator | int) -> LanguageModel:
        """A new model of these options."""
        return LanguageModel(characters, self.hidden_size, self.cell, self.layers, rng, self.dtype)


class CharacterRun:
    """A model, its optimizer, and the place in the text.

    text: the path of a file. The file is memory-mapped and not read at once.
    Raises FileNotFoundError for a missing text, ValueError for a text that is too short, and
    ValueError for invalid options.
    """

    def __init__(self, text: str | os.PathLike[str], options: Options) -> None:
        if options.steps < 1 or options.batch_size < 1:
            raise ValueError(
                f"steps and batch_size must be at least 1, not {options.steps} and "
                f"{options.batch_size}"
            )
        if options.seed < 0:
            raise ValueError(f"seed must be at least 0, not {options.seed}")
        if not options.clip > 0:
            raise ValueError(f"clip, the largest norm, must be positive, not {options.clip}")
        if not 0 <= options.validation < 1:
            raise ValueError(
                f"validation, the part of the text to hold out, must be at least 0 and below 1, "
                f"not {options.validation}"
            )
        if options.dtype not in ("float32", "float64"):
            raise ValueError(f"dtype must be float32 or float64, not {options.dtype}")
        self.options, self.bytes = options, mapped(text)
        held_out = round(len(self.bytes) * options.validation)
        self.training = self.bytes[: len(self.bytes) - held_out]
        self.held_out = self.bytes[len(self.bytes) - held_out :]
        parts = [("to train on", self.training, options.batch_size)]
        if options.validation:
            parts.append(("held out", self.held_out, self.rows_held_out))
        for what, part, rows in parts:
            if len(part) <= rows * options.steps:
                raise ValueError(
                    f"{text} is too short: {len(part):,} of its {len(self.bytes):,} bytes are "
                    f"{what}, but {rows} sequences of {options.steps} steps need "
                    f"{rows * options.steps + 1:,}; choose a smaller batch size or fewer steps"
                )
        self.updates_per_epoch = chunk_count(len(self.training), *self.shape)
        self.vocabulary = Vocabulary(self.bytes)
        self.rng = np.random.default_rng(options.seed)
        self.model = options.model(len(self.vocabulary), self.rng)
        truncation = strategy(options.truncation)
        # With a generator of its own, a random truncation would begin anew when the run is resumed.
        if hasattr(truncation, "rng"):
            truncation.rng = self.rng
        self.bptt = BPTT(self.model.cell, self.model.loss, truncation)
        self.optimizer = Adam(self.model, options.learning_rate)
        self.state: Any = None
        self.updates = 0
        self.losses: list[float] = []
        self.norms: list[float] = []
        self.validations: list[tuple[int, float]] = []

    @property
    def shape(self) -> tuple[int, int]:
        """The shape of a chunk: rows and steps."""
        return self.options.batch_size, self.options.steps

    @property
    def opening(self) -> Any:
        """The numbers of the first characters of the text. Samples continue them."""
        return self.vocabulary.encode(self.bytes[:20])

    @property
    def rows_held_out(self) -> int:
        """The rows of a validation chunk: as many as in training, or fewer for a short text."""
        return max(1, min(self.options.batch_size, (len(self.held_out) - 1) // self.options.steps))

    @property
    def epoch(self) -> int:
        """How many times the text has been read to its end."""
        return self.updates // self.updates_per_epoch

    def update(self) -> float:
        """One chunk: forward, back, clip, step. Returns the loss, the mean cross-entropy."""
        n = self.updates % self.updates_per_epoch
        inputs, labels = map(self.vocabulary.encode, chunk(self.training, *self.shape, n))
        self.optimizer.zero_grad()
        state = self.state if n else None  # the text begins anew
        loss, self.state = self.bptt(self.model.inputs(inputs), labels, state)
        self.norms.append(clip_grad_norm(self.model, self.options.clip))
        self.optimizer.step()
        self.losses.append(float(loss))
        self.updates += 1
        return self.losses[-1]

    def validate(self) -> float:
        """The perplexity, exp of the mean cross-entropy, of the held-out text."""
        state, losses = None, []
        rows, steps = self.rows_held_out, self.options.steps
        with no_grad():
            for n in range(min(MOST, chunk_count(len(self.held_out), rows, steps))):
                inputs, labels = map(self.vocabulary.encode, chunk(self.held_out, rows, steps, n))
                loss, state = self.bptt(self.model.inputs(inputs), labels, state)
                losses.append(float(loss))
        perplexity = float(np.exp(np.mean(losses)))
        self.validations.append((self.updates, perplexity))
        return perplexity

    def sample(self, length: int) -> str:
        """A sample that continues the first characters of the text.

        Every call draws the same random numbers. It does not use the run's own generator."""
        numbers = self.model.sample(self.opening, length, rng=self.options.seed, temperature=0.7)
        return self.vocabulary.decode(list(numbers))

    def save(self, path: str | os.PathLike[str]) -> None:
        """Save the whole run in one file. The file is complete at every moment."""
        save_run(
            path,
            model=self.model,
            optimizer=self.optimizer,
            rng=self.rng,
            options=asdict(self.options),
            alphabet=self.vocabulary.bytes,
            opening=self.opening,
            size=len(self.bytes),
            state=self.state,
            updates=self.updates,
            losses=np.array(self.losses),
            norms=np.array(self.norms),
            validations=self.validations,
        )

    @classmethod
    def resumed(
        cls, path: str | os.PathLike[str], text: str | os.PathLike[str], **changed: Any
    ) -> CharacterRun:
        """Resume a saved run; ValueError if the text is another one.

        changed: new values of options, such as the learning rate and the clip.
        """
        saved = _saved(path)
        run = cls(text, Options(**{**saved["options"], **changed}))
        if len(run.bytes) != saved["size"] or list(run.vocabulary.bytes) != list(saved["alphabet"]):
            raise ValueError(
                f"{path} was trained on another text than {text}: that text had {saved['size']} "
                f"bytes, {len(saved['alphabet'])} of them different, and this one has "
                f"{len(run.bytes)}, {len(run.vocabulary)} of them different"
            )
        restore_run(path, model=run.model, optimizer=run.optimizer, rng=run.rng)
        run.optimizer.learning_rate = run.options.learning_rate
        run.state, run.updates = saved["state"], saved["updates"]
        run.losses, run.norms = saved["losses"].tolist(), saved["norms"].tolist()
        run.validations = saved["validations"]
        return run


def saved_model(path: str | os.PathLike[str]) -> tuple[LanguageModel, Vocabulary, Any]:
    """The model of a saved run, its alphabet, and the numbers of the first characters of its text.

    The text itself is not needed. ValueError for any other file."""
    saved = _saved(path)
    vocabulary = Vocabulary(saved["alphabet"])
    model = Options(**saved["options"]).model(len(vocabulary), 0)
    restore_run(path, model=model)
    return model, vocabulary, saved["opening"]


def _saved(path: str | os.PathLike[str]) -> dict[str, Any]:
    """The values of a saved run; ValueError if it is none of a character model."""
    saved = restore_run(path)
    if "alphabet" not in saved:
        raise ValueError(f"{path} is a saved run, but not one of a character model")
    return saved
