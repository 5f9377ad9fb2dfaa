"""The methods that Tensors share with arrays: `t.sum()` is `np.sum(t)`, and so on.

Each method takes the arguments of the array's method. Methods that write into the array are left
out, because the graph would not see the change.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Self, TypeVar, cast

import numpy as np
from numpy.lib.mixins import NDArrayOperatorsMixin
from numpy.typing import NDArray

from tinygrad_rnn.engine.graph import Array
from tinygrad_rnn.engine.table import derivative


def _astype(x: Array, dtype: Any) -> Array:
    """`x.astype(dtype)`."""
    return x.astype(dtype)


S = TypeVar("S")

astype = derivative(_astype, lambda g, dtype: g)  # the reverse pass gives each gradient its dtype


if TYPE_CHECKING:  # NumPy's mixin annotates each operator with Any

    class Operators:
        def __add__(self, other: Any) -> Self: ...
        def __radd__(self, other: Any) -> Self: ...
        def __sub__(self, other: Any) -> Self: ...
        def __rsub__(self, other: Any) -> Self: ...
        def __mul__(self, other: Any) -> Self: ...
        def __rmul__(self, other: Any) -> Self: ...
        def __matmul__(self, other: Any) -> Self: ...
        def __rmatmul__(self, other: Any) -> Self: ...
        def __truediv__(self, other: Any) -> Self: ...
        def __rtruediv__(self, other: Any) -> Self: ...
        def __floordiv__(self, other: Any) -> Self: ...
        def __rfloordiv__(self, other: Any) -> Self: ...
        def __mod__(self, other: Any) -> Self: ...
        def __rmod__(self, other: Any) -> Self: ...
        def __pow__(self, other: Any) -> Self: ...
        def __rpow__(self, other: Any) -> Self: ...
        def __neg__(self) -> Self: ...
        def __pos__(self) -> Self: ...
        def __abs__(self) -> Self: ...
        def __lt__(self, other: Any) -> NDArray[np.bool]: ...
        def __le__(self, other: Any) -> NDArray[np.bool]: ...
        def __gt__(self, other: Any) -> NDArray[np.bool]: ...
        def __ge__(self, other: Any) -> NDArray[np.bool]: ...
        def __eq__(self, other: Any) -> NDArray[np.bool]: ...  # type: ignore[override]
        def __ne__(self, other: Any) -> NDArray[np.bool]: ...  # type: ignore[override]
else:
    Operators = NDArrayOperatorsMixin


class ArrayMethods(Operators):
    """The operators and methods of an array, for a class with NumPy's protocols."""

    __slots__ = ()

    # Reductions ---------------------------------------------------------------------------

    def sum(self, axis: Any = None, *, keepdims: bool = False) -> Self:
        return _call(np.sum, self, axis=axis, keepdims=keepdims)

    def prod(self, axis: Any = None, *, keepdims: bool = False) -> Self:
        return _call(np.prod, self, axis=axis, keepdims=keepdims)

    def mean(self, axis: Any = None, *, keepdims: bool = False) -> Self:
        return _call(np.mean, self, axis=axis, keepdims=keepdims)

    def var(self, axis: Any = None, *, ddof: float = 0, keepdims: bool = False) -> Self:
        return _call(np.var, self, axis=axis, ddof=ddof, keepdims=keepdims)

    def std(self, axis: Any = None, *, ddof: float = 0, keepdims: bool = False) -> Self:
        return _call(np.std, self, axis=axis, ddof=ddof, keepdims=keepdims)

    def max(self, axis: Any = None, *, keepdims: bool = False) -> Self:
        return _call(np.max, self, axis=axis, keepdims=keepdims)

    def min(self, axis: Any = None, *, keepdims: bool = False) -> Self:
        return _call(np.min, self, axis=axis, keepdims=keepdims)

    def cumsum(self, axis: int | None = None) -> Self:
        return _call(np.cumsum, self, axis)

    def cumprod(self, axis: int | None = None) -> Self:
        return _call(np.cumprod, self, axis)

    def trace(self, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Self:
        return _call(np.trace, self, offset, axis1, axis2)

    # Shape --------------------------------------------------------------------------------

    def reshape(self, *shape: Any) -> Self:
        return _call(np.reshape, self, shape[0] if len(shape) == 1 else shape)

    def transpose(self, *axes: Any) -> Self:
        return _call(np.transpose, self, axes[0] if len(axes) == 1 else axes or None)

    def swapaxes(self, axis1: int, axis2: int) -> Self:
        return _call(np.swapaxes, self, axis1, axis2)

    def squeeze(self, axis: Any = None) -> Self:
        return _call(np.squeeze, self, axis)

    def ravel(self, order: str = "C") -> Self:
        return _call(np.ravel, self, order=order)

    def flatten(self, order: str = "C") -> Self:
        return _call(np.ravel, self, order=order)

    def diagonal(self, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Self:
        return _call(np.diagonal, self, offset, axis1, axis2)

    def repeat(self, repeats: Any, axis: int | None = None) -> Self:
        return _call(np.repeat, self, repeats, axis)

    @property
    def T(self) -> Self:
        return _call(np.transpose, self)

    @property
    def mT(self) -> Self:
        return _call(np.matrix_transpose, self)

    # Entries ------------------------------------------------------------------------------

    def take(self, indices: Any, axis: int | None = None) -> Self:
        return _call(np.take, self, indices, axis)

    def compress(self, condition: Any, axis: int | None = None) -> Self:
        return cast(Self, np.compress(condition, self, axis))  # type: ignore[call-overload]

    def clip(self, min: Any = None, max: Any = None) -> Self:  # noqa: A002
        return _call(np.clip, self, min, max)

    def round(self, decimals: int = 0) -> Self:
        return _call(np.round, self, decimals)

    def dot(self, b: Any) -> Self:
        return _call(np.dot, self, b)

    def copy(self) -> Self:
        return _call(np.copy, self)

    def astype(self, dtype: Any) -> Self:
        return _call(astype, self, dtype)

    def conj(self) -> Self:
        return _call(np.conjugate, self)

    # Without a derivative: plain arrays -----------------------------------------------------

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


def _call(function: Callable[..., Any], array: S, *args: Any, **kwargs: Any) -> S:
    """Call the method of the protocol directly, as NumPy's own dispatch would."""
    protocol: Any = array
    if isinstance(function, np.ufunc):
        return protocol.__array_ufunc__(function, "__call__", array, *args, **kwargs)  # type: ignore[no-any-return]
    return protocol.__array_function__(function, (), (array, *args), kwargs)  # type: ignore[no-any-return]
