"""The workloads: a recurrent network with a softmax output at every step, float32.

`tiny`, `d2l`: as in a textbook's first example; `char`: a character model; `medium`: a larger
one; `long`, `longbatch`: a thousand steps. These are a tanh RNN; some of the sizes come with other
cells, too: `lstm char`, and so on. `minimal` is a cell of a user's own, a gated unit with one gate.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np


class Size(NamedTuple):
    """Steps T, sequences B, and the widths of input D, hidden state H and output Q."""

    T: int
    B: int
    D: int
    H: int
    Q: int


SIZES = {
    "tiny": Size(35, 1, 28, 32, 28),
    "d2l": Size(32, 1024, 28, 32, 28),
    "char": Size(100, 32, 65, 128, 65),
    "medium": Size(100, 32, 128, 512, 128),
    "long": Size(1000, 1, 32, 64, 32),
    "longbatch": Size(1000, 16, 64, 256, 64),
}

BLOCKS = {"rnn": 1, "minimal": 2, "gru": 3, "lstm": 4}
"""How many blocks of width H the weights of a cell have."""

WORKLOADS = [
    *SIZES,
    *(f"{cell} {size}" for cell in ("lstm", "gru") for size in ("char", "medium", "longbatch")),
    *(f"minimal {size}" for size in ("tiny", "char", "medium", "long", "longbatch")),
]

GRADIENTS = ("W_xh", "W_hh", "b_h", "W_hq", "b_q")


class Problem(NamedTuple):
    """The numbers that everybody computes with: xs (T, B, D), labels (T, B), and the weights."""

    xs: Any
    labels: Any
    W_xh: Any
    W_hh: Any
    b_h: Any
    W_hq: Any
    b_q: Any


def cell_of(workload: str) -> str:
    return workload.split()[0] if " " in workload else "rnn"


def size_of(workload: str) -> Size:
    return SIZES[workload.split()[-1]]


def problem(workload: str, seed: int = 0) -> Problem:
    """The problem of one workload, the same in every process."""
    T, B, D, H, Q = size_of(workload)
    blocks = BLOCKS[cell_of(workload)]
    rng = np.random.default_rng(seed)

    def weights(*shape: int) -> Any:
        return rng.uniform(-1, 1, shape).astype(np.float32) / np.float32(np.sqrt(H))

    return Problem(
        rng.standard_normal((T, B, D)).astype(np.float32),
        rng.integers(0, Q, (T, B)),
        weights(D, blocks * H),
        weights(H, blocks * H),
        weights(blocks * H),
        weights(H, Q),
        weights(Q),
    )
