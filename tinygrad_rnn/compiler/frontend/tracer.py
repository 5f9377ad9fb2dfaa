"""The traced array, which records every NumPy call made on it.

Traced arrays are inside the Tensors while a cell is traced. The engine calls `np.f(array)`, and
NumPy dispatches to the array. So the calls of the cell, and those of the pull-backs in the sweep,
are recorded alike. Each traced array also has a sample of its numbers, for shapes and dtypes.
"""

from __future__ import annotations

import functools
import operator
import weakref
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.lib.mixins import NDArrayOperatorsMixin

from tinygrad_rnn.compiler.frontend.calls import called
from tinygrad_rnn.compiler.frontend.python_numbers import PythonNumbers
from tinygrad_rnn.compiler.frontend.refusals import ASKERS, TraceError, refused
from tinygrad_rnn.compiler.frontend.straight import straight
from tinygrad_rnn.compiler.frontend.values import (
    Handle,
    Value,
    is_handle,
    mapped,
    pinned,
    value_of,
)
from tinygrad_rnn.compiler.frontend.writing import (
    NO_INDEX,
    VALUES,
    assign,
    become,
    cast,
    writable,
    write,
)
from tinygrad_rnn.compiler.operations import added_at, astype, filled
from tinygrad_rnn.engine.tensor import Tensor
from tinygrad_rnn.engine.trees import flatten


class Traced(Handle, PythonNumbers, NDArrayOperatorsMixin):
    """A handle to a value. Every NumPy function of it makes a new value."""

    __slots__ = ()
    __array_priority__ = 100
    _records = True  # functions of the table that are not NumPy's dispatch here, too

    def __init__(self, value: Value, given: bool = False) -> None:
        self.value = value
        self.given = given
        self.views = []
        self.base = None

    # The calls ---------------------------------------------------------------------------

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *args: Any, **kwargs: Any) -> Any:
        if any(isinstance(a, Tensor) for a in args):
            return NotImplemented
        out = kwargs.pop("out", None)
        if method == "at":
            target, *rest = args
            if ufunc is not np.add or not isinstance(target, Traced):
                raise refused(f"the cell calls np.{ufunc.__name__}.at")
            become(target, record(added_at, (target, *rest)).value)
            return None
        function = ufunc if method == "__call__" else getattr(ufunc, method)
        result = record(function, args, kwargs)
        if out is not None:  # a += b: the handle goes on to stand for the new value
            (target,) = out
            become(writable(target, "use the result of the call"), cast(result, target.dtype).value)
            return target
        return result

    def __array_function__(
        self, function: Callable[..., Any], types: Any, args: Any, kwargs: Any
    ) -> Any:
        if Tensor in types:
            return NotImplemented
        tensor = next((a for a in (*args, *kwargs.values()) if type(a) is Tensor), None)
        if tensor is not None:  # which NumPy did not ask, as for the places of np.take
            return tensor.__array_function__(function, types, args, kwargs)
        if function in VALUES:
            return write(function, args, kwargs)
        if (
            hasattr(function, "__wrapped__")
            and str(function.__module__).partition(".")[0] != "numpy"
        ):
            # A function of the table: the NumPy calls in it are recorded, not its name.
            args = mapped(args, lambda a: a._data if isinstance(a, Tensor) else a)
            result = straight().get(function, function.__wrapped__)(*args, **kwargs)
            given = args[0]
            if isinstance(result, Traced) and isinstance(given, Traced):
                if result.value is given.value:  # of the identity
                    return result
                result.value.origin = (function.__name__.strip("_"), given.value)
            return result
        return record(function, args, kwargs)

    def __getitem__(self, index: Any) -> Any:
        if Tensor in map(type, index if isinstance(index, tuple) else (index,)):
            index = mapped(index, lambda i: i._data if type(i) is Tensor else i)
        return record(operator.getitem, (self, index))

    def __setitem__(self, index: Any, value: Any) -> None:
        assign(self, index, value)

    # What is known of it ------------------------------------------------------------------

    @property
    def _data(self) -> Traced:
        return self  # as a Tensor has it, for rules that ask

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
        if not self.shape:
            raise TypeError("len() of unsized object")
        return self.shape[0]

    # Methods of arrays, as the functions they are -----------------------------------------

    @property
    def T(self) -> Any:
        return record(np.transpose, (self,))

    def astype(self, dtype: Any, copy: bool = True) -> Any:
        if dtype == self.dtype:
            return self.copy() if copy else self
        return record(astype, (self, np.dtype(dtype)))

    def reshape(self, *shape: Any, order: str = "C") -> Any:
        shape = shape[0] if len(shape) == 1 else shape
        return record(np.reshape, (self, shape), {} if order == "C" else {"order": order})

    def transpose(self, *axes: Any) -> Any:
        return record(np.transpose, (self, axes[0] if len(axes) == 1 else axes or None))

    def copy(self) -> Any:
        return handle_of(self.value)

    def view(self, *kind: Any) -> Any:
        if kind:
            raise asked_for("view")
        return self.reshape(self.shape)

    def ravel(self) -> Any:
        return self.reshape(-1)

    def flatten(self) -> Any:
        return self.reshape(-1).copy()

    def fill(self, value: Any) -> None:
        self[...] = value

    def __getattr__(self, name: str) -> Any:
        """Other methods of arrays, by NumPy's functions of the same name."""
        if name in METHODS:
            return functools.partial(getattr(np, name), self)
        if name.startswith("_") or not hasattr(np.ndarray, name):
            raise AttributeError(f"an array has no attribute {name!r}")
        raise asked_for(name)


