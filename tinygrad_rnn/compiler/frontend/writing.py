"""Writing to arrays while a cell is traced. Afterwards the handle stands for a new value."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from tinygrad_rnn.compiler.frontend.refusals import TraceError, here
from tinygrad_rnn.compiler.frontend.values import Handle, pinned


def is_handle(thing: Any) -> bool:
    return issubclass(type(thing), Handle)


def written(target: Any, put: Callable[[Any, Any], None], values: Any) -> None:
    """Let a handle stand for its array after the write `put(array, values)`.

    The write is made once on an array of places, to find where each number goes. The recorded calls
    are np.where and np.take.
    """
    shape = np.shape(values)
    places = np.full(target.shape, -1)
    put(places, np.arange(math.prod(shape)).reshape(shape))
    where = places >= 0
    if shape and not hasattr(values, "__array_function__"):
        values = np.asarray(values)
    if shape:
        values = np.take(np.reshape(values, (-1,)), np.where(where, places, 0))
    target.becomes(cast(np.where(where, values, target.copy()), target.dtype).value, where)


def chosen(target: Any, where: Any, values: Any) -> None:
    """The same for a mask that is known only when the program runs."""
    if where.dtype != bool or np.shape(values) not in ((), target.shape):
        raise TraceError(
            f"the cell writes to places that depend on the numbers{here()}, which cannot be "
            f"compiled",
            "build the array with np.where",
        )
    mask = np.reshape(where, where.shape + (1,) * (target.ndim - where.ndim))
    target.becomes(cast(np.where(mask, values, target.copy()), target.dtype).value, None)


def _copyto(dst: Any, src: Any, casting: str = "same_kind", where: Any = True) -> None:
    where = settled(where)
    if is_handle(where):
        src = np.broadcast_to(src, dst.shape) if np.shape(src) else src
        chosen(_writable(dst), np.broadcast_to(where, dst.shape), src)
    else:
        written(_writable(dst), lambda a, v: np.copyto(a, v, where=where), src)


def _fill_diagonal(a: Any, val: Any, wrap: bool = False) -> None:
    written(_writable(a), lambda a, v: np.fill_diagonal(a, v, wrap), val)


def _put(a: Any, ind: Any, v: Any, mode: Any = "raise") -> None:
    ind = with_fixed_places(ind)
    written(_writable(a), lambda a, v: np.put(a, ind, v, mode), v)


def _put_along_axis(arr: Any, indices: Any, values: Any, axis: Any) -> None:
    indices = with_fixed_places(indices)
    written(_writable(arr), lambda a, v: np.put_along_axis(a, indices, v, axis), values)


def _putmask(a: Any, mask: Any, values: Any) -> None:
    mask = settled(mask)
    if is_handle(mask):
        chosen(_writable(a), mask, values)
    else:
        written(_writable(a), lambda a, v: np.putmask(a, mask, v), values)


def _place(arr: Any, mask: Any, vals: Any) -> None:
    mask = with_fixed_places(mask)
    written(_writable(arr), lambda a, v: np.place(a, mask, v), vals)


def _writable(target: Any) -> Any:
    if is_handle(target):
        return target
    raise TraceError(
        f"the cell writes a value of the step into a plain array{here()}, which cannot be compiled",
        "build the array with np.where or np.concatenate",
    )


def settled(index: Any) -> Any:
    """An index or a mask, with numbers in place of fixed values. A single handle stays a handle, if
    it is not fixed."""
    if is_handle(index):
        return index if index.value.fixed is None else pinned(index.value)
    if isinstance(index, tuple | list) and any(map(is_handle, index)):
        return type(index)(map(settled, index))
    return index


def with_fixed_places(index: Any) -> Any:
    """The numbers of an index. Raises TraceError if they differ from step to step."""
    index = settled(index)
    if any(map(is_handle, index if isinstance(index, tuple) else (index,))):
        raise TraceError(
            f"the cell writes to places that depend on the numbers{here()}, which cannot be "
            f"compiled",
            "build the array with np.where",
        )
    return index


def mask_or_places(index: Any) -> Any:
    """An index that names fixed places, or a handle to one mask."""
    index = settled(index)
    is_mask = is_handle(index) and index.dtype == bool
    return index if is_mask else with_fixed_places(index)


def cast(x: Any, dtype: Any) -> Any:
    return x if x.dtype == dtype else x.astype(dtype)


WRITERS: dict[Any, Callable[..., None]] = {
    np.copyto: _copyto,
    np.fill_diagonal: _fill_diagonal,
    np.put: _put,
    np.put_along_axis: _put_along_axis,
    np.putmask: _putmask,
    np.place: _place,
}
