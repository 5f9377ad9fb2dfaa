"""The gallery: networks from textbooks, each with the few lines that compute and draw it.

`python -m examples.gallery --out out/gallery` writes every picture. Values are called by their
names; where there is no `tg.unroll`, `tg.step` says when something is computed. Without names and
steps, loops are looked for.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

import tinygrad_rnn as tg
import viz
from viz.models import recurrent_loss

rng = np.random.default_rng


def weight(name: str, *shape: int) -> tg.Tensor:
    """A parameter with a name."""
    values = rng(sum(map(ord, name))).normal(size=shape) / np.sqrt(shape[0])
    return tg.Tensor(values, requires_grad=True, name=name)


def array(name: str, *shape: int) -> tg.Tensor:
    """A value that is given."""
    return tg.Tensor(rng(sum(map(ord, name))).normal(size=shape), name=name)


def textbook() -> viz.Figure:
    """The chapter's figure: a recurrent network with an output and a loss at every step."""
    return viz.draw(recurrent_loss(steps=3))


def many_steps() -> viz.Figure:
    """Twelve steps: one rail for each tied parameter, a comb into the loss."""
    return viz.draw(recurrent_loss(steps=12), fold=None)


def folded() -> viz.Figure:
    """A hundred steps, of which the middle ones are folded."""
    return viz.draw(recurrent_loss(steps=100))


def gradients() -> viz.Figure:
    """What flows back: one strand per loss, and what each loss adds at each step."""
    return viz.draw(recurrent_loss(steps=5), gradients=True)


def chunks() -> viz.Figure:
    """Truncation by chunks: the strands end at the cut."""
    return viz.draw(recurrent_loss(steps=6, truncation=tg.Subsequence(3)), gradients=True)


def windows() -> viz.Figure:
    """Truncation by windows: every loss has a reach of its own."""
    return viz.draw(recurrent_loss(steps=6, truncation=tg.Window(2)))


def compared() -> viz.Figure:
    """The same network under three strategies, with the share of the gradient that is left."""
    strategies = [tg.Full(), tg.Window(1), tg.Randomized.from_links([1, 2, 0, 2])]
    return viz.draw(recurrent_loss(steps=4), compare=strategies, gradients=True)


def numbers() -> viz.Figure:
    """Shapes and numbers in the boxes, as far as the tape keeps them."""
    return viz.draw(recurrent_loss(steps=3), values=True)


def to_the_right() -> viz.Figure:
    """Time running to the right, with a legend."""
    return viz.draw(recurrent_loss(steps=4), direction="right", legend=True)


def lstm() -> viz.Figure:
    """A long short-term memory: c_t has a way of its own."""
    return viz.draw(recurrent_loss(steps=3, cell="lstm"))


def lstm_by_hand() -> viz.Figure:
    """The same from its equations, every gate with its name."""
    W, U, V = weight("W", 4, 12), weight("U", 3, 12), weight("V", 3)
    h, c = array("h_0", 2, 3), array("c_0", 2, 3)
    for t in range(1, 4):
        with tg.step(t - 1):
            gates = array(f"x_{t}", 2, 4) @ W + h @ U
            i, f, o = (
                tg.sigmoid(gates[:, 3 * k : 3 * k + 3]).named(f"{name}_{t}")
                for k, name in enumerate("ifo")
            )
            g = np.tanh(gates[:, 9:]).named(f"g_{t}")
            c = (f * c + i * g).named(f"c_{t}")
            h = (o * np.tanh(c)).named(f"h_{t}")
    return viz.draw(np.sum(h @ V).named("L"))


def two_layers() -> viz.Figure:
    """Two layers of gated recurrent units."""
    return viz.draw(recurrent_loss(steps=3, cell="gru", layers=2))


def bidirectional() -> viz.Figure:
    """Two chains over one column of inputs: forwards in time, and backwards."""
    xs = [array(f"x_{t + 1}", 2, 4) for t in range(4)]
    W_hq = weight("W_hq", 6, 3)
    with tg.scope("forwards"):
        ahead, _ = tg.unroll(tg.RNNCell(4, 3, rng=0), xs)
    with tg.scope("backwards"):
        back, _ = tg.unroll(tg.RNNCell(4, 3, rng=1), xs, reverse=True)
    losses = []
    for t, (h, b) in enumerate(zip(ahead, back, strict=True)):
        with tg.step(t):
            o = (np.concatenate([h, b], axis=1) @ W_hq).named(f"o_{t + 1}")
            losses.append(tg.cross_entropy(o, np.array([0, 1])))
    return viz.draw(sum(losses[1:], losses[0]))


def encoder_decoder() -> viz.Figure:
    """A sequence read into one state, and another one written from it."""
    with tg.scope("encoder"):
        _, code = tg.unroll(tg.RNNCell(4, 3, rng=0), rng(0).normal(size=(3, 2, 4)))
    W_hq = weight("W_hq", 3, 5)
    with tg.scope("decoder"):
        states, _ = tg.unroll(tg.RNNCell(4, 3, rng=1), rng(1).normal(size=(3, 2, 4)), code)
        losses = []
        for t, s in enumerate(states):
            with tg.step(t):
                o = (s @ W_hq).named(f"o_{t + 1}")
                losses.append(tg.cross_entropy(o, np.array([0, 1])))
    return viz.draw(sum(losses[1:], losses[0]))


