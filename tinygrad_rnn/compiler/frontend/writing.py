"""Writing to arrays while a cell is traced. Afterwards the handle stands for a new value."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from tinygrad_rnn.compiler.frontend.refusals import TraceError, name_of, refused
from tinygrad_rnn.compiler.frontend.values import Value, is_handle, pinned
from tinygrad_rnn.compiler.operations import filled, placed
from tinygrad_rnn.engine.tensor import Tensor

NO_INDEX: Any = object()
"""The index of a view that has all of an array in another form."""


def assign(target: Any, index: Any, value: Any) -> None:
    """Assign at an index: the handle then stands for a new value with these numbers at the
    index."""
    if type(value) is Tensor and not value.requires_grad:
        value = value._data
    base = value.base if is_handle(value) else None
    if base is not None and base[0] is target and is_same_index(base[1], index):
        return  # x[i] += v: the view that it was added to has written it already
    index = mask_or_places(index)
    if is_handle(index):
        chosen(target, index, value)
    elif target.value.function in (filled, placed):
        new = target.__array_function__(placed, (), (target, index, value), {})
        become(target, new.value)
    else:
        written(target, lambda array, numbers: array.__setitem__(index, numbers), value)


def is_same_index(one: Any, other: Any) -> bool:
    """Whether both are one index. From Python 3.12 on, `x[1:] += v` makes its slice twice."""
    return one is other or (type(one) is type(other) is slice and one == other)


def become(target: Any, value: Value) -> None:
    """Let a handle stand for another value from now on, like an array after a write."""
    if target.given:
        raise refused(
            "the cell writes into an array that it was given or holds", cure="compute a new array"
        )
    views = [view for reference in target.views if (view := reference()) is not None]
    if any(view.base is not None for view in views):
        raise refused(
            "the cell writes into an array that another view shares",
            cure="write into copies, build the array with np.where or np.concatenate",
        )
    target.value = value
    if target.base is not None:
        whole, index = target.base
        if index is NO_INDEX:
            raise refused(
                "the cell writes into a reshaped or transposed view of an array",
                cure="write into the array itself or into a copy",
            )
        target.base = None  # it does not shadow itself
        whole[index] = target
        target.base = whole, index


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
    become(target, cast(np.where(where, values, target.copy()), target.dtype).value)


def chosen(target: Any, where: Any, values: Any) -> None:
    """The same for a mask that is known only when the program runs."""
    if np.shape(values) not in ((), target.shape):
        raise wandering_places()
    mask = np.reshape(where, where.shape + (1,) * (target.ndim - where.ndim))
    become(target, cast(np.where(mask, values, target.copy()), target.dtype).value)


def wandering_places() -> TraceError:
    return refused(
        "the cell writes to places that depend on the numbers", cure="build the array with np.where"
    )


VALUES: dict[Any, int] = {
    **dict.fromkeys((np.copyto, np.fill_diagonal), 1),
    **dict.fromkeys((np.put, np.put_along_axis, np.putmask, np.place), 2),
}
"""The functions that only write into their first argument, with the place of the values."""


def write(function: Any, args: Any, kwargs: Any) -> None:
    """Let a handle stand for its array after a call of one of these functions."""
    place = VALUES[function]
    if len(args) <= place:
        raise refused(
            f"the cell calls {name_of(function)} with keywords", cure="pass the values by position"
        )
    given = [a if n in (0, place) else with_fixed_places(a) for n, a in enumerate(args)]
    options = {key: with_fixed_places(option) for key, option in kwargs.items()}

    def put(array: Any, numbers: Any) -> None:
        function(array, *given[1:place], numbers, *given[place + 1 :], **options)

    written(writable(args[0]), put, args[place])


def writable(target: Any, cure: str = "build the array with np.where or np.concatenate") -> Any:
    if is_handle(target):
        return target
    raise refused("the cell writes a value of the step into a plain array", cure=cure)


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
        raise wandering_places()
    return index


def mask_or_places(index: Any) -> Any:
    """An index that names fixed places, or a handle to one mask."""
    index = settled(index)
    is_mask = is_handle(index) and index.dtype == bool
    return index if is_mask else with_fixed_places(index)


def cast(x: Any, dtype: Any) -> Any:
    return x if x.dtype == dtype else x.astype(dtype)
