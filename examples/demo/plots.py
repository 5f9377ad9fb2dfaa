"""What happened, as pictures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.ticker import LogLocator, NullFormatter

import tinygrad_rnn as tg
from examples.demo.language_model import History
from tinygrad_rnn.analysis import step_contributions
from tinygrad_rnn.analysis.pictures import COLOURS, new_figure, styles

BLUE, ORANGE, GREY = *COLOURS[:2], "0.6"


def plot_training(history: History, max_norm: float, path: Path) -> None:
    """Perplexity, and the norm of the gradient before clipping, with the threshold."""
    figure, _ = new_figure(7.2, 5.2, axes=False)
    above, below = figure.subplots(2, 1, sharex=True)
    updates = np.arange(1, len(history.losses) + 1)
    window = min(50, len(updates))
    smooth = np.convolve(history.losses, np.ones(window) / window, mode="valid")
    above.semilogy(updates, np.exp(history.losses), color=GREY, lw=0.5, label="each chunk")
    mean = f"mean of the last {window}"
    above.semilogy(updates[window - 1 :], np.exp(smooth), color=BLUE, label=mean)
    above.set(ylabel="perplexity")
    above.set_title("Training: perplexity falls; clipping holds what is above the threshold")
    below.semilogy(updates, history.norms, color=GREY, lw=0.5, label="before clipping")
    below.axhline(max_norm, color=ORANGE, lw=1.2, label=f"threshold {max_norm:g}")
    below.set(xlabel="update", ylabel="norm of the gradient")
    for axes in (above, below):
        axes.legend(frameon=False, fontsize=8, loc="upper left", bbox_to_anchor=(1, 1))
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.yaxis.set_major_formatter("{x:g}")
        axes.yaxis.set_minor_formatter(NullFormatter())
        axes.grid(True, color="0.92")
        axes.set_axisbelow(True)
    figure.savefig(path)


STEPS, CHUNK = 60, 20


def plot_contributions(path: Path) -> None:
    """‖contribution of step s to ∂L/∂W_hh‖ for the loss at the last of 60 steps."""
    figure, _ = new_figure(9.6, 4.0, axes=False)
    panels = figure.subplots(1, 2)
    cases = [("vanishing", 0.75), ("exploding", 2.5)]
    for axes, (title, gain) in zip(panels, cases, strict=True):
        for truncation, style, look in zip(
            (tg.Full(), tg.Subsequence(CHUNK)),
            styles(),
            ({"ms": 3}, {"ms": 5, "mfc": "none"}),  # one lies on the other: it is hollow
            strict=False,
        ):
            norms = last_loss_contributions(gain, truncation)
            s = np.arange(1, STEPS + 1)
            visible = np.where(norms > 0, norms, np.nan)
            axes.semilogy(s, visible, lw=1, label=repr(truncation), **style, **look)
        for cut in range(CHUNK, STEPS, CHUNK):
            axes.axvline(cut + 0.5, color=GREY, lw=0.8, ls=":")
        axes.set(
            xlabel="step s",
            ylabel="norm of step s's contribution to ∂L/∂W_hh",
            title=f"{title}: entries of W_hh of size {gain:g} / √64",
        )
        axes.grid(True, color="0.92")
    figure.suptitle(f"What step s adds for the loss at step {STEPS}; dotted: where chunks are cut")
    shown = panels[0].get_legend_handles_labels()
    figure.legend(*shown, loc="outside lower center", ncols=2, frameon=False)
    figure.savefig(path)


def last_loss_contributions(gain: float, truncation: Any) -> Any:
    """For L = ½‖h_60‖² of a tanh network with random weights W_hh ~ N(0, gain² / 64).

    Below a gain of 1 every step back shrinks the gradient. Well above it the network is chaotic:
    the states stay bounded, and yet small differences, and with them gradients, grow from step to
    step. Sompolinsky, Crisanti & Sommers (1988), "Chaos in random neural networks".
    """
    rng = np.random.default_rng(0)
    cell = tg.RNNCell(4, 64, bias=False, rng=rng)
    cell.W_hh.data = rng.normal(0, gain / np.sqrt(64), (64, 64))
    states, _ = tg.unroll(cell, rng.normal(size=(STEPS, 1, 4)), truncation=truncation)
    loss = np.sum(np.square(states[-1])) / 2
    contributions = step_contributions(loss, cell.W_hh, STEPS)
    return np.linalg.norm(contributions, axis=(1, 2))
