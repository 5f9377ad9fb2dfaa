"""The language model: which characters follow a text."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tinygrad_rnn.training.language_model import LanguageModel


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ({"prefix": []}, "prefix must have at least one character"),
        ({"temperature": 0}, "temperature must be positive, not 0"),
        ({"temperature": -1.0}, "temperature must be positive, not -1.0"),
    ],
)
def test_what_cannot_be_sampled(given: dict[str, Any], problem: str) -> None:
    model = LanguageModel(5, 4, "rnn", 1, 0, np.float64)
    with pytest.raises(ValueError, match=problem):
        next(model.sample(**{"prefix": [1], "length": 3} | given))


def test_a_low_temperature_gives_the_likeliest_character() -> None:
    model = LanguageModel(5, 4, "rnn", 1, 0, np.float64)
    found = [list(model.sample([1, 2], 4, seed, temperature=1e-6)) for seed in range(3)]
    assert found[0] == found[1] == found[2]
