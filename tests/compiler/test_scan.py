"""`scan` is `unroll`, compiled: same values and gradients, for any cell, state and truncation."""

from __future__ import annotations

import cProfile
import itertools
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tinygrad_rnn as tg
from tests.recurrent.own_strategies import for_all, for_each
from tinygrad_rnn.compiler.frontend.refusals import TraceError
from tinygrad_rnn.engine.trees import flatten

T, B, D, H = 7, 3, 3, 4


def parameter(*shape: int, seed: int = 0, name: str | None = None) -> tg.Tensor:
    rng = np.random.default_rng([seed, *shape])
    return tg.Tensor(0.5 * rng.standard_normal(shape), requires_grad=True, name=name)


def stacked(states: Any) -> list[Any]:
    if isinstance(states, list):  # of unroll: one state per step
        return [np.stack(steps) for steps in zip(*map(flatten, states), strict=True)]
    return flatten(states)


def outcome(
    run: Callable[..., Any],
    cell: Any,
    xs: Any,
    state: Any,
    parameters: list[tg.Tensor],
    **options: Any,
) -> list[Any]:
    """Loss, states and all gradients; the loss weighs every entry, and bends the last state."""
    inputs = [*parameters, *flatten(state), *([xs] if isinstance(xs, tg.Tensor) else [])]
    for tensor in inputs:
        if isinstance(tensor, tg.Tensor):
            tensor.grad = None
    states, last = run(cell, xs, state, **options)
    rng = np.random.default_rng(5)
    loss: Any = sum(np.sum(np.sin(part)) for part in flatten(last))
    for part in stacked(states):
        loss = loss + np.sum(part * rng.standard_normal(part.shape))
    loss.backward()
    values = [np.array(part.data) for part in stacked(states)]
    gradients = [t.grad for t in inputs if isinstance(t, tg.Tensor) and t.requires_grad]
    return [loss.data, *values, *gradients]


def compare(
    cell: Any, state: Any, parameters: list[tg.Tensor], xs: Any = None, **options: Any
) -> None:
    if xs is None:
        xs = parameter(T, B, D, seed=9)
    expected = outcome(tg.unroll, cell, xs, state, parameters, **options)
    got = outcome(tg.scan, cell, xs, state, parameters, **options)
    for mine, theirs in zip(got, expected, strict=True):
        if mine is None or theirs is None:
            assert not np.any(mine) and not np.any(theirs)
        else:
            assert mine.shape == theirs.shape and mine.dtype == theirs.dtype
            scale = max(1.0, float(np.max(np.abs(theirs))))
            np.testing.assert_allclose(mine, theirs, rtol=0, atol=1e-12 * scale)


def state_of(cell: Any) -> Any:
    h, c = parameter(B, H, seed=1), parameter(B, H, seed=2)
    if isinstance(cell, tg.Stacked):
        return tuple(state_of(layer) for layer in cell.cells)
    return (h, c) if isinstance(cell, tg.LSTMCell) else h


CELLS: dict[str, Callable[[], Any]] = {
    "tanh": lambda: tg.RNNCell(D, H, rng=0),
    "relu": lambda: tg.RNNCell(D, H, "relu", rng=0),
    "linear": lambda: tg.RNNCell(D, H, "identity", rng=0),
    "without bias": lambda: tg.RNNCell(D, H, bias=False, rng=0),
    "lstm": lambda: tg.LSTMCell(D, H, rng=0),
    "gru": lambda: tg.GRUCell(D, H, rng=0),
    "stacked": lambda: tg.Stacked([tg.RNNCell(D, H, rng=0), tg.LSTMCell(H, H, rng=1)]),
}

STRATEGIES = [
    tg.Full(),
    tg.Subsequence(3),
    tg.Subsequence([2, 3, 4]),
    tg.Randomized.from_links([0, 2.0, 1, 1, 3, 0]),
    tg.Randomized.from_links(np.arange(18).reshape(6, 3) % 4 / 2),
    tg.Window(0),
    tg.Window(2),
    tg.Window(20),
    tg.Window([1, 2, 3]),
    tg.TBPTT(2, 3),
    tg.TBPTT(3, 3),
    tg.TBPTT([1, 2, 3], [4, 4, 3]),
    *for_all(T),
    *for_each(T, B),
    tg.Windows([0, 1, 0, 2, 2, 0, 6]),
]


