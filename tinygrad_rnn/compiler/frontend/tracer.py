"""An array that writes down every NumPy call made on it.

It stands inside the Tensors while a cell is run once: the engine calls `np.f(array)` and lets the
array decide, so the calls of the cell, and those of the pull-backs when its tape is swept, are
written down alike. Each traced array also has a sample of its numbers, for shapes and dtypes.
"""

from __future__ import annotations

import functools
import operator
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib.mixins import NDArrayOperatorsMixin

from tinygrad_rnn.compiler.operations import (
    added_at,
    astype,
    cross_entropies,
    cross_entropy_gradient,
    filled,
    placed,
)
from tinygrad_rnn.engine.tensor import Tensor

PACKAGE = str(Path(__file__).parents[2]) + os.sep


class Value:
    """One array of the program, and the call that makes it; None for what is given."""

    __slots__ = ("_found", "args", "function", "kwargs", "name", "origin", "sample")

    def __init__(
        self,
        sample: Any,
        name: str = "",
        function: Callable[..., Any] | None = None,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> None:
        self.sample = sample
        self.name = name
        self.function = function
        self.args = args
        self.kwargs = kwargs or {}
        self.origin: tuple[str, Value] | None = None  # of which function of which value it is made
        self._found: tuple[Any, Any, list[Value]] | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        return np.shape(self.sample)

    @property
    def ndim(self) -> int:
        return np.ndim(self.sample)

    @property
    def dtype(self) -> Any:
        return np.asarray(self.sample).dtype

    @property
    def operands(self) -> list[Value]:
        """The values among the arguments, also inside lists, tuples and dicts."""
        found = self._found  # asked for again and again
        if found is None or found[0] is not self.args or found[1] is not self.kwargs:
            here = list(values_in((self.args, self.kwargs)))
            found = self._found = self.args, self.kwargs, here
        return found[2]


def values_in(tree: Any) -> Any:
    if isinstance(tree, Value):
        yield tree
    elif isinstance(tree, tuple | list):
        for branch in tree:
            yield from values_in(branch)
    elif isinstance(tree, dict):
        yield from values_in(list(tree.values()))
    elif isinstance(tree, slice):
        yield from values_in([tree.start, tree.stop, tree.step])


def mapped(tree: Any, leaf: Callable[[Any], Any]) -> Any:
    """The same nesting with `leaf` applied to everything that is no list, tuple or dict."""
    if isinstance(tree, tuple | list):
        return type(tree)([mapped(branch, leaf) for branch in tree])
    if isinstance(tree, dict):
        return {key: mapped(branch, leaf) for key, branch in tree.items()}
    return leaf(tree)


class TraceError(TypeError):
    """Raised for a cell that no straight line of NumPy calls can stand for."""


def user_frame() -> str:
    """Where in the user's own code we are: file and line."""
    frame = sys._getframe(1)
    numpy = os.path.dirname(np.__file__) + os.sep
    while frame.f_back is not None and frame.f_code.co_filename.startswith((PACKAGE, numpy)):
        frame = frame.f_back
    return f"{os.path.basename(frame.f_code.co_filename)}, line {frame.f_lineno}"


class Traced(NDArrayOperatorsMixin):
    """A handle to a value: every NumPy function of it makes a new value."""

    __slots__ = ("value",)
    __array_priority__ = 100
    _records = True  # functions of the table that are not NumPy's ask here, too

    def __init__(self, value: Value) -> None:
        self.value = value

    # The calls ---------------------------------------------------------------------------

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *args: Any, **kwargs: Any) -> Any:
        if any(isinstance(a, Tensor) for a in args):
            return NotImplemented
        out = kwargs.pop("out", None)
        if method == "at":
            if ufunc is not np.add or not isinstance(args[0], Traced):
                raise TraceError(f"np.{ufunc.__name__}.at cannot be compiled ({user_frame()})")
            args[0].value = record(added_at, args).value
            return None
        function = ufunc if method == "__call__" else getattr(ufunc, method)
        result = record(function, args, kwargs)
        if out is not None:  # a += b: the handle goes on to stand for the new value
            (target,) = out
            if not isinstance(target, Traced):
                raise TraceError(f"out= cannot be compiled ({user_frame()})")
            target.value = result.value
            return target
        return result

    def __array_function__(
        self, function: Callable[..., Any], types: Any, args: Any, kwargs: Any
    ) -> Any:
        if Tensor in types:
            return NotImplemented
        if hasattr(function, "__wrapped__") and not function.__module__.startswith("numpy"):
            # A function of the table: not its name is written down but the NumPy in it.
            args = mapped(args, lambda a: a._data if isinstance(a, Tensor) else a)
            result = straight().get(function, function.__wrapped__)(*args, **kwargs)
            given = args[0]
            if isinstance(result, Traced) and isinstance(given, Traced):
                if result.value is given.value:  # of the identity
                    return result
                result.value.origin = (function.__name__.strip("_"), given.value)
            return result
        return record(function, args, kwargs)

    def __getitem__(self, index: Any) -> Traced:
        return record(operator.getitem, (self, index))  # type: ignore[no-any-return]

    def __setitem__(self, index: Any, value: Any) -> None:
        self.value = record(placed, (self, index, value)).value

    # What is known of it ------------------------------------------------------------------

    @property
    def shape(self) -> tuple[int, ...]:
        return self.value.shape

    @property
    def dtype(self) -> Any:
        return self.value.dtype

    @property
    def ndim(self) -> int:
        return self.value.ndim

    @property
    def size(self) -> int:
        return int(np.size(self.value.sample))

    def __len__(self) -> int:
        return self.shape[0]

    # Methods of arrays, as the functions they are -----------------------------------------

    @property
    def T(self) -> Any:
        return np.transpose(self)

    def astype(self, dtype: Any, copy: bool = True) -> Any:
        return self if dtype == self.dtype else record(astype, (self, np.dtype(dtype)))

    def reshape(self, *shape: Any) -> Any:
        return record(np.reshape, (self, shape[0] if len(shape) == 1 else shape))

    def transpose(self, *axes: Any) -> Any:
        return record(np.transpose, (self, axes[0] if len(axes) == 1 else axes or None))

    def swapaxes(self, axis1: int, axis2: int) -> Any:
        return record(np.swapaxes, (self, axis1, axis2))

    def copy(self) -> Any:
        return Traced(self.value)

    def sum(self, axis: Any = None, keepdims: bool = False) -> Any:
        return record(np.sum, (self,), {"axis": axis, "keepdims": keepdims})

    def mean(self, axis: Any = None, keepdims: bool = False) -> Any:
        return record(np.mean, (self,), {"axis": axis, "keepdims": keepdims})

    def max(self, axis: Any = None, keepdims: bool = False) -> Any:
        return record(np.max, (self,), {"axis": axis, "keepdims": keepdims})

    def min(self, axis: Any = None, keepdims: bool = False) -> Any:
        return record(np.min, (self,), {"axis": axis, "keepdims": keepdims})

    def dot(self, other: Any) -> Any:
        return record(np.dot, (self, other))

    def ravel(self) -> Any:
        return self.reshape(-1)

    # What would need its numbers ----------------------------------------------------------

    def _refuse(self, *args: Any, **kwargs: Any) -> Any:
        raise TraceError(
            f"the cell's Python code asks for the numbers of an array ({user_frame()}), as an `if` "
            f"does, so one program cannot serve all steps: write the choice with np.where, or use "
            f"tg.unroll"
        )

    __bool__ = __float__ = __int__ = __index__ = item = tolist = __array__ = _refuse


