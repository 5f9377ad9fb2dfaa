"""What arrays can do by themselves: `t.sum()` is `np.sum(t)`, and so on.

Each method takes the arguments of the array's own. Those that write into the array have no place
here, for the graph would not see it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.lib.mixins import NDArrayOperatorsMixin

from tinygrad_rnn.derivatives.shapes import astype

if TYPE_CHECKING:
    from tinygrad_rnn.engine.graph import Array
    from tinygrad_rnn.engine.tensor import Tensor


class ArrayMethods(NDArrayOperatorsMixin):
    """The operators and methods of an array, for a class that speaks NumPy's protocols."""

    __slots__ = ()

    # Reductions ---------------------------------------------------------------------------

    def sum(self, axis: Any = None, *, keepdims: bool = False) -> Tensor:
        return _call(np.sum, self, axis=axis, keepdims=keepdims)

    def prod(self, axis: Any = None, *, keepdims: bool = False) -> Tensor:
        return _call(np.prod, self, axis=axis, keepdims=keepdims)

    def mean(self, axis: Any = None, *, keepdims: bool = False) -> Tensor:
        return _call(np.mean, self, axis=axis, keepdims=keepdims)

    def var(self, axis: Any = None, *, ddof: float = 0, keepdims: bool = False) -> Tensor:
        return _call(np.var, self, axis=axis, ddof=ddof, keepdims=keepdims)

    def std(self, axis: Any = None, *, ddof: float = 0, keepdims: bool = False) -> Tensor:
        return _call(np.std, self, axis=axis, ddof=ddof, keepdims=keepdims)

    def max(self, axis: Any = None, *, keepdims: bool = False) -> Tensor:
        return _call(np.max, self, axis=axis, keepdims=keepdims)

    def min(self, axis: Any = None, *, keepdims: bool = False) -> Tensor:
        return _call(np.min, self, axis=axis, keepdims=keepdims)

    def cumsum(self, axis: int | None = None) -> Tensor:
        return _call(np.cumsum, self, axis)

    def cumprod(self, axis: int | None = None) -> Tensor:
        return _call(np.cumprod, self, axis)

    def trace(self, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Tensor:
        return _call(np.trace, self, offset, axis1, axis2)

    # Shape --------------------------------------------------------------------------------

    def reshape(self, *shape: Any) -> Tensor:
        return _call(np.reshape, self, shape[0] if len(shape) == 1 else shape)

    def transpose(self, *axes: Any) -> Tensor:
        return _call(np.transpose, self, axes[0] if len(axes) == 1 else axes or None)

    def swapaxes(self, axis1: int, axis2: int) -> Tensor:
        return _call(np.swapaxes, self, axis1, axis2)

    def squeeze(self, axis: Any = None) -> Tensor:
        return _call(np.squeeze, self, axis)

    def ravel(self, order: str = "C") -> Tensor:
        return _call(np.ravel, self, order=order)

    def flatten(self, order: str = "C") -> Tensor:
        return _call(np.ravel, self, order=order)

    def diagonal(self, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Tensor:
        return _call(np.diagonal, self, offset, axis1, axis2)

    def repeat(self, repeats: Any, axis: int | None = None) -> Tensor:
        return _call(np.repeat, self, repeats, axis)

    @property
    def T(self) -> Tensor:
        return _call(np.transpose, self)

    @property
    def mT(self) -> Tensor:
        return _call(np.matrix_transpose, self)

    # Entries ------------------------------------------------------------------------------

    def take(self, indices: Any, axis: int | None = None) -> Tensor:
        return _call(np.take, self, indices, axis)

    def compress(self, condition: Any, axis: int | None = None) -> Tensor:
        return cast("Tensor", np.compress(condition, self, axis))  # type: ignore[call-overload]

    def clip(self, min: Any = None, max: Any = None) -> Tensor:  # noqa: A002
        return _call(np.clip, self, min, max)

    def round(self, decimals: int = 0) -> Tensor:
        return _call(np.round, self, decimals)

    def dot(self, b: Any) -> Tensor:
        return _call(np.dot, self, b)

    def copy(self) -> Tensor:
        return _call(np.copy, self)

    def astype(self, dtype: Any) -> Tensor:
        return _call(astype, self, dtype)

    def conj(self) -> Tensor:
        return _call(np.conjugate, self)

    # What has no derivative: plain arrays ---------------------------------------------------

    def argmax(self, axis: int | None = None, *, keepdims: bool = False) -> Array:
        return np.argmax(self, axis=axis, keepdims=keepdims)  # type: ignore[call-overload]

    def argmin(self, axis: int | None = None, *, keepdims: bool = False) -> Array:
        return np.argmin(self, axis=axis, keepdims=keepdims)  # type: ignore[call-overload]

    def argsort(self, axis: int | None = -1) -> Array:
        return np.argsort(self, axis)  # type: ignore[arg-type]

    def any(self, axis: Any = None, *, keepdims: bool = False) -> Array:
        return np.any(self, axis=axis, keepdims=keepdims)  # type: ignore[call-overload]

    def all(self, axis: Any = None, *, keepdims: bool = False) -> Array:
        return np.all(self, axis=axis, keepdims=keepdims)  # type: ignore[call-overload]

    def nonzero(self) -> tuple[Array, ...]:
        return np.nonzero(self)  # type: ignore[arg-type]


def _call(function: Callable[..., Any], array: Any, *args: Any, **kwargs: Any) -> Tensor:
    """What NumPy would ask the array for, without NumPy's asking."""
    if isinstance(function, np.ufunc):
        return cast("Tensor", array.__array_ufunc__(function, "__call__", array, *args, **kwargs))
    return cast("Tensor", array.__array_function__(function, (), (array, *args), kwargs))
