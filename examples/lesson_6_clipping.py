"""Lesson 6: clipping, and the cliff.

The smallest recurrent network there is, h_t = w·σ(h_{t−1}) + b with h_0 = 0, has the loss
(σ(h_50) − 0.7)² after 50 steps. Seen over w and b it is flat on either side of a cliff: there the
50-fold product ∏ w σ' explodes. A step of gradient descent that meets the cliff is as long as the
gradient is large, and throws the parameters far away, onto a plain where nothing leads back.
Clipping the norm keeps the direction and limits the length.

From Pascanu, Mikolov & Bengio, "On the difficulty of training recurrent neural networks" (2013).

Expected, from w = 6, b = −2 with the learning rate 2: without clipping one step is 4.2 long, onto
the plain, and the loss stays at 0.09; with the norm clipped at 0.1 no step is longer than 0.2, and
the loss ends below 1e-5. (Not every start meets the cliff. That is what makes it treacherous.)

    python -m examples.lesson_6_clipping
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

import tinygrad_rnn as tg
from examples.lesson import run, save

T, TARGET = 50, 0.7


def loss_of(w: Any, b: Any) -> Any:
    """The loss, for numbers or for whole arrays of them."""
    xs = np.zeros((T, *np.shape(w)))
    _, h = tg.unroll(lambda _, h: w * tg.sigmoid(h) + b, xs, np.zeros(np.shape(w)))
    return (tg.sigmoid(h) - TARGET) ** 2


def descend(clip: float | None, start: tuple[float, float], rate: float, updates: int) -> Any:
    """Gradient descent: the way through (w, b), and the loss and gradient norm on it."""
    parameters = {
        name: tg.Tensor(value, requires_grad=True, name=name)
        for name, value in zip("wb", start, strict=True)
    }
    way = []
    for _ in range(updates):
        loss = loss_of(*parameters.values())
        for p in parameters.values():
            p.grad = None
        loss.backward()
        norm = tg.clip_grad_norm(parameters, clip or np.inf)
        way.append([float(p.data) for p in parameters.values()] + [loss.item(), norm])
        for p in parameters.values():
            p.data = p.data - rate * p.grad
    return np.array(way)


def main(out: Path = Path("out"), small: bool = False) -> dict[str, dict[str, float]]:
    ways = {
        "no clipping": descend(None, (6.0, -2.0), 2.0, 400),
        "norm clipped at 0.1": descend(0.1, (6.0, -2.0), 2.0, 400),
    }
    results = {}
    for name, way in ways.items():
        lengths = np.linalg.norm(np.diff(way[:, :2], axis=0), axis=1)
        results[name] = {
            "largest gradient": float(way[:, 3].max()),
            "longest step": float(lengths.max()),
            "final loss": float(way[-1, 2]),
        }
        print(f"{name:22}" + ", ".join(f"{what} {x:.3g}" for what, x in results[name].items()))
    save(picture(ways, 60 if small else 240), out, "lesson-6-clipping.png")
    return results


def picture(ways: dict[str, Any], resolution: int) -> Any:
    """The loss over w and b, and the two ways through it."""
    figure, axes = tg.analysis.new_figure(6.6, 4.4)
    w, b = np.meshgrid(np.linspace(1, 8, resolution), np.linspace(-4, 2, resolution))
    with tg.no_grad():
        surface = loss_of(w, b).data
    shown = axes.contourf(w, b, surface, levels=24, cmap="Blues")
    figure.colorbar(shown, label="loss")
    for (name, way), colour, mark in zip(ways.items(), ("#D55E00", "#000000"), "o^", strict=True):
        axes.plot(way[:, 0], way[:, 1], "-", marker=mark, color=colour, ms=2.5, lw=0.8, label=name)
        axes.plot(*way[-1, :2], mark, color=colour, mec="white", ms=9, zorder=3)
    axes.plot(6, -2, "s", color="white", mec="black", label="start")
    axes.set(
        xlabel="w",
        ylabel="b",
        title="Steps at the cliff, whole and clipped; the large mark is the end",
    )
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.15), ncols=3, frameon=False)
    return figure


if __name__ == "__main__":
    run(main, __doc__)
