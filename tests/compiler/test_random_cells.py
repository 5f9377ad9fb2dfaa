"""Cells drawn at random: whatever the calls and their order, `scan` is `unroll`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tinygrad_rnn as tg
from tests.compiler.test_scan import compare

T, B, N = 5, 2, 4

# Two values of shape (B, N), a matrix, a row and a wide matrix make another value.
CALLS: list[Callable[[Any, Any, Any, Any, Any], Any]] = [
    lambda a, b, matrix, row, wide: np.tanh(a),
    lambda a, b, matrix, row, wide: a + b,
    lambda a, b, matrix, row, wide: a * b,
    lambda a, b, matrix, row, wide: a @ matrix,
    lambda a, b, matrix, row, wide: a * row + b,
    lambda a, b, matrix, row, wide: a - 0.5 * b,
    lambda a, b, matrix, row, wide: tg.sigmoid(a),
    lambda a, b, matrix, row, wide: np.maximum(a, b),
    lambda a, b, matrix, row, wide: (a @ wide)[:, N:] * (b @ wide)[:, :N],
    lambda a, b, matrix, row, wide: np.concatenate([a[:, :2], b[:, 2:]], axis=1),
    lambda a, b, matrix, row, wide: np.where(a > 0, a, 0.1 * b),
    lambda a, b, matrix, row, wide: a - np.mean(a, axis=-1, keepdims=True),
    lambda a, b, matrix, row, wide: a / (1 + np.square(b)),
    lambda a, b, matrix, row, wide: np.tanh(a @ (matrix * row)),
    lambda a, b, matrix, row, wide: np.stack([a, b])[1] + b,
    lambda a, b, matrix, row, wide: np.sum(a * b, axis=1, keepdims=True) * row,
    lambda a, b, matrix, row, wide: np.tanh((matrix @ a.T).T) + b,
    lambda a, b, matrix, row, wide: a[:, ::-1] @ matrix,
    lambda a, b, matrix, row, wide: np.reshape((a @ matrix).T, b.shape),
    lambda a, b, matrix, row, wide: np.tanh(np.tanh(a @ b.T) @ b),
]


def random_cell(
    seed: int, batch: int = B
) -> tuple[Callable[[Any, Any], Any], Any, list[tg.Tensor]]:
    """A cell of a dozen random calls, its state of up to three parts, and its parameters."""
    rng = np.random.default_rng(seed)
    matrices = [tg.Tensor(rng.standard_normal((N, N)) / 2, requires_grad=True) for _ in range(3)]
    rows = [tg.Tensor(rng.standard_normal(N), requires_grad=True) for _ in range(2)]
    wide = tg.Tensor(rng.standard_normal((N, 2 * N)) / 2, requires_grad=True)
    plan = [(int(rng.integers(len(CALLS))), *map(int, rng.integers(0, 1000, 3))) for _ in range(12)]
    chosen = [int(n) for n in rng.integers(0, 1000, rng.integers(1, 4))]

    def cell(x: Any, state: Any) -> Any:
        values = [x, *state]
        for call, i, j, k in plan:
            a, b = values[i % len(values)], values[j % len(values)]
            values.append(CALLS[call](a, b, matrices[k % 3], rows[k % 2], wide))
        new = [values[n % len(values)] for n in chosen]
        # Bounded, so that nothing explodes over the steps.
        return tuple(np.sin(h) if n % 2 else np.tanh(h) for n, h in enumerate(new))

    state = tuple(tg.Tensor(rng.standard_normal((batch, N)), requires_grad=True) for _ in chosen)
    return cell, state, [*matrices, *rows, wide]


@pytest.mark.parametrize("seed", range(80))
def test_random_cell(seed: int) -> None:
    cell, state, parameters = random_cell(seed)
    xs = tg.Tensor(np.random.default_rng(seed).standard_normal((T, B, N)), requires_grad=True)
    truncation = [None, tg.Subsequence(2), tg.Window(1), tg.Randomized.from_links([0, 2, 1, 3])]
    compare(cell, state, parameters, xs, truncation=truncation[seed % 4])