@pytest.mark.parametrize("truncation", STRATEGIES, ids=repr)
@pytest.mark.parametrize("name", CELLS)
def test_built_in_cells_under_every_truncation(name: str, truncation: Any) -> None:
    cell = CELLS[name]()
    state = state_of(cell)
    compare(cell, state, list(cell.parameters().values()), truncation=truncation)


@pytest.mark.parametrize("truncation", [tg.Full(), tg.Subsequence(2), tg.Window(2)], ids=repr)
def test_reset(truncation: Any) -> None:
    cell = tg.LSTMCell(D, H, rng=0)
    rows = np.random.default_rng(0).random((T, B)) < 0.4
    compare(
        cell, state_of(cell), list(cell.parameters().values()), truncation=truncation, reset=rows
    )


W, U, V, b = parameter(D, H), parameter(H, H), parameter(H, H, seed=1), parameter(H)
joined = parameter(D + H, H)
diagonal, offset, number = parameter(H, seed=3), parameter(1), parameter()
embedding = parameter(5, H)
mask = np.array([[1.0, 0, 1, 0]] * H)


def layer_norm(x: Any, h: Any) -> Any:
    a = x @ W + h @ U
    a = a - np.mean(a, axis=-1, keepdims=True)
    return np.tanh(a / np.sqrt(np.mean(a * a, axis=-1, keepdims=True) + 1e-5) * diagonal + b)


def two_layers(x: Any, state: Any) -> Any:
    lower = np.tanh(x @ W + state[0] @ U)
    return lower, np.tanh(lower @ V + state[1] @ U)


classes = np.arange(B) % H

USERS_CELLS: dict[str, tuple[Any, Any, list[tg.Tensor], Any]] = {
    "concatenated": (
        lambda x, h: np.tanh(np.concatenate([x, h], axis=1) @ joined),
        (B, H), [joined], None,
    ),
    "diagonal": (
        lambda x, h: np.tanh(x[:, :1] * b + h * diagonal + offset),
        (B, H), [b, diagonal, offset], None,
    ),
    "dict, one part fed by the other": (
        lambda x, s: {"a": np.tanh(x @ W + s["b"] @ U), "b": s["a"] * 0.5},
        {"a": (B, H), "b": (B, H)}, [W, U], None,
    ),
    "parts that change places": (
        lambda x, s: (s[1], np.tanh(x @ W + s[0] @ U)),
        ((B, H), (B, H)), [W, U], None,
    ),
    "two layers": (two_layers, ((B, H), (B, H)), [W, U, V], None),
    "blind to its state": (lambda x, h: np.tanh(x @ W), (B, H), [W], None),
    "blind to its input": (lambda x, h: np.tanh(h @ U), (B, H), [U], None),
    "nothing at all": (lambda x, h: h, (B, H), [], None),
    "embedding": (
        lambda x, h: np.tanh(embedding[x] + h @ U),
        (B, H), [embedding, U], np.random.default_rng(0).integers(0, 5, (T, B)),
    ),
    "vectors": (lambda x, h: np.tanh(x @ W + h @ U), (H,), [W, U], parameter(T, D)),
    "vectors from the left": (lambda x, h: np.tanh(U @ h + x @ W), (H,), [W, U], parameter(T, D)),
    "numbers": (lambda x, h: np.tanh(number * h + x), (), [number], parameter(T)),
    "layer norm": (layer_norm, (B, H), [W, U, diagonal, b], None),
    "where": (
        lambda x, h: np.where(x @ W > 0, 0.9 * h, np.tanh(h @ U)), (B, H), [U], None,
    ),
    "weights computed inside": (
        lambda x, h: np.tanh(x @ W + h @ (np.tanh(U) * mask)), (B, H), [W, U], None,
    ),
    "residual": (lambda x, h: h + np.maximum(x @ W + h @ U, 0.1 * h), (B, H), [W, U], None),
    "softmax": (lambda x, h: tg.softmax(x @ W + h @ U), (B, H), [W, U], None),
    "a loss at every step": (
        lambda x, s: (
            h := np.tanh(x @ W + s[0] @ U),
            s[1] + tg.cross_entropy(h * diagonal, (x[:, 0] > 0).astype(int)),
        ),
        ((B, H), ()), [W, U, diagonal], None,
    ),
    "a loss at some steps": (
        lambda x, s: (np.tanh(s[0] @ U + x @ W), s[1] + tg.cross_entropy(s[0], classes)),
        ((B, H), ()), [W, U], None,
    ),
    "einsum": (
        lambda x, h: np.tanh(np.einsum("bd,dh->bh", x, W) + np.einsum("bi,ij->bj", h, U)),
        (B, H), [W, U], None,
    ),
    "outer product as memory": (
        lambda x, s: 0.9 * s + x[:, :, None] * x[:, None, :] * offset, (B, D, D), [offset], None,
    ),
}  # fmt: skip


