"""Initial weights."""

from __future__ import annotations

from typing import Any

import numpy as np

from tinygrad_rnn.engine.graph import Array
from tinygrad_rnn.engine.tensor import Tensor


def uniform(
    rng: np.random.Generator, shape: tuple[int, ...], fan: int, dtype: Any, name: str
) -> Tensor:
    """A parameter with entries uniform in ±1/√fan."""
    bound = 1 / np.sqrt(fan)
    return Tensor(rng.uniform(-bound, bound, shape).astype(dtype), requires_grad=True, name=name)


def recurrent(
    kind: str, rng: np.random.Generator, size: int, gates: int, dtype: Any, name: str
) -> Tensor:
    """W_hh, of shape (size, gates · size): one square matrix per gate, side by side.

    kind: "uniform" in ±1/√size; "orthogonal" (Saxe et al. 2014: norms are preserved);
        "identity" (Le et al. 2015, with relu).
    Raises ValueError for another kind.
    """
    if kind == "uniform":
        return uniform(rng, (size, gates * size), size, dtype, name)
    if kind not in ("orthogonal", "identity"):
        raise ValueError(
            f"recurrent_weights must be 'uniform', 'orthogonal' or 'identity', not {kind!r}; "
            f"to start from another matrix, assign it: cell.W_hh.data = W"
        )
    blocks = [orthogonal(rng, size) if kind == "orthogonal" else np.eye(size) for _ in range(gates)]
    W = np.concatenate(blocks, axis=1)
    return Tensor(W.astype(dtype), requires_grad=True, name=name)


def orthogonal(rng: np.random.Generator, size: int) -> Array:
    """A random orthogonal matrix, uniform over all of them (Mezzadri 2007: the signs matter)."""
    Q, R = np.linalg.qr(rng.standard_normal((size, size)))
    return Q * np.sign(np.diag(R))