@functools.cache
def straight() -> dict[Any, Callable[..., Any]]:
    """Functions that choose by their numbers how to compute, written without a choice."""
    from tinygrad_rnn.derivatives import functions

    def of_floats(x: Any) -> Any:
        return x.astype(np.float64) if x.dtype.kind in "iub" else x

    def parts(x: Any) -> tuple[Any, Any, Any]:
        shift = np.max(x, axis=-1, keepdims=True)
        e = np.exp(x - shift)
        return e, np.sum(e, axis=-1, keepdims=True), shift

    def softmax(x: Any) -> Any:
        e, s, _ = parts(of_floats(x))
        return e / s

    def log_softmax(x: Any) -> Any:
        x = of_floats(x)
        _, s, shift = parts(x)
        return x - shift - np.log(s)

    def scored(logits: Any, labels: Any) -> Any:
        logits = of_floats(logits)
        return record(
            cross_entropies, (logits, labels, np.ones_like(logits, shape=logits.shape[-1]))
        )

    def losses_at(logits: Any, labels: Any, found: Any) -> Any:
        functions.label_places(logits, _sample(_value(labels)))  # refuses what does not fit
        return scored(logits, labels)[0]

    def cross_entropy(logits: Any, labels: Any, found: Any) -> Any:
        losses = losses_at(logits, labels, found)
        if losses.size == 1:
            return np.reshape(losses, ())
        return np.sum(losses) / losses.size if logits.dtype.itemsize > 2 else np.mean(losses)

    def residual(logits: Any, labels: Any, weight: Any, found: Any) -> Any:
        losses, e, s = scored(logits, labels)
        if losses.size == 1:
            weights = np.reshape(weight, losses.shape)
        else:
            weights = np.broadcast_to(weight, losses.shape)
        return record(cross_entropy_gradient, (e, s, labels, weights))

    return {
        functions.softmax: softmax,
        functions.log_softmax: log_softmax,
        functions.losses_at: losses_at,
        functions.mean_loss: cross_entropy,
        functions.residual: residual,
    }