@pytest.mark.parametrize("truncation", [tg.Full(), tg.Subsequence(3), tg.Window(2)], ids=repr)
@pytest.mark.parametrize("name", USERS_CELLS)
def test_users_cells(name: str, truncation: Any) -> None:
    cell, shapes, parameters, xs = USERS_CELLS[name]

    def made(shape: Any) -> Any:
        if isinstance(shape, dict):
            return {key: made(part) for key, part in shape.items()}
        if shape and isinstance(shape[0], tuple):
            return tuple(made(part) for part in shape)
        return parameter(*shape, seed=7)

    compare(cell, made(shapes), parameters, xs, truncation=truncation)


def test_float32_stays_float32() -> None:
    cell = tg.RNNCell(D, H, rng=0, dtype=np.float32)
    xs = np.ones((T, B, D), np.float32)
    states, last = tg.scan(cell, xs, truncation=tg.Subsequence(2))
    np.sum(states).backward()
    assert states.dtype == last.dtype == cell.W_hh.grad.dtype == np.float32


def test_program_is_kept_and_follows_what_the_cell_carries() -> None:
    scale, weight = 2.0, parameter(H, H, seed=4)

    class Cell:
        def __init__(self) -> None:
            self.scale, self.weight = scale, weight

        def __call__(self, x: Any, h: Any) -> Any:
            return np.tanh(x @ W + self.scale * (h @ self.weight))

    cell, state = Cell(), parameter(B, H)
    compare(cell, state, [weight])
    weight.data = weight.data * 0.5  # an optimizer's step
    compare(cell, state, [weight])
    cell.scale = -1.0  # another program
    compare(cell, state, [weight])
    cell.weight = parameter(H, H, seed=8)  # the same program, another Tensor
    compare(cell, state, [cell.weight])
    weight.data = weight.data * 3.0
    compare(cell, state, [cell.weight])


@pytest.mark.parametrize("truncation", [tg.Full(), tg.Subsequence(2), tg.Window(2)], ids=repr)
@pytest.mark.parametrize("name", ["tanh", "lstm", "gru"])
def test_hessian_vector_products(name: str, truncation: Any) -> None:
    cell = CELLS[name]()
    xs, direction = parameter(T, B, D, seed=3).data, parameter(*cell.W_hh.shape, seed=5).data

    def loss(run: Callable[..., Any]) -> Callable[[Any], Any]:
        def of_weights(W_hh: Any) -> Any:
            cell.W_hh = W_hh
            states, _ = run(cell, xs, truncation=truncation)
            first = stacked(states)[0]
            return np.sum(first * first * first)

        return of_weights

    weights = cell.W_hh.data
    expected, got = (tg.hvp(loss(run), weights, direction) for run in (tg.unroll, tg.scan))
    # Tensors, for the cell has other parameters on which they depend.
    np.testing.assert_allclose(got.data, expected.data, rtol=0, atol=1e-12)


