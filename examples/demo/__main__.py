"""python -m examples.demo: record, draw, check, train, sample, plot; everything goes to out/."""

from __future__ import annotations

import argparse
import os
import sys
import textwrap
from pathlib import Path

# The matrices are small: several threads for one product would only wait for one another.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np

import tinygrad_rnn as tg
import viz
from examples.demo import chapter, language_model, plots
from tinygrad_rnn.training.language_model import LanguageModel
from tinygrad_rnn.training.text import Vocabulary

MAX_NORM = 1.0
STRATEGIES = [tg.Randomized(0.75, rng=5), tg.Subsequence(4), tg.Full()]


def main() -> None:
    options = _options()
    try:
        text = language_model.read_text(options.text)
    except (ValueError, OSError) as problem:
        sys.exit(f"demo: {problem}")
    options.out.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)

    print("1. an RNN, unrolled over three steps, recorded and drawn")
    L, parameters, xs, labels = chapter.linear_network(3, rng)
    made = _save(viz.draw(L), options.out / "rnn-bptt")
    difference = chapter.largest_difference(L, parameters, xs, labels)

    print("2. strategies of truncation over the first characters of The Time Machine")
    comparison = viz.draw_truncations("the time machine by h g wells", STRATEGIES)
    made += _save(comparison, options.out / "truncated-bptt")

    print(f"3. a character model, trained on {len(text):,} characters")
    vocabulary = Vocabulary(text)
    numbers = vocabulary.encode(text)
    model = LanguageModel(len(vocabulary), 192, rng=rng)
    history = language_model.train(model, numbers, options.updates, MAX_NORM, options.seconds)
    begin = numbers[:20].tolist()
    sample = vocabulary.decode([*begin, *model.sample(begin, 400, rng, temperature=0.7)])
    print(textwrap.indent(textwrap.fill(sample, 84), "   | "))

    print("4. what happened, plotted")
    made += [options.out / "training.png", options.out / "contributions.png"]
    plots.plot_training(history, MAX_NORM, made[-2])
    plots.plot_contributions(made[-1])

    clipped = np.mean(np.array(history.norms) > MAX_NORM)
    last = np.exp(np.mean(history.losses[-50:]))
    print("5. in short")
    print(
        f"   perplexity {np.exp(history.losses[0]):.1f} at the first update, {last:.2f} at the end"
    )
    print(f"   {clipped:.0%} of {len(history.norms)} gradients were clipped at norm {MAX_NORM:g}")
    print(f"   largest difference between engine and closed form: {difference:.1e}")
    print("   made " + ", ".join(map(str, made)))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m examples.demo", description=__doc__)
    parser.add_argument("--text", metavar="FILE", help="train on this text; Python's own otherwise")
    parser.add_argument("--out", type=Path, default=Path("out"), metavar="FOLDER")
    parser.add_argument("--updates", type=int, default=2500, help="how long to train")
    parser.add_argument("--seconds", type=float, default=35, help="and how long at most")
    return parser.parse_args()


def _save(figure: viz.Figure, path: Path) -> list[Path]:
    paths = [path.with_suffix(".svg"), path.with_suffix(".png")]
    for p in paths:
        figure.save(p)
    return paths


if __name__ == "__main__":
    main()