def asked_for(name: str) -> TraceError:
    """The error for an attribute that an array has, but a traced value does not."""
    return refused(
        f"the cell uses .{name} of a value of the step", cure="use NumPy functions instead"
    )


ASKERS[Traced.__array_function__.__code__] = lambda variables: variables["function"]


class FixedTraced(Traced):
    """A handle to a value computed from plain arrays alone, such as a mask that the cell carries.

    The program computes the value from the arrays of each run. Python code can read its numbers.
    Then the program is valid for these numbers only, and the arrays are pinned.
    """

    __slots__ = ()

    @property  # type: ignore[misc]
    def __class__(self) -> type:
        return np.ndarray  # for `isinstance`: it is what the cell has there

    @property
    def flags(self) -> Any:
        return self.value.sample.flags

    def _numbers(self, problem: str, why: str, cure: str) -> Any:
        return pinned(self.value)

    def __getattr__(self, name: str) -> Any:
        if name in METHODS:
            return functools.partial(getattr(np, name), self)
        if name in WRITING:
            raise asked_for(name)
        if name.startswith("__array"):
            raise AttributeError(name)
        found = getattr(pinned(self.value), name)
        if isinstance(found, np.ndarray | np.flatiter):
            self.given = True  # Python has a view of its numbers
        return found

    def __repr__(self) -> str:
        return repr(pinned(self.value))

    def __copy__(self) -> Any:
        return self.copy()

    def __deepcopy__(self, memo: Any) -> Any:
        return self.copy()


METHODS = frozenset(
    (
        *("sum", "prod", "mean", "var", "std", "max", "min", "any", "all", "argmax", "argmin"),
        *("cumsum", "cumprod", "trace", "diagonal", "swapaxes", "squeeze", "repeat", "take"),
        *("clip", "round", "conj", "dot", "argsort", "nonzero", "compress", "choose"),
        "searchsorted",
    )
)
"""Methods of arrays for which NumPy has a function of the same name."""

WRITING = frozenset(("sort", "partition", "put", "resize", "setfield", "byteswap"))
"""Methods that write into the array."""


def handle_of(value: Value, given: bool = False) -> Traced:
    return (Traced if value.fixed is None else FixedTraced)(value, given)


CONSTANT_LIKE = {np.ones_like: 1, np.zeros_like: 0, np.empty_like: 0}


def record(function: Any, args: Any, kwargs: Any = None) -> Any:
    """Record a call of handles. Returns handles of its results."""
    kwargs = {k: v for k, v in (kwargs or {}).items() if v is not np._NoValue}
    if function in CONSTANT_LIKE or function is np.full_like:
        return _constant(function, *args, **kwargs)
    call = called(function, *mapped((tuple(args), kwargs), value_of))
    handles = [handle_of(value) for value in call.values]
    for handle in handles if call.views else ():
        parent = args[0]
        parent.views.append(weakref.ref(handle))
        handle.base = parent, args[1] if function is operator.getitem else NO_INDEX
        handle.given = parent.given
    if call.shares:
        for leaf in filter(is_handle, [*handles, *flatten([*args])]):
            leaf.given = True  # a write would have to be seen elsewhere
    return call.together(iter(handles))


def _constant(
    function: Any, like: Any, *rest: Any, dtype: Any = None, shape: Any = None, **ignored: Any
) -> Traced:
    fill = CONSTANT_LIKE[function] if function in CONSTANT_LIKE else rest[0]
    if isinstance(fill, Traced):
        raise refused(
            "the cell calls np.full_like with a computed value", cure="multiply np.ones_like by it"
        )
    shape = like.shape if shape is None else (shape,) if isinstance(shape, int) else tuple(shape)
    args = (shape, fill, np.dtype(dtype or like.dtype))
    return Traced(Value(filled(*args), "", filled, args))