def attention() -> viz.Figure:
    """A decoder that looks at all of the encoder's states."""
    with tg.scope("encoder"):
        states, s = tg.unroll(tg.RNNCell(4, 3, rng=0), rng(0).normal(size=(3, 2, 4)))
    keys = np.stack(states).named("keys")
    W, W_q = weight("W", 6, 3), weight("W_q", 3, 5)
    losses = []
    with tg.scope("decoder"):
        for t in range(1, 4):
            with tg.step(t - 1):
                a = tg.softmax(np.einsum("tbh,bh->bt", keys, s)).named(f"a_{t}")
                context = np.einsum("bt,tbh->bh", a, keys)
                s = np.tanh(np.concatenate([s, context], axis=1) @ W).named(f"s_{t}")
                losses.append(tg.cross_entropy(s @ W_q, np.array([0, 1])))
    return viz.draw(sum(losses[1:], losses[0]))


def pendulum() -> viz.Figure:
    """No network: a pendulum, and how its end depends on its length and its beginning."""
    length = tg.Tensor(1.0, requires_grad=True, name=r"\ell")
    theta = tg.Tensor(0.5, requires_grad=True, name=r"\theta_0")
    omega = tg.Tensor(0.0, requires_grad=True, name=r"\omega_0")
    for t in range(1, 5):
        with tg.step(t - 1):
            omega = (omega - 0.1 * 9.81 / length * np.sin(theta)).named(rf"\omega_{t}")
            theta = (theta + 0.1 * omega).named(rf"\theta_{t}")
    return viz.draw((theta * theta).named("E"))


def network() -> viz.Figure:
    """No time at all: two layers."""
    x = array("x", 2, 4)
    h = tg.relu(x @ weight("W_1", 4, 5) + weight("b_1", 5)).named("h")
    o = (h @ weight("W_2", 5, 3) + weight("b_2", 3)).named("o")
    return viz.draw(tg.cross_entropy(o, tg.Tensor(np.array([0, 1]), name="y")))


def operations() -> viz.Figure:
    """Every operation of one step of a gated recurrent unit."""
    cell = tg.GRUCell(4, 3, rng=0)
    _, h = tg.unroll(cell, rng(0).normal(size=(1, 2, 4)))
    return viz.draw(h, detail="ops")


def second_derivative() -> viz.Figure:
    """A gradient that is part of the graph: every computation has its way back beside it."""
    cell = tg.RNNCell(4, 3, rng=0)
    states, _ = tg.unroll(cell, rng(0).normal(size=(3, 2, 4)))
    loss = sum(np.sum(h * h) for h in states[1:]) + np.sum(states[0] * states[0])
    (gradient,) = tg.gradients(loss, [cell.W_hh], create_graph=True)
    return viz.draw(np.sum(gradient * gradient).named("S"), legend=True)


def without_names() -> viz.Figure:
    """Nothing has a name here, and no step is marked: loops and their states are found."""
    W, U, V = (tg.Tensor(rng(k).normal(size=(3, 3)), requires_grad=True) for k in range(3))
    h = np.zeros((2, 3))
    states = []
    for x in rng(3).normal(size=(3, 2, 3)):
        h = np.tanh(x @ W + h @ U)
        states.append(h)
    keys = np.stack(states)
    for _ in range(3):
        attention = tg.softmax(np.einsum("tbh,bh->bt", keys, h))
        h = np.tanh(np.einsum("bt,tbh->bh", attention, keys) + h @ V)
    return viz.draw(np.sum(h * h))


class Picture(NamedTuple):
    """A picture of the gallery: what makes it, and what it shows."""

    make: Callable[[], Any]
    title: str

    @property
    def name(self) -> str:
        return self.make.__name__

    @property
    def caption(self) -> str:
        return (self.make.__doc__ or "").strip()


PICTURES = [
    Picture(textbook, "The textbook's figure"),
    Picture(many_steps, "Many steps"),
    Picture(folded, "A hundred steps"),
    Picture(gradients, "Gradients"),
    Picture(chunks, "Chunks"),
    Picture(windows, "Windows"),
    Picture(compared, "Strategies compared"),
    Picture(numbers, "Numbers"),
    Picture(to_the_right, "Time to the right"),
    Picture(lstm, "LSTM"),
    Picture(lstm_by_hand, "LSTM by hand"),
    Picture(two_layers, "Two layers"),
    Picture(bidirectional, "Bidirectional network"),
    Picture(encoder_decoder, "Encoder and decoder"),
    Picture(attention, "Attention"),
    Picture(pendulum, "A pendulum"),
    Picture(network, "A network without time"),
    Picture(operations, "Every operation"),
    Picture(second_derivative, "A second derivative"),
    Picture(without_names, "Without names"),
]


def main() -> None:
    """Write every picture."""
    parser = argparse.ArgumentParser(description="write the pictures of the gallery")
    parser.add_argument("--out", type=Path, default=Path("out/gallery"), help="the folder")
    folder = parser.parse_args().out
    for picture in PICTURES:
        print(picture.make().save(folder / f"{picture.name}.svg"))


if __name__ == "__main__":
    main()
