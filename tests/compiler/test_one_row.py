"""A single sequence: its products are joined to one per step, in arrays of rows."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tinygrad_rnn as tg
from tests.compiler.test_program import loops
from tests.compiler.test_random_cells import N, random_cell
from tests.compiler.test_scan import (
    CELLS,
    D,
    H,
    T,
    U,
    V,
    W,
    b,
    compare,
    embedding,
    joined,
    parameter,
)
from tests.recurrent.own_strategies import for_all
from tinygrad_rnn.compiler.runtime.cache import PROGRAMS

STRATEGIES = [
    tg.Full(),
    tg.Subsequence(3),
    tg.Randomized.from_links([0, 2.0, 1, 1, 3, 0]),
    tg.Window(2),
    tg.TBPTT(2, 3),
    *for_all(T),
]


def state_of(cell: Any) -> Any:
    h, c = parameter(1, H, seed=1), parameter(1, H, seed=2)
    if isinstance(cell, tg.Stacked):
        return tuple(state_of(layer) for layer in cell.cells)
    return (h, c) if isinstance(cell, tg.LSTMCell) else h


@pytest.mark.parametrize("truncation", STRATEGIES, ids=repr)
@pytest.mark.parametrize("name", CELLS)
def test_built_in_cells(name: str, truncation: Any) -> None:
    cell = CELLS[name]()
    xs = parameter(T, 1, D, seed=9)
    compare(cell, state_of(cell), list(cell.parameters().values()), xs, truncation=truncation)


@pytest.mark.parametrize("seed", range(100, 140))
def test_random_cell(seed: int) -> None:
    cell, state, parameters = random_cell(seed, 1)
    xs = tg.Tensor(np.random.default_rng(seed).standard_normal((5, 1, N)), requires_grad=True)
    compare(cell, state, parameters, xs, truncation=[None, tg.Subsequence(2)][seed % 2])


def gated(x: Any, h: Any) -> Any:
    f = tg.sigmoid(x @ W + h @ U + b)
    return (1 - f) * h + f * np.tanh(x @ W + (f * h) @ V + b)


USERS_CELLS: dict[str, Any] = {
    "gated": (gated, [W, U, V, b]),
    "concatenated": (
        lambda x, h: np.tanh(np.concatenate([x, h], axis=1) @ joined + b),
        [joined, b],
    ),
    "the state twice": (lambda x, h: np.tanh(x @ W + h @ U + h @ V), [W, U, V]),
    "the same product twice": (lambda x, h: np.tanh(h @ U + h @ U + x @ W), [W, U]),
    "a sum that is no product": (lambda x, h: np.tanh(np.sin(x @ W) + b + h @ U), [W, U, b]),
    "residual": (lambda x, h: h + np.tanh(x @ W + h @ U), [W, U]),
    "the bias in two sums": (lambda x, h: np.tanh(x @ W + h @ U + b) * np.cos(h @ V + b), [W, b]),
    "separate gates": (lambda x, h: tg.sigmoid(x @ W + h @ U) * h + np.tanh(h @ V), [W, U, V]),
    "half frozen": (lambda x, h: np.tanh(x @ W.data + h @ U + b.data), [U]),
}


@pytest.mark.parametrize("name", USERS_CELLS)
def test_users_cells(name: str) -> None:
    cell, parameters = USERS_CELLS[name]
    compare(cell, parameter(1, H, seed=7), parameters, parameter(T, 1, D, seed=9))


@pytest.mark.usefixtures("source_of_numpy")
def test_an_embedding_is_joined_by_an_identity() -> None:
    def cell(x: Any, h: Any) -> Any:
        return np.tanh(embedding[x] + h @ U)

    xs = np.random.default_rng(0).integers(0, 5, (T, 1))
    compare(cell, parameter(1, H, seed=7), [embedding, U], xs)
    ahead, back = loops(tg.scan_source(cell, xs, np.zeros((1, H))))
    assert (len(ahead), len(back)) == (2, 2)


@pytest.mark.usefixtures("source_of_numpy")
def test_vectors() -> None:
    def cell(x: Any, h: Any) -> Any:
        return np.tanh(x @ W + h @ U + b)

    xs, state = parameter(T, D, seed=9), parameter(H, seed=7)
    compare(cell, state, [W, U, b], xs)
    assert "h_x_1_t.dot(W_joined, " in tg.scan_source(cell, xs, state)


@pytest.mark.usefixtures("source_of_numpy")
@pytest.mark.parametrize(
    ("cell", "forward", "backward"),
    [
        (tg.RNNCell(D, H, "tanh", rng=0), 2, 2),
        (tg.RNNCell(D, H, "identity", rng=0), 1, 1),
        (tg.LSTMCell(D, H, rng=0), 19, 9),
        (tg.GRUCell(D, H, rng=0), 19, 7),
    ],
)
def test_one_call_less_each_way(cell: Any, forward: int, backward: int) -> None:
    ahead, back = loops(tg.scan_source(cell, np.ones((T, 1, D))))
    assert (len(ahead), len(back)) == (forward, backward)


@pytest.mark.usefixtures("source_of_numpy")
def test_only_small_matrices_are_joined() -> None:
    lengths = []
    for width in (32, 512):
        cell = tg.RNNCell(width, 64, rng=0)
        lengths.append(
            [len(lines) for lines in loops(tg.scan_source(cell, np.ones((T, 1, width))))]
        )
    assert lengths == [[2, 3], [3, 3]]  # the identity for 64 numbers of 8 bytes is too large


@pytest.mark.usefixtures("source_of_numpy")
def test_source_runs_by_itself() -> None:
    cell = tg.RNNCell(D, H, rng=0)
    xs = parameter(T, 1, D, seed=2)
    states, _ = tg.scan(cell, xs)
    weights = np.random.default_rng(1).standard_normal(states.shape)
    np.sum(states * weights).backward()
    namespace: dict[str, Any] = {}
    exec(compile(tg.scan_source(cell, xs), "pasted.py", "exec"), namespace)
    forward, backward = namespace["program"](T)
    given = (xs.data, *(p.data for p in cell.parameters().values()))
    np.testing.assert_array_equal(forward(np.zeros((1, H)), *given)[0], states.data)
    expected = [xs.grad, *(p.grad for p in cell.parameters().values())]
    for mine, theirs in zip(backward(0, weights, *given)[1:], expected, strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=1e-13, atol=1e-14)


@pytest.mark.parametrize("options", [{"block": 3}, {"block": 2, "checkpoint": 2}], ids=repr)
@pytest.mark.parametrize("name", ["tanh", "lstm", "stacked"])
def test_blocks_look_into_one_array_of_rows(name: str, options: Any) -> None:
    cell = CELLS[name]()
    xs = parameter(T, 1, D, seed=9)
    found = []
    for given in ({}, options):
        for tensor in (xs, *cell.parameters().values()):
            tensor.grad = None
        states, _ = tg.scan(cell, xs, **given)
        first = states
        while isinstance(first, tuple):
            first = first[0]
        # As an output layer does it: the rows of all steps under one another.
        np.sum(np.sin(np.reshape(first, (T, H)) @ U)).backward()
        found.append([first.data.copy(), xs.grad, *(p.grad for p in cell.parameters().values())])
    for mine, theirs in zip(*found, strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=0, atol=1e-13)


def test_the_last_state_alone() -> None:
    cell = tg.RNNCell(D, H, rng=0)
    xs = parameter(T, 1, D, seed=9)
    whole = tg.gradients(np.sum(np.sin(tg.scan(cell, xs)[1])), [cell.W_hh, xs])
    _, last = tg.scan(cell, xs, outputs="last", checkpoint=2, block=2)
    for mine, theirs in zip(
        tg.gradients(np.sum(np.sin(last)), [cell.W_hh, xs]), whole, strict=True
    ):
        np.testing.assert_allclose(mine, theirs, rtol=0, atol=1e-13)


def test_the_array_of_rows_is_used_again_when_nobody_looks_into_it() -> None:
    cell = tg.RNNCell(D, H, rng=0)
    PROGRAMS.clear()
    with tg.no_grad():
        held = tg.scan(cell, np.ones((T, 1, D)))[0].data
        before = held.copy()
        for n in range(4):
            tg.scan(cell, np.full((T, 1, D), float(n)))
    np.testing.assert_array_equal(held, before)
    ((program,),) = PROGRAMS.values()
    ((first, second),) = program.spaces.values()
    assert not first.is_free() and second.is_free()
    del held
    assert first.is_free()


@pytest.mark.parametrize("seed", range(140, 160))
def test_random_cell_in_blocks(seed: int) -> None:
    cell, state, parameters = random_cell(seed, 1)
    xs = tg.Tensor(np.random.default_rng(seed).standard_normal((7, 1, N)), requires_grad=True)
    options: dict[str, Any] = {"block": 2 + seed % 3, "checkpoint": [None, 2][seed // 3 % 2]}
    inputs = [*parameters, *state, xs]

    def gradients(states: Any) -> list[Any]:
        loss: Any = sum(np.sum(np.sin(part)) for part in states)
        return tg.gradients(loss, inputs)

    expected = gradients(tg.scan(cell, xs, state)[0])
    found = gradients(tg.scan(cell, xs, state, **options)[0])
    for mine, theirs in zip(found, expected, strict=True):
        scale = max(1.0, float(np.abs(theirs).max()))
        np.testing.assert_allclose(mine, theirs, rtol=0, atol=1e-12 * scale)