def test_values_decide_in_python() -> None:
    def cell(x: Any, h: Any) -> Any:
        return h if np.sum(h) > 0 else np.tanh(x @ W)

    with pytest.raises(TraceError, match=r"test_scan.py, line \d+.*np.where.*tg.unroll"):
        tg.scan(cell, np.ones((T, B, D)), np.zeros((B, H)))
    expected, _ = tg.unroll(cell, np.ones((T, B, D)), np.zeros((B, H)))
    states, last = tg.scan(cell, np.ones((T, B, D)), np.zeros((B, H)), fallback=True)
    np.testing.assert_array_equal(states.data, np.stack([s.data for s in expected]))
    np.testing.assert_array_equal(last.data, expected[-1].data)


def test_a_tensor_that_the_cell_hides() -> None:
    hidden = itertools.repeat(parameter(H, H))

    with pytest.raises(TraceError, match="cannot be found from the cell"):
        tg.scan(lambda x, h: np.tanh(h @ next(hidden)), np.ones((T, B, D)), np.zeros((B, H)))


def test_a_tensor_that_a_method_reaches() -> None:
    weights = {"W": parameter(H, H)}

    class Holding:
        def turn(self, h: Any) -> Any:
            return np.tanh(h @ weights["W"])

    holding = Holding()
    compare(lambda x, h: holding.turn(h), parameter(B, H), [weights["W"]])


def test_random_numbers_are_not_drawn_once_for_all_steps() -> None:
    rng = np.random.default_rng(0)

    def noisy(x: Any, h: Any) -> Any:
        return np.tanh(x @ W + h + 0.1 * rng.standard_normal(h.shape))

    def jumpy(x: Any, h: Any) -> Any:
        return np.tanh(x @ W + float(rng.random()) * h)

    for cell in (noisy, jumpy):
        with pytest.raises(TraceError, match="draws random numbers"):
            tg.scan(cell, np.ones((T, B, D)), np.zeros((B, H)))


def test_arrays_made_inside_and_carried_along() -> None:
    window = np.linspace(0, 1, H)

    def cell(x: Any, h: Any) -> Any:
        return np.tanh(x @ W + (h * window) @ U) * np.array([1.0, 2.0, 3.0, 4.0])

    state = parameter(B, H, seed=3)
    compare(cell, state, [W, U])
    window *= 0.5  # written into: the next run sees it
    compare(cell, state, [W, U])


def test_wrong_shapes() -> None:
    cell = tg.RNNCell(D, H, rng=0)
    with pytest.raises(ValueError, match=r"\(T, batch, 3\).*\(3,\)"):
        tg.scan(cell, np.ones((T, D)))
    with pytest.raises(ValueError, match=r"given a state of shape .*returned one of shape"):
        tg.scan(lambda x, h: h @ W.data.T, np.ones((T, B, D)), np.ones((B, H)))
    with pytest.raises(TypeError, match="initial_state"):
        tg.scan(lambda x, h: h, np.ones((T, B, D)))


def test_one_dtype() -> None:
    cell = tg.RNNCell(D, H, rng=0, dtype=np.float32)
    for run in (tg.unroll, tg.scan):
        with pytest.raises(TypeError, match=r"float32 and returned one of float64.*astype"):
            run(cell, np.ones((T, B, D)))


def test_no_steps() -> None:
    cell = tg.LSTMCell(D, H, rng=0)
    state = cell.initial_state(B)
    states, last = tg.scan(cell, np.ones((0, B, D)), state)
    assert [part.shape for part in states] == [(0, B, H)] * 2
    assert all(np.array_equal(a.data, b.data) for a, b in zip(last, state, strict=True))


@pytest.mark.usefixtures("source_of_numpy")
def test_source_runs_by_itself() -> None:
    cell = tg.LSTMCell(D, H, rng=0)
    xs = parameter(T, B, D, seed=2)
    (states, _), _ = tg.scan(cell, xs)
    weights = np.random.default_rng(1).standard_normal(states.shape)
    np.sum(states * weights).backward()
    namespace: dict[str, Any] = {}
    exec(compile(tg.scan_source(cell, xs), "pasted.py", "exec"), namespace)
    forward, backward = namespace["program"](T)
    zeros = np.zeros((B, H))
    given = (xs.data, *(p.data for p in cell.parameters().values()))
    alone = forward(zeros, zeros, *given)
    np.testing.assert_array_equal(alone[0], states.data)
    gradients = backward(0, 0, weights, np.zeros_like(weights), *given)
    expected = [xs.grad, *(p.grad for p in cell.parameters().values())]
    for mine, theirs in zip(gradients[2:], expected, strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=1e-13, atol=1e-14)


