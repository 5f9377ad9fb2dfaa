"""`apply`: the common path of all operators, indexing and NumPy functions on Tensors.

It calls the function on the arrays inside. If an argument needs a gradient, it records a node.
The most frequent calls take a faster path: `fast_path.py`.
"""

from __future__ import annotations

import functools
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tinygrad_rnn.engine.errors import (
    one_array,
    refuse_unread,
    refuse_writing,
    without_rule,
)
from tinygrad_rnn.engine.graph import Edge
from tinygrad_rnn.engine.recording import current_mark
from tinygrad_rnn.engine.table import CONSTANT, RULES, composition
from tinygrad_rnn.engine.tensor import Tensor, recorded, untracked
from tinygrad_rnn.support.collector import without_collection

PLAIN = frozenset({int, slice, type(None), type(Ellipsis)})
"""Types of the parts of an index or a shape that hold no array."""

SEQUENCES = (list, tuple, deque)
"""Types of an argument that is a sequence of arrays."""

MANY = 256
"""From this many edges on, the garbage collector is paused: edges are tuples without cycles."""


def apply(
    function: Callable[..., Any], args: Sequence[Any], kwargs: dict[str, Any] | None = None
) -> Any:
    """Call `function` on the arrays inside the arguments; record it if one needs a gradient.

    Raises TypeError for a function that has no rule in the table and would lose a gradient.
    """
    rule = RULES.get(function) or getattr(function, "rule", None)
    if rule is None:
        result = _without_rule(function, args, kwargs or {})
    elif rule.fast_path and len(args) == 1 and type(args[0]) is Tensor and not kwargs:
        return rule.fast_path(args[0])
    else:
        result = _recorded(rule, function, args, kwargs)
    mark = current_mark()
    if mark is not None and mark.watch is not None:
        mark.watch.value(result, function, args, kwargs or {})
    return result


def _recorded(
    rule: Any, function: Callable[..., Any], args: Sequence[Any], kwargs: dict[str, Any] | None
) -> Any:
    """`apply` for a function with a rule in the table."""
    values = args
    given = len(args)
    if not kwargs and given <= rule.positions and not rule.variadic:
        if given != rule.arity:
            values = [*args, *rule.defaults[given:]]
    else:
        kwargs = kwargs or {}
        if rule.unread(args, kwargs) is not None:
            if not _is_tracked(args, kwargs):
                return _untracked(function, args, kwargs)
            refuse_unread(rule, function, args, kwargs)
        values = rule.bind(args, kwargs)

    arrays: list[Any] = []  # what is inside the values
    # The Tensors among them, each with its argument, and its place in a sequence.
    tensors: list[tuple[Tensor, Any, int | None]] = []
    for value, argument in zip(values, rule.arguments):  # noqa: B905 (hot, and of one length)
        if type(value) is Tensor:
            if argument[1] is None or not argument[1].takes_a_sequence:
                arrays.append(value._data)
                tensors.append((value, argument, None))
                continue
            value = list(value)  # its rows are the sequence
        if isinstance(value, SEQUENCES) and not PLAIN.issuperset(map(type, value)):
            if argument[1] and not argument[1].takes_a_sequence and _is_tracked(value, {}):
                raise one_array(function, argument[0])
            arrays.append(unwrap(value))
            tensors += [(v, argument, i) for i, v in enumerate(value) if type(v) is Tensor]
        else:
            arrays.append(value)
    if rule.variadic:
        y = function(*unwrap(args), **unwrap(kwargs))
    elif kwargs:
        y = function(*arrays[:given], **unwrap(kwargs))
    else:
        y = rule.compute(*arrays[:given])
    if type(y) is tuple:  # np.where of a condition alone: places, not values
        return y

    mark = current_mark()
    if mark is None:
        return untracked(y)
    if len(tensors) < MANY:
        edges = _edges(function, tensors, arrays, y)
    else:
        edges = without_collection(_edges, function, tensors, arrays, y)
    if not edges:
        return untracked(y)
    return recorded(y, function, edges, mark)


def _edges(
    function: Any, tensors: list[tuple[Tensor, Any, int | None]], arrays: list[Any], y: Any
) -> tuple[Edge, ...]:
    """The edges from a call to its Tensors; an empty tuple if no gradient can flow."""
    arrays += (y, None)
    flows = False
    edges: list[Edge] = []
    shared: dict[str, tuple[Any, ...]] = {}  # values kept once for all elements of a sequence
    for tensor, (name, pullback), i in tensors:
        argument = name if i is None else (name, i)
        if not tensor._requires_grad or pullback is None:
            edges.append((tensor.node, argument, None, ()))
            continue
        flows = True
        if i is None:
            kept = pullback.keep(arrays)
        else:
            if name not in shared:
                shared[name] = pullback.keep(arrays)
            kept = pullback.of_element(shared[name], i)
        edges.append((tensor.node, argument, pullback, kept))
    return tuple(edges) if flows else ()


def _without_rule(function: Callable[..., Any], args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
    """Functions without a rule of their own: constant, composed of others, or refused."""
    if function in CONSTANT:
        return function(*unwrap(args), **unwrap(kwargs))
    if not _is_tracked(args, kwargs):
        return _untracked(function, args, kwargs)
    composed = composition(function)
    if composed is None:
        raise without_rule(function)
    refuse_unread(composed, function, args, kwargs)
    return composed(*args, **kwargs)


def _has_its_own_way(kind: type) -> bool:
    return hasattr(kind, "__array_ufunc__") and not hasattr(kind, "__array_function__")


has_its_own_way: Callable[[type], bool] = functools.cache(_has_its_own_way)
"""Whether a type handles ufuncs itself and cannot be inside a Tensor.

xarray's DataArray and a Series of pandas are such types. They take precedence (NEP 13)."""


def _is_tracked(args: Sequence[Any], kwargs: dict[str, Any]) -> bool:
    return current_mark() is not None and _needs_gradient([*args, *kwargs.values()])


def _untracked(function: Callable[..., Any], args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
    """Compute without recording, as no gradient can be lost. An `out=` array is returned itself."""
    refuse_writing(function, kwargs)
    result = function(*unwrap(args), **unwrap(kwargs))
    return result if kwargs.get("out") is not None else _wrapped(result)


def unwrap(value: Any) -> Any:
    """The arrays inside Tensors, also in lists, tuples and dicts of them."""
    if type(value) is Tensor:
        return value._data
    if isinstance(value, SEQUENCES):  # plain sequences: NumPy may not know other kinds
        inside = [v._data if type(v) is Tensor else unwrap(v) for v in value]
        return tuple(inside) if isinstance(value, tuple) else inside
    if type(value) is dict:
        return {key: unwrap(v) for key, v in value.items()}
    return value


def _wrapped(value: Any) -> Any:
    if isinstance(value, list | tuple):
        parts = [_wrapped(v) for v in value]
        return type(value)(*parts) if hasattr(value, "_fields") else type(value)(parts)
    is_array = hasattr(value, "__array_function__") or isinstance(value, np.generic)
    return Tensor(value) if is_array else value


def _needs_gradient(values: Sequence[Any]) -> bool:
    return any(
        v._requires_grad if type(v) is Tensor else isinstance(v, SEQUENCES) and _needs_gradient(v)
        for v in values
    )
