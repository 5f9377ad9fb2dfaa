"""Cells that between them use every part of the compiler, each with a sequence to run it on."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import numpy as np

import tinygrad_rnn as tg
from tinygrad_rnn.compiler.frontend.captures import CellKey
from tinygrad_rnn.compiler.frontend.request import Sequence, prepared
from tinygrad_rnn.compiler.ir import StepGraph, Value, ordered
from tinygrad_rnn.compiler.runtime.program import Program, step_graph
from tinygrad_rnn.training.cell_with_loss import CellWithLoss

T, B, D, H, Q = 6, 2, 3, 4, 5


class Case(NamedTuple):
    """The arguments of one scan. loss_alone: compile it as training does, where the caller gives a
    gradient to the loss alone."""

    cell: Any
    xs: Any
    state: Any = None
    truncation: Any = None
    reset: Any = None
    loss_alone: bool = False


CASES: dict[str, Callable[[], Case]] = {}


def case(make: Callable[[], Case]) -> Callable[[], Case]:
    CASES[make.__name__] = make
    return make


def rng() -> np.random.Generator:
    return np.random.default_rng(7)


def inputs(batch: int = B, width: int = D, dtype: Any = np.float64) -> Any:
    return rng().standard_normal((T, batch, width)).astype(dtype)


def weight(*shape: int, name: str | None = None, dtype: Any = np.float64) -> tg.Tensor:
    values = (np.random.default_rng(sum(shape)).standard_normal(shape) / 2).astype(dtype)
    return tg.Tensor(values, requires_grad=True, name=name)


def state(*shape: int, name: str = "h_0", grad: bool = True) -> tg.Tensor:
    return tg.Tensor(rng().standard_normal(shape), requires_grad=grad, name=name)


def with_loss(cell: Any, batch: int = B, loss_alone: bool = False, **options: Any) -> Case:
    W_hq, b_q = weight(H, Q, name="W_hq"), weight(Q, name="b_q")
    model = CellWithLoss(cell, lambda h, y: tg.cross_entropy(h @ W_hq + b_q, y))
    labels = rng().integers(0, Q, (T, batch))
    return Case(model, {"x": inputs(batch), "y": labels}, loss_alone=loss_alone, **options)


# The cells of the package ---------------------------------------------------------------------


@case
def rnn() -> Case:
    return Case(tg.RNNCell(D, H, rng=0), inputs())


@case
def rnn_float32() -> Case:
    return Case(tg.RNNCell(D, H, rng=0, dtype=np.float32), inputs(dtype=np.float32))


@case
def linear_rnn() -> Case:
    return Case(tg.RNNCell(D, H, "identity", bias=False, rng=0), inputs())


@case
def relu_rnn_of_tensors() -> Case:
    xs = tg.Tensor(inputs(), requires_grad=True)
    return Case(tg.RNNCell(D, H, "relu", rng=0), xs, state(B, H))


@case
def lstm() -> Case:
    return Case(tg.LSTMCell(D, H, rng=0), inputs())


@case
def gru() -> Case:
    return Case(tg.GRUCell(D, H, rng=0), inputs())


@case
def stacked() -> Case:
    cells = tg.LSTMCell(D, H, rng=0), tg.RNNCell(H, H, rng=1)
    return Case(tg.Stacked(cells), inputs())


@case
def rnn_one_row() -> Case:
    return Case(tg.RNNCell(D, H, rng=0), inputs(1))


@case
def lstm_one_row() -> Case:
    return Case(tg.LSTMCell(D, H, rng=0), inputs(1))


@case
def gru_one_row() -> Case:
    return Case(tg.GRUCell(D, H, rng=0), inputs(1))


@case
def rnn_large_batch() -> Case:
    return Case(tg.RNNCell(D, 8, rng=0), inputs(1024))


# With a loss at each step ---------------------------------------------------------------------


@case
def loss_scanned() -> Case:
    return with_loss(tg.RNNCell(D, H, rng=0))


@case
def loss_alone() -> Case:
    return with_loss(tg.RNNCell(D, H, rng=0), loss_alone=True)


@case
def loss_alone_one_row() -> Case:
    return with_loss(tg.RNNCell(D, H, rng=0), batch=1, loss_alone=True)


@case
def loss_alone_lstm() -> Case:
    return with_loss(tg.LSTMCell(D, H, rng=0), loss_alone=True)


@case
def loss_alone_lstm_one_row() -> Case:
    return with_loss(tg.LSTMCell(D, H, rng=0), batch=1, loss_alone=True)


@case
def loss_alone_window() -> Case:
    return with_loss(tg.GRUCell(D, H, rng=0), loss_alone=True, truncation=tg.Window(2))


# Truncations and resets -----------------------------------------------------------------------


@case
def window() -> Case:
    return Case(tg.RNNCell(D, H, rng=0), inputs(), truncation=tg.Window(2))


@case
def window_lstm() -> Case:
    return Case(tg.LSTMCell(D, H, rng=0), inputs(), truncation=tg.Window(1))


@case
def subsequence() -> Case:
    return Case(tg.RNNCell(D, H, rng=0), inputs(), truncation=tg.Subsequence(3))


@case
def links_of_each_sequence() -> Case:
    xi = np.arange(T * B).reshape(T, B) % 3 / 1.0
    truncation = tg.Randomized.from_links(xi[1:])
    return Case(tg.RNNCell(D, H, rng=0), inputs(), truncation=truncation)


@case
def resets() -> Case:
    rows = np.zeros((T, B), bool)
    rows[2, 0] = rows[4, 1] = True
    return Case(tg.LSTMCell(D, H, rng=0), inputs(), reset=rows)


# Cells of a user's own ------------------------------------------------------------------------


@case
def gated() -> Case:
    U, b = weight(H, H, name="U"), weight(H, name="b")

    def cell(x: Any, h: Any) -> Any:
        gate = tg.sigmoid(h @ U + b)
        candidate = np.tanh(gate * h + x)
        return gate * h + (1 - gate) * candidate

    return Case(cell, inputs(width=H), state(B, H))


@case
def separate_gates_one_row() -> Case:
    weights = {name: weight(H, H, name=name) for name in ("W_z", "W_r", "W_n", "U_z", "U_r", "U_n")}

    def cell(x: Any, h: Any) -> Any:
        z = tg.sigmoid(x @ weights["W_z"] + h @ weights["U_z"])
        r = tg.sigmoid(x @ weights["W_r"] + h @ weights["U_r"])
        n = np.tanh(x @ weights["W_n"] + (r * h) @ weights["U_n"])
        return z * h + (1 - z) * n

    return Case(cell, inputs(1, H), state(1, H))


@case
def two_outputs() -> Case:
    A, C = weight(H, Q, name="A"), weight(H, D, name="C")

    def loss(h: Any, y: Any) -> Any:
        return tg.cross_entropy(h @ A, y) + np.sum((h @ C) ** 2)

    labels = rng().integers(0, Q, (T, B))
    model = CellWithLoss(tg.RNNCell(D, H, rng=0), loss)
    return Case(model, {"x": inputs(), "y": labels}, loss_alone=True)


@case
def tied_weights() -> Case:
    W = weight(H, H, name="W")

    def cell(x: Any, h: Any) -> Any:
        return np.tanh(np.tanh(h @ W + x) @ W.T + x @ W)

    return Case(cell, inputs(width=H), state(B, H))


@case
def dict_state() -> Case:
    W, V = weight(H, H, name="W"), weight(D, H, name="V")

    def cell(x: Any, s: Any) -> Any:
        h = np.tanh(x @ V + s["h"] @ W + s["slow"])
        return {"h": h, "slow": 0.9 * s["slow"] + 0.1 * h}

    return Case(cell, inputs(), {"h": state(B, H), "slow": state(B, H, name="slow_0")})


@case
def masked() -> Case:
    W = weight(H, H, name="W")

    def cell(given: Any, h: Any) -> Any:
        new = np.tanh(given["x"] + h @ W)
        return np.where(given["mask"], new, h)

    mask = rng().random((T, B, 1)) > 0.3
    return Case(cell, {"x": inputs(width=H), "mask": mask}, state(B, H))


@case
def embedded() -> Case:
    E, W = weight(7, H, name="E"), weight(H, H, name="W")

    def cell(token: Any, h: Any) -> Any:
        return np.tanh(E[token] + h @ W)

    return Case(cell, rng().integers(0, 7, (T, B)), state(B, H))


@case
def attention() -> Case:
    W, q = weight(H, H, name="W"), weight(H, name="q")

    def cell(x: Any, s: Any) -> Any:
        h, memory = s
        scores = memory @ q
        weights = tg.softmax(scores)
        context = np.sum(weights[..., None] * memory, axis=1)
        new = np.tanh(x + h @ W + context)
        return new, np.concatenate([memory[:, 1:], new[:, None]], axis=1)

    return Case(cell, inputs(width=H), (state(B, H), state(B, 3, H, name="memory_0")))


@case
def layer_norm() -> Case:
    W, gain = weight(H, H, name="W"), weight(H, name="gain")

    def cell(x: Any, h: Any) -> Any:
        z = h @ W + x
        centred = z - np.mean(z, axis=-1, keepdims=True)
        spread = np.mean(np.square(centred), axis=-1, keepdims=True)
        return np.tanh(gain * centred / np.sqrt(spread + 1e-5))

    return Case(cell, inputs(width=H), state(B, H))


@case
def nothing_read() -> Case:
    W = weight(D, H, name="W")
    return Case(lambda x, h: np.tanh(x @ W), inputs(), state(B, H))


@case
def einsum() -> Case:
    W = weight(2, H, H, name="W")

    def cell(x: Any, h: Any) -> Any:
        return np.tanh(x + np.einsum("bi,kij->bj", h, W))

    return Case(cell, inputs(width=H), state(B, H))


@case
def flipped() -> Case:
    """A call whose result is a view, though nobody says so."""
    W = weight(H, H, name="W")

    def cell(x: Any, h: Any) -> Any:
        turned = np.flip(h @ W, -1)
        return np.tanh(turned * x + (turned + h))

    return Case(cell, inputs(width=H), state(B, H))


@case
def turned() -> Case:
    """The rows of a transposed gradient, which are a copy."""
    W, v = weight(H, B, name="W"), weight(H, name="v")

    def cell(x: Any, h: Any) -> Any:
        a = h * v
        return np.tanh((a @ W).T) @ W.T + a * x

    return Case(cell, inputs(width=H), state(B, H))


@case
def vector_state() -> Case:
    W, U = weight(D, H, name="W"), weight(H, H, name="U")
    return Case(lambda x, h: np.tanh(x @ W + h @ U), rng().standard_normal((T, D)), state(H))


@case
def computed_weight() -> Case:
    W, scale = weight(H, H, name="W"), weight(H, name="scale")
    return Case(lambda x, h: np.tanh(h @ (W * scale) + x), inputs(width=H), state(B, H))


@case
def output_layer() -> Case:
    cell, V = tg.RNNCell(D, H, rng=0), weight(H, Q, name="V")

    def step(x: Any, s: Any) -> Any:
        h = cell(x, s[0])
        return h, h @ V

    return Case(step, inputs(), (state(B, H), state(B, Q, name="o_0", grad=False)))


def sequence_of(arguments: Case) -> Sequence:
    return prepared(
        arguments.cell,
        arguments.xs,
        arguments.state,
        arguments.truncation,
        arguments.reset,
        loss_alone=arguments.loss_alone,
    )


def program_of(arguments: Case) -> Program:
    return Program(sequence_of(arguments), CellKey(arguments.cell))


def graph_of(
    cell: Any, xs: Any, state: Any = None, truncation: Any = None, loss_alone: bool = False
) -> StepGraph:
    """The step graph of a cell, before any pass."""
    case = Case(cell, xs, state, truncation, loss_alone=loss_alone)
    return step_graph(sequence_of(case), CellKey(cell))


def functions_of(values: Iterable[Value]) -> list[str]:
    """The names of the functions that are called, in order."""
    return [value.function.__name__ for value in ordered(values) if value.function is not None]
