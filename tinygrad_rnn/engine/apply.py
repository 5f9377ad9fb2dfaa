"""`apply`: the common path of all operators, indexing and NumPy functions on Tensors.

It calls the function on the arrays inside. If an argument needs a gradient, it records a node.
The most frequent calls take a faster path: `fast_path.py`.
"""

from __future__ import annotations

import functools
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import numpy as np

from tinygrad_rnn.engine.errors import one_array, refuse_unread, refuse_writing, without_rule
from tinygrad_rnn.engine.graph import Edge
from tinygrad_rnn.engine.recording import current_mark
from tinygrad_rnn.engine.rules import Pullback, Rule, unread_option
from tinygrad_rnn.engine.table import CONSTANT, composition, rule_of
from tinygrad_rnn.engine.tensor import Tensor, recorded, untracked

PLAIN = frozenset({int, slice, type(None), type(Ellipsis)})
"""Types of the parts of an index or a shape that hold no array."""

SEQUENCES = (list, tuple, deque)
"""Types of an argument that is a sequence of arrays."""

Use: TypeAlias = tuple[Tensor, str, Pullback | None, int | None]
"""A Tensor in a call, the name and the pull-back of its argument, and its place in a sequence."""


def apply(function: Callable[..., Any], args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
    """Call `function` on the arrays inside the arguments; record it if one needs a gradient.

    Raises TypeError for a function that has no rule in the table and would lose a gradient.
    """
    rule = rule_of(function)
    if rule is None:
        result = _without_rule(function, args, kwargs)
    elif rule.fast_path and len(args) == 1 and type(args[0]) is Tensor and not kwargs:
        return rule.fast_path(args[0])
    else:
        result = _recorded(rule, function, args, kwargs)
    mark = current_mark()
    if mark is not None and mark.watch is not None:
        mark.watch.value(result, function, args, kwargs)
    return result


def _recorded(
    rule: Rule, function: Callable[..., Any], args: Sequence[Any], kwargs: dict[str, Any]
) -> Any:
    """`apply` for a function with a rule in the table."""
    if not kwargs and len(args) <= rule.positions:
        values = [*args, *rule.defaults[len(args) :]]
    else:
        is_read = len(args) <= rule.positions and kwargs.keys() <= rule.understood
        if not is_read and unread_option(rule, args, kwargs) is not None:
            if not _needs_gradient((*args, *kwargs.values())):
                return _untracked(function, args, kwargs)
            refuse_unread(rule, function, args, kwargs)
        values = rule.bind(args, kwargs)

    arrays: list[Any] = []  # what is inside the values
    uses: list[Use] = []
    for value, (name, pullback) in zip(values, rule.arguments):  # noqa: B905 (hot, of one length)
        if type(value) is Tensor:
            if pullback is None or not pullback.takes_a_sequence:
                arrays.append(value._data)
                uses.append((value, name, pullback, None))
                continue
            value = list(value)  # its rows are the sequence
        if isinstance(value, SEQUENCES) and not PLAIN.issuperset(map(type, value)):
            if pullback and not pullback.takes_a_sequence and _needs_gradient(value):
                raise one_array(function, name)
            arrays.append(unwrap(value))
            uses += [(v, name, pullback, i) for i, v in enumerate(value) if type(v) is Tensor]
        else:
            arrays.append(value)
    positional = arrays[0] if rule.variadic else arrays[: len(args)]
    y = function(*positional, **unwrap(kwargs)) if kwargs else rule.compute(*positional)
    if type(y) is tuple:  # np.where of a condition alone: places, not values
        return y

    mark = current_mark()
    if mark is not None and (edges := _edges(uses, [*arrays, y, None])):
        return recorded(y, function, edges, mark)
    return untracked(y)


def _edges(uses: list[Use], values: list[Any]) -> tuple[Edge, ...]:
    """The edges from a call to its Tensors; an empty tuple if no gradient can flow.

    values: the arguments, the output, and None for the place of an element.
    """
    flows = False
    edges: list[Edge] = []
    shared: dict[str, tuple[Any, ...]] = {}  # values kept once for all elements of a sequence
    for tensor, name, pullback, i in uses:
        argument = name if i is None else (name, i)
        if not tensor._requires_grad or pullback is None:
            edges.append((tensor.node, argument, None, ()))
            continue
        flows = True
        if i is None:
            kept = pullback.keep(values)
        else:
            if name not in shared:
                shared[name] = pullback.keep(values)
            kept = pullback.of_element(shared[name], i)
        edges.append((tensor.node, argument, pullback, kept))
    return tuple(edges) if flows else ()


def _without_rule(function: Callable[..., Any], args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
    """Functions without a rule of their own: constant, composed of others, or refused."""
    if function in CONSTANT:
        return function(*unwrap(args), **unwrap(kwargs))
    if not _needs_gradient((*args, *kwargs.values())):
        return _untracked(function, args, kwargs)
    composed = composition(function)
    if composed is None:
        raise without_rule(function)
    refuse_unread(composed, function, args, kwargs)
    return composed(*args, **kwargs)


takes_precedence: Callable[[type], bool] = functools.cache(
    lambda kind: hasattr(kind, "__array_ufunc__") and not hasattr(kind, "__array_function__")
)
"""Whether a type handles ufuncs itself and cannot be inside a Tensor (NEP 13).

xarray's DataArray and a Series of pandas are such types."""


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
    return current_mark() is not None and any(
        v._requires_grad if type(v) is Tensor else isinstance(v, SEQUENCES) and _needs_gradient(v)
        for v in values
    )