@pytest.mark.usefixtures("source_of_numpy")
def test_source_of_the_chapters_linear_network() -> None:
    source = tg.scan_source(tg.RNNCell(D, H, "identity", bias=False), np.ones((T, B, D)))
    for line in (
        "h_prev.dot(W_hh, ",
        "dh_t.dot(W_hh_T, dh_link)",
        "dW_xh = rows(x).T @ rows(dh)",
        "dW_hh = rows(h_before).T @ rows(dh)",
    ):
        assert line in source
    assert sum(line.strip().startswith("for ") for line in source.splitlines()) == 2


def test_second_derivatives_of_a_loss_that_is_linear_in_the_states() -> None:
    cell = tg.RNNCell(3, 4, rng=0)
    xs = np.random.default_rng(0).normal(size=(4, 2, 3))
    v = np.random.default_rng(1).normal(size=xs.shape)
    compiled = tg.hvp(lambda x: np.sum(tg.scan(cell, x)[0]), xs, v)
    recorded = tg.hvp(lambda x: np.sum(np.stack(tg.unroll(cell, x)[0])), xs, v)
    assert np.abs(recorded).max() > 0.01
    np.testing.assert_allclose(compiled, recorded, rtol=0, atol=1e-13)


def test_the_parts_of_a_state_are_named_without_a_step() -> None:
    stacked = tg.Stacked([tg.RNNCell(3, 4, rng=0), tg.RNNCell(4, 4, rng=1)])
    states, _ = tg.scan(stacked, np.ones((5, 2, 3)))
    assert [h.name for h in states] == ["h^(1)", "h^(2)"]  # h_1 would be the state of step 1
    assert "def forward(h_1_0, h_2_0, x, " in tg.scan_source(stacked, np.ones((5, 2, 3)))

    def cell(x: Any, state: Any) -> Any:
        return {"v": state["v"] * W + x, "rest": [state["rest"][0] + state["v"], state["rest"][1]]}

    W, h = tg.Tensor(np.ones(3), requires_grad=True), np.ones((2, 3))
    states, _ = tg.scan(cell, np.ones((5, 2, 3)), {"v": h, "rest": [h, h]})
    assert [states["v"].name, *(s.name for s in states["rest"])] == ["v", "rest^(1)", "rest^(2)"]


def test_under_a_profiler_that_is_no_function() -> None:
    """cProfile's, on Python 3.11; a program is written, and the profiler goes on."""
    cell, profile = tg.RNNCell(3, 4, rng=0), cProfile.Profile()
    expected, _ = tg.unroll(cell, np.ones((5, 2, 3)))
    profile.enable()
    try:
        states, _ = tg.scan(cell, np.ones((5, 2, 3)))
        math.hypot(3, 4)
    finally:
        profile.disable()
    np.testing.assert_allclose(states.data[-1], expected[-1].data, rtol=0, atol=1e-14)
    assert any("hypot" in str(entry.code) for entry in profile.getstats())


def test_a_cell_with_an_assertion() -> None:
    """pytest writes assertions anew, with names that are its own."""

    def cell(x: Any, h: Any) -> Any:
        assert h.shape == (B, H), f"{h.shape} {x}"
        assert len(x) == B and x is not None
        return np.tanh(x @ W + h @ U)

    compare(cell, parameter(B, H, seed=3), [W, U])


def test_the_last_state_of_no_steps() -> None:
    state = tg.Tensor(np.ones((B, H)))
    states, last = tg.scan(tg.RNNCell(D, H, rng=0), np.ones((0, B, D)), state, outputs="last")
    assert states is None and last is state


def test_a_scan_of_no_steps_within_a_cell() -> None:
    inner = tg.RNNCell(D, H, rng=0)

    def cell(x: Any, h: Any) -> Any:
        states, h = tg.scan(inner, np.ones((0, B, D)), h)
        return np.tanh(h + np.sum(states) + x)

    compare(cell, parameter(B, H), [], np.ones((3, B, H)))
