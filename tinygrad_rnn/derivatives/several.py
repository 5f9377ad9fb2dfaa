"""Several arrays as one value of the graph, for functions such as `np.linalg.eigh` and `scan`.

The function makes one node, whose value is `Several`. Each array taken out of it is a node of its
own. A pull-back gets the gradients of all arrays at once, as the textbook formulas do.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from tinygrad_rnn.engine.graph import Array
from tinygrad_rnn.engine.table import derivative, plain


class Several:
    """Several arrays as one value, or the gradients of those arrays that have one.

    parts: the arrays, by their places. For the reverse pass the value is a scalar.
    """

    __slots__ = ("__weakref__", "parts")
    shape: tuple[int, ...] = ()
    size = 1
    dtype = np.dtype(np.float64)  # shape of the node; each part has its own

    def __init__(self, parts: dict[int, Array]) -> None:
        self.parts = parts

    def __add__(self, other: Several) -> Several:
        merged = dict(self.parts)
        for n, gradient in other.parts.items():
            merged[n] = merged[n] + gradient if n in merged else gradient
        return Several(merged)

    def first(self, count: int) -> list[Array | None]:
        """The gradients of the first arrays; None for an array without a gradient."""
        return [self.parts.get(n) for n in range(count)]


def several(arrays: Iterable[Array]) -> Several:
    """Arrays as one value."""
    return Several(dict(enumerate(arrays)))


def _part(several: Several, n: int) -> Array:
    return several.parts[n]


part = derivative(_part, lambda g, n: Several({n: g}))
PART = part.rule.arguments[0][1]  # type: ignore[attr-defined]
"""The pull-back of `part`; it keeps the place n."""


def parts(several: Any) -> list[Array]:
    """The arrays in a `Several`, each as a node of its own if the value is a Tensor."""
    if isinstance(several, Several):
        return list(several.parts.values())
    return [part(several, n) for n in plain(several).parts]
