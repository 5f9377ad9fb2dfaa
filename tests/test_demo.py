"""The demo, in a small version."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from examples.demo import chapter, language_model, plots
from tinygrad_rnn import Full, Subsequence
from tinygrad_rnn.training.language_model import LanguageModel
from tinygrad_rnn.training.text import Vocabulary

ROOT = Path(__file__).parent.parent


def test_from_recording_to_plots(tmp_path):
    text = tmp_path / "book.txt"
    text.write_text("the quick brown fox jumps over the lazy dog, and then again. " * 200)
    command = [sys.executable, "-m", "examples.demo", "--updates", "60", "--out", tmp_path / "out"]
    done = subprocess.run(
        [*command, "--text", text], cwd=ROOT, check=True, capture_output=True, text=True
    )
    made = {p.name for p in (tmp_path / "out").iterdir() if p.stat().st_size > 1000}
    figures = {"rnn-bptt.svg", "rnn-bptt.png", "truncated-bptt.svg", "truncated-bptt.png"}
    assert made == figures | {"training.png", "contributions.png"}
    (line,) = [line for line in done.stdout.splitlines() if "closed form" in line]
    assert float(line.split()[-1]) < 1e-12
    assert "perplexity" in done.stderr  # the progress bar


@pytest.mark.parametrize("text", ["missing.txt", "short.txt"])
def test_a_text_that_will_not_do(text, tmp_path):
    (tmp_path / "short.txt").write_text("too short")
    with pytest.raises(ValueError, match=text):
        language_model.read_text(str(tmp_path / text))


def test_the_closed_form_would_notice():
    L, parameters, xs, labels = chapter.linear_network(5, np.random.default_rng(1))
    assert chapter.largest_difference(L, parameters, xs, labels) < 1e-13
    parameters["W_hh"].data = parameters["W_hh"].data * 1.001  # of another network
    assert chapter.largest_difference(L, parameters, xs, labels) > 1e-6


def test_the_model_learns():
    text = "hello world, " * 400
    vocabulary = Vocabulary(text)
    model = LanguageModel(len(vocabulary), 32, rng=0)
    history = language_model.train(model, vocabulary.encode(text), updates=200, max_norm=1.0)
    assert np.exp(history.losses[0]) > 8
    assert np.exp(np.mean(history.losses[-10:])) < 1.3
    written = model.sample(vocabulary.encode("hello"), 8, rng=0, temperature=0.7)
    assert vocabulary.decode(list(written)) == " world, "


def test_contributions_vanish_explode_and_end():
    vanishing, exploding = (plots.last_loss_contributions(gain, Full()) for gain in (0.75, 2.5))
    assert vanishing[5] < 1e-3 * vanishing[-1] and exploding[5] > 1e3 * exploding[-1]
    cut = plots.last_loss_contributions(2.5, Subsequence(20))
    np.testing.assert_array_equal(cut[:40], 0)
    np.testing.assert_allclose(cut[40:], exploding[40:], rtol=1e-12)