CONSTANT_LIKE = {np.ones_like: 1, np.zeros_like: 0, np.empty_like: 0}


def record(function: Any, args: Any, kwargs: Any = None) -> Any:
    """Call the function on the samples, and write down that it was called."""
    kwargs = {k: v for k, v in (kwargs or {}).items() if v is not np._NoValue}
    if function in CONSTANT_LIKE or function is np.full_like:
        return _constant(function, *args, **kwargs)
    args, kwargs = mapped((tuple(args), kwargs), _value)
    sampled_args, sampled_kwargs = mapped((args, kwargs), _sample)
    result = function(*sampled_args, **sampled_kwargs)
    if isinstance(result, tuple | list) and any(isinstance(r, np.ndarray) for r in result):
        return type(result)(
            Traced(
                Value(part, "", operator.getitem, (Value(result, "", function, args, kwargs), i))
            )
            for i, part in enumerate(result)
        )
    if not isinstance(result, np.ndarray | np.generic):
        return result  # a shape, a number of axes: known while tracing
    if function is np.reshape and args[0].shape == result.shape:
        return Traced(args[0])
    return Traced(Value(result, "", function, args, kwargs))


def _value(leaf: Any) -> Any:
    return leaf.value if isinstance(leaf, Traced) else leaf


def _sample(leaf: Any) -> Any:
    if isinstance(leaf, slice):
        return slice(_sample(leaf.start), _sample(leaf.stop), _sample(leaf.step))
    return leaf.sample if isinstance(leaf, Value) else leaf


def _constant(
    function: Any, like: Any, *rest: Any, dtype: Any = None, shape: Any = None, **ignored: Any
) -> Traced:
    fill = CONSTANT_LIKE[function] if function in CONSTANT_LIKE else rest[0]
    if isinstance(fill, Traced):
        raise TraceError(f"np.full_like with a computed value cannot be compiled ({user_frame()})")
    shape = like.shape if shape is None else (shape,) if isinstance(shape, int) else tuple(shape)
    args = (shape, fill, np.dtype(dtype or like.dtype))
    return Traced(Value(filled(*args), "", filled, args))
