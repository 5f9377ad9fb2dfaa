"""Cells for which a program once gave other numbers than `unroll`, the smallest of each kind."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tinygrad_rnn as tg

RNG = np.random.default_rng(0)
T, B, N = 4, 2, 3
TRUNCATIONS = [
    *(tg.Full(), tg.Subsequence(1), tg.Subsequence(2), tg.Window(0), tg.Window(1)),
    *(tg.TBPTT(2, 3), "links"),
]


def both(
    cell: Any, xs: Any, state: Any, parameters: list[tg.Tensor], truncation: Any
) -> list[tuple[list[Any], list[Any]]]:
    """States, and gradients of Σ sin h, of `unroll` and of `scan`."""
    found = []
    for run in (tg.unroll, tg.scan):
        states, _ = run(cell, xs, state, truncation)
        if run is tg.unroll:
            several = isinstance(states[0], tuple)
            steps = list(zip(*states, strict=True)) if several else [states]
            parts = [np.stack(part) for part in steps]
        else:
            parts = list(states) if isinstance(states, tuple) else [states]
        loss = sum(np.sum(np.sin(part)) for part in parts)
        found.append(([part.data for part in parts], tg.gradients(loss, parameters)))
    return found


def agree(
    cell: Any, xs: Any, state: Any, parameters: list[tg.Tensor], truncation: Any = None
) -> None:
    (states, gradients), (compiled, of_compiled) = both(cell, xs, state, parameters, truncation)
    for a, b in zip([*states, *gradients], [*compiled, *of_compiled], strict=True):
        np.testing.assert_allclose(b, a, 1e-11, 1e-12)


def weight(*shape: int) -> tg.Tensor:
    return tg.Tensor(RNG.normal(size=shape) / 2, requires_grad=True)


HEADS: dict[str, Callable[[Any], Any]] = {
    "softmax": lambda z: np.exp(z) / np.sum(np.exp(z), axis=-1, keepdims=True),
    "ratio": lambda z: z / (1 + z * z),
    "norm": lambda z: z - np.mean(z * z),
    "thrice": lambda z: np.tanh(z) + z * np.sin(z),
}


@pytest.mark.parametrize("shape", [(5,), (1, 5), (B, 5)])
@pytest.mark.parametrize("head", HEADS)
def test_a_bias_of_the_whole_shape_of_a_step(head: str, shape: tuple[int, ...]) -> None:
    batch = shape[:-1]
    W, U, V, c = weight(3, 4), weight(4, 4), weight(4, 5), weight(*shape)

    def cell(x: Any, s: Any) -> Any:
        h, _ = s
        return np.tanh(x @ W + h @ U), HEADS[head](h @ V + c)

    xs = RNG.normal(size=(T, *batch, 3))
    agree(cell, xs, (np.zeros((*batch, 4)), np.zeros((*batch, 5))), [W, U, V, c])


v = tg.Tensor(np.array([0.5, 0.4]), requires_grad=True)
NUMBERS: dict[str, tuple[Any, tuple[Any, ...]]] = {
    "an entry": (lambda x, h: np.stack([h[0], h[0]]), ([0.3, 0.7],)),
    "a sum": (lambda x, h: np.stack([np.sum(h), np.sum(h)]), ([0.3, 0.7],)),
    "two numbers": (lambda x, s: (np.tanh(s[1]), s[1]), (0.3, 0.7)),
    "exchanged": (lambda x, s: (s[1], s[0]), (0.3, 0.7)),
    "a pendulum": (
        lambda x, h: np.stack([h[0] + 0.1 * h[1], h[1] - 0.1 * np.sin(h[0])]),
        ([0.3, 0.7],),
    ),
    "a gate": (lambda x, h: h * tg.sigmoid(h[0]), ([0.3, 0.7],)),
    "a neuron": (lambda x, h: np.tanh(h * v[0] + x[0]), (0.3,)),
    "an inner product": (lambda x, h: np.tanh(h * (h @ v)), ([0.3, 0.7],)),
}


@pytest.mark.parametrize("name", NUMBERS)
def test_numbers_of_a_state(name: str) -> None:
    cell, start = NUMBERS[name]
    state = [tg.Tensor(np.array(part, float), requires_grad=True) for part in start]
    given = tuple(state) if len(state) > 1 else state[0]
    agree(cell, RNG.normal(size=(3, 2)), given, [*state])


@pytest.mark.parametrize("dtype", [bool, np.uint8, np.uint64, np.int64])
@pytest.mark.parametrize("factor", [1, 200])
def test_masks_of_integers(dtype: Any, factor: int) -> None:
    W = weight(N, N)
    mask = (RNG.integers(0, 2, (T, B, N)) * factor).astype(dtype)
    xs = {"x": RNG.normal(size=(T, B, N)), "m": mask}
    for cell in (
        lambda d, h: np.tanh(((1 - h) * d["m"]) @ W * 0.01 + d["x"]),
        lambda d, h: np.tanh((h + d["m"] + d["m"]) @ W * 0.01 + d["x"]),
        lambda d, h: np.tanh((h - h * d["m"]) @ W * 0.01 + d["x"]),
    ):
        agree(cell, xs, RNG.normal(size=(B, N)), [W])


def layouts() -> dict[str, Any]:
    values = RNG.normal(size=(T, B, N, 4))
    return {
        "contiguous": values,
        "transposed": np.ascontiguousarray(values.transpose(0, 1, 3, 2)).transpose(0, 1, 3, 2),
        "Fortran": np.asfortranarray(values),
        "reversed": np.ascontiguousarray(values[::-1, ::-1, ::-1, ::-1])[::-1, ::-1, ::-1, ::-1],
        "every second": np.repeat(values, 2, axis=-1)[..., ::2],
    }


@pytest.mark.parametrize("first", layouts())
def test_the_layout_of_the_first_inputs_says_nothing_about_the_next(first: str) -> None:
    W, U = weight(N * 4, N), weight(N, N)

    def cell(x: Any, h: Any) -> Any:
        seen = np.tanh(x).swapaxes(1, 2).reshape(B, N * 4)
        return np.tanh(seen @ W + h.T.reshape(B, N) @ U)

    inputs = layouts()
    start = RNG.normal(size=(B, N))
    for name in (first, *inputs):
        for state in (start, np.asfortranarray(start)):
            agree(cell, inputs[name], state, [W, U])


AXES: dict[str, Any] = {
    "sort": lambda x, h: np.tanh(h + np.sort(x, axis=None)[:N]),
    "argsort": lambda x, h: np.tanh(h + np.argsort(h, axis=None)[:N]),
    "concatenate": lambda x, h: np.tanh(h + np.concatenate([x, h], axis=None)[:N]),
    "reduce": lambda x, h: np.tanh(h + np.add.reduce(x, axis=None)),
    "partition": lambda x, h: np.tanh(h + np.partition(x, 2, axis=None)[:N]),
}


@pytest.mark.parametrize("name", AXES)
def test_an_argument_that_is_none(name: str) -> None:
    agree(AXES[name], RNG.normal(size=(T, B, N)), np.zeros((B, N)), [])


def test_a_constant_of_more_axes_than_the_value_it_multiplies() -> None:
    A, W = RNG.normal(size=(2, N, N)), weight(N, N)

    def cell(x: Any, h: Any) -> Any:
        return np.tanh(np.sum(A @ (x @ W), axis=0) + h)

    agree(cell, RNG.normal(size=(2, N, N)), np.zeros((N, N)), [W])


STACKS: dict[str, Any] = {
    "axis moved forward": lambda a, b: np.moveaxis(np.stack([a, b], axis=1), 1, 0),
    "axis moved back": lambda a, b: np.moveaxis(np.stack([a, b]), 0, -1).transpose(2, 0, 1),
    "moved, then stacked": lambda a, b: np.stack([np.moveaxis(a, 0, 1), np.moveaxis(b, 0, 1)]).mT,
    "nested": lambda a, b: np.stack(
        [
            np.moveaxis(np.stack([a, b], axis=2), 2, 0)[1],
            np.moveaxis(np.stack([np.moveaxis(b[None], 0, 2)[..., 0], a], axis=-1), -1, 0)[1],
        ]
    ),
}


@pytest.mark.parametrize("truncation", TRUNCATIONS, ids=repr)
@pytest.mark.parametrize("steps", [1, 2, 3])
@pytest.mark.parametrize("name", STACKS)
def test_stacks_of_states_whose_axes_move(name: str, steps: int, truncation: Any) -> None:
    """A state that was a view of a stack was once wrong after a single step."""
    W, stack = weight(N, N), STACKS[name]
    if truncation == "links":
        truncation = tg.Randomized.from_links(np.arange(1, steps) / 2)

    def cell(x: Any, s: Any) -> Any:
        h, c = s
        both = stack(h, c)
        again = stack(both[1], both[0] @ W)
        return np.tanh(again[0] + x), both[1] * again[1]

    state = tuple(tg.Tensor(RNG.normal(size=(B, N)), requires_grad=True) for _ in range(2))
    agree(cell, RNG.normal(size=(steps, B, N)), state, [W, *state], truncation)


def test_what_is_put_together_before_it_is_read() -> None:
    """An array of parts was made in the loop, and read before it: uninitialized memory."""
    W, h = weight(4, 4), tg.Tensor(RNG.normal(size=(B, 4)), requires_grad=True)
    energy = tg.grad(lambda x: np.sum(np.sin(x[:, 1:]) * x[:, :-1]))
    taken = tg.grad(lambda x: np.sum(x[:, [0, 2, 2]] ** 3))

    def cell(x: Any, h: Any) -> Any:
        return np.tanh(np.cos(energy(x)) @ W + np.sin(taken(x)) * h)

    for needs in (True, False):
        xs = tg.Tensor(RNG.normal(size=(T, B, 4)), requires_grad=needs)
        agree(cell, xs, h, [W, h, *([xs] if needs else [])])


def test_arrays_of_the_cell_that_inputs_are_written_into() -> None:
    W, h = weight(4, 4), tg.Tensor(RNG.normal(size=(B, 4)), requires_grad=True)

    def cell(x: Any, h: Any) -> Any:
        shifted, turned = np.zeros_like(x), np.ones_like(x)
        shifted[:, 1:] = x[:, :-1]
        turned[0] = np.sin(shifted)[1] * 2
        return np.tanh(np.cos(shifted * turned) @ W + h)

    agree(cell, RNG.normal(size=(T, B, 4)), h, [W, h])


@pytest.mark.parametrize("truncation", TRUNCATIONS[:-1], ids=repr)
def test_a_derivative_inside_of_a_cell(truncation: Any) -> None:
    """Of a state that was cut, `unroll` lost the gradient by the weights in it."""
    W, h = weight(N, N), tg.Tensor(RNG.normal(size=(B, N)), requires_grad=True)

    def cell(x: Any, h: Any) -> Any:
        (pulled,) = tg.vjp(lambda q: np.tanh(q @ W), h)[1](x)
        return np.tanh(pulled - tg.grad(lambda q: np.sum(np.sin(q @ W) ** 2))(h) + x)

    agree(cell, RNG.normal(size=(T, B, N)), h, [W, h], truncation)


@pytest.mark.parametrize("truncation", TRUNCATIONS[:-1], ids=repr)
@pytest.mark.parametrize(
    "cell",
    [
        lambda x, h, V, U: np.tanh(h + x @ U),
        lambda x, h, V, U: np.tanh(h + h @ V @ U),
        lambda x, h, V, U: np.tanh(np.tanh(h @ V) @ U + h),
        lambda x, h, V, U: np.tanh(h + np.sum(np.dot(V, U)) + V @ x.T),
    ],
)
def test_parameters_with_an_empty_axis(cell: Any, truncation: Any) -> None:
    """Rows without entries under one another cannot be counted: the program failed when it ran."""
    V, U = weight(B, 0), weight(0, B)
    h = tg.Tensor(RNG.normal(size=(B, B)), requires_grad=True)
    agree(lambda x, h: cell(x, h, V, U), np.ones((T, B, 0)), h, [V, U, h], truncation)


def of_each_entry(number: float) -> Callable[[Any], Any]:
    """The identity, with a derivative that does not ask what comes from above."""
    return tg.derivative(lambda a: a * 1.0, lambda g, a: np.full_like(a, number))


@pytest.mark.parametrize("number", [0.0, 0.5])
def test_derivatives_that_are_the_same_at_every_step(number: float) -> None:
    same = of_each_entry(number)
    W, w, v = weight(N, N), weight(N), weight(B, N)
    xs = tg.Tensor(RNG.normal(size=(T, B, N)), requires_grad=True)
    h = tg.Tensor(RNG.normal(size=(B, N)), requires_grad=True)
    cells: list[Callable[[Any, Any], Any]] = [
        lambda x, h: np.tanh(h @ W + same(w) + x),
        lambda x, h: np.tanh(h @ W + same(v) * w + v * x),
        lambda x, h: np.tanh(h @ W + same(x)),
        lambda x, h: np.tanh(same(h) @ W + x),
    ]
    for cell in cells:
        agree(cell, xs, h, [W, w, v, xs, h])
    text = tg.scan_source(cells[0], xs, h, stages=True)
    assert "∂L/∂w = T · " in text


def test_arrays_of_ones_and_zeros_that_are_made_like_a_number() -> None:
    s, W, h = weight(), weight(N, N), tg.Tensor(RNG.normal(size=(B, N)), requires_grad=True)

    def cell(x: Any, h: Any) -> Any:
        half, one = np.full_like(s, 0.5), np.ones_like(s)
        rows = np.zeros_like(h)
        rows[:, 0] = 1.0
        return np.maximum(np.tanh(h * half * rows), one * x) @ W - h

    agree(cell, RNG.normal(size=(T, B, N)), h, [W, h])
    assert "0.5" in tg.scan_source(cell, np.ones((T, B, N)), h, stages=True)


@pytest.mark.parametrize("truncation", TRUNCATIONS[:-1], ids=repr)
def test_a_parameter_of_the_full_shape_that_is_taken_away(truncation: Any) -> None:
    v, w, A = weight(B, N), weight(N), RNG.normal(size=(B, B))
    h = tg.Tensor(RNG.normal(size=(B, N)), requires_grad=True)
    agree(lambda x, h: np.tanh(h - v) + A @ v * w, np.ones((T, B, N)), h, [v, w, h], truncation)


W_1, w_1 = weight(N, N), weight(N)
AHEAD: dict[str, Callable[[Any, Any], Any]] = {
    "is held constant": lambda x, h: np.tanh(x @ W_1 + tg.detach(h)),
    "is not read": lambda x, h: np.tanh(x @ W_1 + w_1),
    "is the input": lambda x, h: x * 1.0,
}
BEHIND: dict[str, Callable[[Any, Any], Any]] = {
    "element by element": lambda a, h: np.tanh(h * w_1 + a),
    "by products": lambda a, h: np.tanh(h @ W_1 + a @ W_1),
    "by the other alone": lambda a, h: a * w_1,
}


@pytest.mark.parametrize("truncation", [None, tg.Subsequence(2), tg.Window(1)], ids=repr)
@pytest.mark.parametrize("behind", BEHIND)
@pytest.mark.parametrize("ahead", AHEAD)
@pytest.mark.parametrize("crossed", [False, True])
def test_a_state_through_which_nothing_flows_back(
    crossed: bool, ahead: str, behind: str, truncation: Any
) -> None:
    """Another state of the same step reads it: the gradients meet within the loop."""

    def cell(x: Any, state: Any) -> Any:
        a = AHEAD[ahead](x, state[0])
        b = BEHIND[behind](a, state[1])
        return (b, a) if crossed else (a, b)

    xs = RNG.normal(size=(T, B, N))
    state = tuple(tg.Tensor(RNG.normal(size=(B, N)), requires_grad=True) for _ in "ab")
    parameters = [W_1, w_1, *state]
    agree(cell, xs, state, parameters, truncation)
    for loss in (lambda o, y: tg.mse(o[0], y) + tg.mse(o[1], y), lambda o, y: tg.mse(o[1], y)):
        bptt = tg.BPTT(cell, loss, truncation)
        found = []
        for run in (bptt, bptt.record):
            for tensor in parameters:
                tensor.grad = None
            result = run(xs, xs, state)
            if isinstance(result, tg.Tensor) and result.requires_grad:
                result.backward()
            found.append([t.grad if t.grad is not None else np.zeros(t.shape) for t in parameters])
        for mine, theirs in zip(*found, strict=True):
            np.testing.assert_allclose(mine, theirs, rtol=0, atol=1e-13)


@pytest.mark.parametrize("truncation", [None, *TRUNCATIONS[1:-1]])
def test_one_of_several_results_of_a_call_in_the_loop_is_an_output(truncation: Any) -> None:
    """No rule makes the call for all steps. The last step's result stood at all steps."""
    W = weight(N, N)

    def cell(x: Any, state: Any) -> Any:
        h = np.tanh(state[0] @ W + x)
        return h, np.linalg.slogdet(h + 4 * np.eye(N))[1]

    xs, start = RNG.normal(size=(T, N, N)), tg.Tensor(RNG.normal(size=(N, N)), requires_grad=True)
    agree(cell, xs, (start, None), [W, start], truncation)
