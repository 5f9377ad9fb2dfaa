"""Operations: the calls of a program beyond NumPy's, and the properties of NumPy's functions.

Each operation is a plain function that needs NumPy alone, because printed programs include its
source.
"""

from __future__ import annotations

import operator
import sys
from collections.abc import Callable
from typing import Any

import numpy as np

from tinygrad_rnn.derivatives.exponentials import (
    cross_entropies as cross_entropies,
    cross_entropy_gradient as cross_entropy_gradient,
    exponentials,
    places_of,
)

# What a trace is written in ---------------------------------------------------------------------


def astype(x: Any, dtype: Any) -> Any:
    """An array of another dtype."""
    return x.astype(dtype)


def placed(total: Any, index: Any, values: Any) -> Any:
    """`total` with `values` written at the index: what `total[index] = values` leaves behind."""
    total = total.copy()
    total[index] = values
    return total


def added_at(total: Any, index: Any, values: Any) -> Any:
    """`total` with `values` added up at the index, repeated places too."""
    total = total.copy()
    np.add.at(total, index, values)
    return total


def filled(shape: Any, value: Any, dtype: Any) -> Any:
    """A constant array."""
    return np.full(shape, value, dtype)


def assembled(shape: Any, dtype: Any, indices: Any, parts: Any) -> Any:
    """An array put together from its parts, zero where there is none."""
    total = np.zeros(shape, dtype)
    for index, part in zip(indices, parts, strict=True):
        total[index] = part
    return total


# What a program adds to it ----------------------------------------------------------------------


def copy(source: Any, out: Any) -> Any:
    """out ← source, broadcast."""
    out[...] = source
    return out


def scattered(shape: Any, dtype: Any, index: Any, values: Any) -> Any:
    """Zeros with values added up at an index, repeated places too."""
    total = np.zeros(shape, dtype)
    np.add.at(total, index, values)
    return total


def with_end(gradient: Any, end: Any) -> Any:
    """∂L/∂h of all steps, with what comes from behind the last step: an array, or the number 0."""
    if type(end) is int:
        return gradient
    gradient = np.array(gradient)
    gradient[-1] += end
    return gradient


def with_given(gradient: Any, given: Any) -> Any:
    """∂L/∂h of all steps, with what the caller adds: an array, or None."""
    return gradient if given is None else gradient + given


def entered(row: Any, matrix: Any, continued: Any) -> Any:
    """∂L/∂h_0 as a row times a matrix. A block before this one makes the product itself."""
    return row.copy() if continued else row.dot(matrix)


def aligned(shape: Any, dtype: Any) -> Any:
    """An array that begins at a cache line: a row times this matrix is faster by up to a tenth."""
    size = int(np.prod(shape)) * np.dtype(dtype).itemsize
    memory = np.empty(size + 64, np.uint8)
    begin = -memory.ctypes.data % 64
    return memory[begin : begin + size].view(dtype).reshape(shape)


def over_lanes(link: Any) -> Any:
    """Σ of a link over the lanes alive at the first step. Each back end has its own way."""
    raise NotImplementedError


HELPERS = (
    *(placed, added_at, assembled, exponentials, places_of, cross_entropies),
    *(cross_entropy_gradient, scattered, with_end, with_given, entered, aligned),
)
"""The operations that a printed program includes, each after those that it needs."""

OUT_LAST = (cross_entropies, cross_entropy_gradient)
"""The operations that take the arrays to write to as their last arguments."""

REDUCTIONS = (np.sum, np.mean, np.max, np.min, np.prod, np.std, np.var)
JOINING = (np.concatenate, np.stack)


def is_elementwise(function: Any) -> bool:
    return isinstance(function, np.ufunc) and function.signature is None and function.nout == 1


def takes_out(function: Callable[..., Any] | None, kwargs: Any = ()) -> bool:
    """Whether a function writes into an array that it is given."""
    if is_elementwise(function):
        return not kwargs
    if function in JOINING and "dtype" in dict(kwargs):
        return False  # NumPy takes one of the two
    return function in (np.matmul, np.dot, *OUT_LAST, copy, *REDUCTIONS, *JOINING)


def called(instr_function: Callable[..., Any], args: Any, kwargs: Any, out: Any) -> Any:
    """Make a call that writes into `out`: an array, or a tuple of arrays."""
    if instr_function is copy or instr_function in OUT_LAST:
        return instr_function(*args, *(out if isinstance(out, tuple) else (out,)))
    return instr_function(*args, **kwargs, out=out)


def path_of(function: Any) -> str | None:
    """The path of a function in NumPy, such as np.tanh, np.linalg.norm or np.add.reduce; None if it
    is not NumPy's."""
    name, owner = getattr(function, "__name__", ""), getattr(function, "__self__", None)
    if function in HELPERS:
        return str(name)
    if isinstance(owner, np.ufunc):
        base = path_of(owner)
        return None if base is None else f"{base}.{name}"
    for module in ("numpy", str(getattr(function, "__module__", ""))):
        is_numpy = module.partition(".")[0] == "numpy"
        if is_numpy and getattr(sys.modules.get(module), name, None) is function:
            return f"np{module.removeprefix('numpy')}.{name}"
    return None


KNOWN = (operator.getitem, astype, filled)
"""The calls that are not written as the name of a function."""


def can_be_written(function: Any) -> bool:
    return function in KNOWN or path_of(function) is not None
