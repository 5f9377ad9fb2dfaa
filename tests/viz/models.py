"""Networks to draw: nothing here says anything about pictures but the names of values."""

from collections.abc import Callable
from typing import Any

import numpy as np

import tinygrad_rnn as tg
from viz.models import recurrent_loss


def parameter(name: str, *shape: int) -> tg.Tensor:
    return tg.Tensor(np.ones(shape) / 10, requires_grad=True, name=name)


def value(name: str, *shape: int) -> tg.Tensor:
    return tg.Tensor(np.ones(shape), name=name)


def labels(name: str) -> tg.Tensor:
    return tg.Tensor(np.array([0, 1]), name=name)


def by_hand(steps: int = 3, layers: int = 2) -> Any:
    """A deep network without a cell or `unroll`, its steps marked with `step`."""
    W_xh = [parameter(f"W_xh^({n + 1})", 4 if n == 0 else 5, 5) for n in range(layers)]
    W_hh = [parameter(f"W_hh^({n + 1})", 5, 5) for n in range(layers)]
    W_hq = parameter("W_hq", 5, 3)
    h = [value(f"h_0^({n + 1})", 2, 5) for n in range(layers)]
    loss: Any = 0.0
    for t in range(steps):
        with tg.step(t):
            x = value(f"x_{t + 1}", 2, 4)
            for n in range(layers):
                x = np.tanh(x @ W_xh[n] + h[n] @ W_hh[n]).named(f"h_{t + 1}^({n + 1})")
                h[n] = x
            o = (x @ W_hq).named(f"o_{t + 1}")
            loss = loss + tg.cross_entropy(o, labels(f"y_{t + 1}"))
    return loss


def lstm_by_hand(steps: int = 3) -> Any:
    """Two states for each step, h_t and c_t."""
    W, U, b, V = parameter("W", 4, 20), parameter("U", 5, 20), parameter("b", 20), parameter("V", 5)
    h, c = value("h_0", 2, 5), value("c_0", 2, 5)
    for t in range(steps):
        with tg.step(t):
            z = value(f"x_{t + 1}", 2, 4) @ W + h @ U + b
            i, f, g, o = (z[:, 5 * k : 5 * k + 5] for k in range(4))
            c = (tg.sigmoid(f) * c + tg.sigmoid(i) * np.tanh(g)).named(f"c_{t + 1}")
            h = (tg.sigmoid(o) * np.tanh(c)).named(f"h_{t + 1}")
    return np.sum(h @ V)


def plain_loop(steps: int = 3) -> Any:
    """A loop as one writes it first: names, and no word of time."""
    W_xh, W_hh, W_hq = parameter("W_xh", 4, 5), parameter("W_hh", 5, 5), parameter("W_hq", 5, 3)
    h = value("h_0", 2, 5)
    loss: Any = 0.0
    for t in range(1, steps + 1):
        h = np.tanh(value(f"x_{t}", 2, 4) @ W_xh + h @ W_hh).named(f"h_{t}")
        o = (h @ W_hq).named(f"o_{t}")
        loss = loss + tg.cross_entropy(o, labels(f"y_{t}"))
    return loss / steps


def own_cell(steps: int = 4) -> Any:
    """A user's function as a cell, a loss with a name at every step, random truncation."""
    w, u = parameter("w", 5), parameter("u", 5)
    links = tg.Randomized.from_links([1, 0, 2.5, 1][:steps])
    states, _ = tg.unroll(
        lambda x, s: np.sin(x * w + s * u), np.ones((steps, 2, 5)), value("s_0", 2, 5), links
    )
    losses = [
        tg.mse(s, value(f"y_{t + 1}", 2, 5)).named(f"l_{t + 1}") for t, s in enumerate(states)
    ]
    return sum(losses[1:], losses[0])


def network() -> Any:
    """Two layers and no time."""
    x = value("x", 2, 4)
    h = tg.relu(x @ parameter("W_1", 4, 5) + parameter("b_1", 5)).named("h")
    o = (h @ parameter("W_2", 5, 3) + parameter("b_2", 3)).named("o")
    return tg.cross_entropy(o, labels("y"))


def tower(depth: int = 6) -> Any:
    """Residual layers: links that skip over what stands between."""
    x = skip = value("x", 2, 4)
    for n in range(depth):
        x = np.tanh(x @ parameter(f"W_{n + 1}", 4, 4) + (skip if n % 2 else 0)).named(f"h_{n + 1}")
        skip = x if n % 2 else skip
    return np.sum(x)


def stacked_states(steps: int = 4) -> Any:
    """One loss over all steps at once, with labels that are a plain array."""
    states, _ = tg.unroll(tg.RNNCell(4, 5, rng=0), np.ones((steps, 2, 4)))
    logits = np.stack(states) @ parameter("W_hq", 5, 3)
    return tg.cross_entropy(logits, np.zeros((steps, 2), int))


def unnamed() -> Any:
    """Two outputs, and nothing has a name."""
    w = tg.Tensor([1.0, 2.0], requires_grad=True)
    return np.sum(w * w), np.tanh(w)


def many_parameters(count: int = 10) -> Any:
    """Values without names: one circle, and all of the parameters beside it."""
    x = value("x", 2, 4)
    y: Any = x
    for n in range(count):
        y = np.tanh(y @ parameter(f"W_{n + 1}", 4, 4))
    return tg.mse(y, x)


def shared_input(steps: int = 3) -> Any:
    """An input that every step uses, and a parameter that feeds two columns."""
    context, W = value("context", 2, 5), parameter("W", 5, 5)
    h = value("h_0", 2, 5)
    loss: Any = 0.0
    for t in range(steps):
        with tg.step(t):
            h = np.tanh(h @ W + context).named(f"h_{t + 1}")
            loss = loss + np.sum((h @ W).named(f"o_{t + 1}"))
    return loss


MODELS: dict[str, Callable[[], Any]] = {
    "rnn": recurrent_loss,
    "rnn_with_bias": lambda: recurrent_loss(bias=True),
    "rnn_five_steps": lambda: recurrent_loss(steps=5),
    "rnn_two_layers": lambda: recurrent_loss(layers=2, bias=True),
    "rnn_subsequence": lambda: recurrent_loss(steps=5, truncation=tg.Subsequence(2)),
    "rnn_window": lambda: recurrent_loss(steps=4, truncation=tg.Window(1)),
    "rnn_one_step": lambda: recurrent_loss(steps=1),
    "rnn_hundred_steps": lambda: recurrent_loss(steps=100),
    "lstm": lambda: recurrent_loss(cell="lstm"),
    "gru_two_layers": lambda: recurrent_loss(cell="gru", layers=2),
    "by_hand": by_hand,
    "lstm_by_hand": lstm_by_hand,
    "plain_loop": plain_loop,
    "own_cell": own_cell,
    "network": network,
    "tower": tower,
    "stacked_states": stacked_states,
    "unnamed": unnamed,
    "shared_input": shared_input,
    "many_parameters": many_parameters,
}


def outputs(name: str) -> tuple[tg.Tensor, ...]:
    made = MODELS[name]()
    return made if isinstance(made, tuple) else (made,)
