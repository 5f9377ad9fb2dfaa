"""Functions that return several arrays: all of them travel through the graph as one value.

The function makes one node, whose value is `Several`; each array taken out of it is a node of its
own. A pull-back gets the gradients of all of them at once, as the formulas in the books do.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from tinygrad_rnn.engine.graph import Array
from tinygrad_rnn.engine.table import derivative


class Several:
    """Several arrays as one value, or their gradients, None where none has come."""

    __slots__ = ("arrays", "dtype", "shape")

    def __init__(
        self, arrays: Sequence[Array | None], shape: Any = None, dtype: Any = None
    ) -> None:
        self.arrays = tuple(arrays)
        self.shape = tuple(a.shape for a in arrays if a is not None) if shape is None else shape
        self.dtype = next(a.dtype for a in arrays if a is not None) if dtype is None else dtype

    @property
    def size(self) -> int:
        return sum(math.prod(shape) for shape in self.shape)

    def __add__(self, other: Several) -> Several:
        pairs = zip(self.arrays, other.arrays, strict=True)
        added = [b if a is None else a if b is None else a + b for a, b in pairs]
        return Several(added, self.shape, self.dtype)


def _part(several: Several, n: int) -> Array:
    return several.arrays[n]


def _only(g: Array, n: int, shape_of_several: Any) -> Several:
    arrays = [g if k == n else None for k in range(len(shape_of_several))]
    return Several(arrays, shape_of_several, g.dtype)


_part.__name__ = "part"
part = derivative(_part, _only)


def parts(several: Any) -> list[Array]:
    """The arrays in it, each as a node of its own if it is a Tensor."""
    if isinstance(several, Several):
        return list(several.arrays)
    return [part(several, n) for n in range(len(several.shape))]
