"""Views: calls that compute nothing and only give another view of their operand's array.

Shapes alone decide which calls are views. Each value counts as contiguous, or as a view of a
contiguous value. The memory layout of one sample says nothing about the next.
"""

from __future__ import annotations

import operator
from dataclasses import replace
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np

from tinygrad_rnn.compiler.ir import Ref, T, Value, View, When
from tinygrad_rnn.derivatives.indexing import is_basic

KINDS: dict[Any, str] = {
    operator.getitem: "index",
    np.broadcast_to: "broadcast",
    **dict.fromkeys((np.transpose, np.swapaxes), "transpose"),
    **dict.fromkeys((np.reshape, np.expand_dims, np.squeeze), "reshape"),
}

_known: WeakKeyDictionary[Value, tuple[View | None, Any]] = WeakKeyDictionary()


def view_of(value: Value) -> View | None:
    """The value's view of its first operand; None if the value is computed or given."""
    return _seen(value)[0]


def is_view(value: Any) -> bool:
    return isinstance(value, Value) and view_of(value) is not None


def is_part(value: Value) -> bool:
    """Whether the value is one of several results of a call."""
    return (
        value.function is operator.getitem
        and isinstance(value.args[0], Value)
        and value.args[0].results is not None
    )


def source(value: Value) -> Value:
    """The value that a value is a view of, through all views."""
    while view_of(value) is not None:
        value = value.args[0]
    return value


def _seen(value: Value) -> tuple[View | None, Any]:
    """The view, and an array with the strides of the value. Its numbers are not used."""
    if value not in _known:
        view, array = _as_view(value), None
        if view is not None:
            base = _seen(value.args[0])[1]
            array = view.of(base)
            if base.size and not np.may_share_memory(base, array):
                view = None
        if view is None:
            array = np.empty(value.shape, np.int8)
        _known[value] = view, array
    return _known[value]


def _as_view(value: Value) -> View | None:
    """The call as a view, if the strides always allow it."""
    function, args = value.function, value.args
    kind = KINDS.get(function)
    base = args[0] if args else None
    if kind is None or not isinstance(base, Value) or base.results is not None:
        return None
    if kind == "index":
        if not is_basic(args[1]) or len(value.operands) > 1:
            return None
        return View(kind, as_index(args[1], value.shape))
    if kind == "transpose":  # the lengths of the axes tell their order
        assert function is not None
        turned = function(np.empty(range(base.ndim), np.int8), *args[1:], **value.kwargs)
        return View(kind, turned.shape)
    if len(args) > 2 or "order" in value.kwargs:
        return None
    return View(kind, value.shape, base.shape if kind == "broadcast" else ())


def of_all_steps(view: View) -> tuple[View, ...]:
    """The view of an array with a first axis of time."""
    argument = view.argument
    if view.kind == "index":
        return (View("index", (slice(None), *argument)),)
    if view.kind == "transpose":
        return (View("transpose", (0, *(axis + 1 for axis in argument))),)
    if view.kind == "reshape":
        return (View("reshape", (T, *argument)),)
    return (*aligned(view.before, len(argument)), View("broadcast", (T, *argument)))


def at_all_steps(ref: Ref) -> Ref:
    """The array of all steps, of which a step's reference is one entry."""
    if ref.when in (When.ALWAYS, When.ALL):
        return ref
    views = tuple(part for view in ref.views for part in of_all_steps(view))
    return replace(ref, when=When.ALL, views=views, seeded=False)


def aligned(shape: tuple[int, ...], ndim: int) -> tuple[View, ...]:
    """The view of an array of all steps that adds axes of length one behind the axis of time, where
    broadcasting would add them to one step's array."""
    missing = ndim - len(shape)
    return (View("reshape", (T, *[1] * missing, *shape)),) if missing > 0 else ()


def as_index(index: Any, shape: tuple[int, ...]) -> tuple[Any, ...]:
    """An index as a tuple that gives an array even where the result has no axes."""
    index = index if isinstance(index, tuple) else (index,)
    return index if shape or Ellipsis in index else (*index, Ellipsis)


def span(start: int, stop: int, length: int) -> slice:
    """The slice start..stop of an axis, in its shortest form."""
    return slice(start or None, stop if stop < length else None)


def columns(start: int, stop: int, width: int) -> View:
    return View("index", (Ellipsis, span(start, stop, width)))
