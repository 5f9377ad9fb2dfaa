"""The calls on plain arrays that a program can make, and the arguments known while tracing."""

from __future__ import annotations

import operator
from typing import Any

import numpy as np

from tinygrad_rnn.compiler.frontend.values import (
    Value,
    mapped,
    pinned,
    sample_in,
    values_in,
)
from tinygrad_rnn.compiler.operations import added_at, astype
from tinygrad_rnn.engine.table import COMPOSED, CONSTANT, RULES

OF_FORM: frozenset[Any] = frozenset(
    (
        *(np.shape, np.ndim, np.size, np.iscomplexobj, np.isrealobj, np.result_type, np.can_cast),
        *(np.common_type, np.shares_memory, np.may_share_memory),
    )
)
"""Functions that read shapes and dtypes, not numbers."""

DYNAMIC: frozenset[Any] = frozenset(
    (
        *(np.nonzero, np.flatnonzero, np.argwhere, np.unique, np.compress, np.extract),
        *(np.trim_zeros, np.bincount, np.histogram, np.union1d, np.intersect1d, np.setdiff1d),
        *(np.setxor1d, np.unique_all, np.unique_counts, np.unique_inverse, np.unique_values),
    )
)
"""Functions whose results have a shape that depends on the numbers."""

PLACES: dict[Any, tuple[int, ...]] = {
    operator.getitem: (0, 1),
    np.take: (0, 1),
    np.take_along_axis: (0, 1),
    np.where: (0, 1, 2),
    np.choose: (0, 1),
    np.repeat: (0,),
    np.delete: (0,),
    np.insert: (0, 2),
}
"""The arguments that may be arrays of the program, for functions whose rule does not say it."""


def array_places(function: Any) -> tuple[int, ...] | None:
    """The arguments that may be arrays of the program; None for a function without a rule."""
    if function in PLACES or function not in RULES:
        return PLACES.get(function)
    return tuple(n for n, (_, pullback) in enumerate(RULES[function].arguments) if pullback)


def fixed_of(operands: list[Value]) -> frozenset[Value] | None:
    """The plain arrays that a call depends on; None if it depends on anything else."""
    if not operands:
        return None
    found: frozenset[Value] = frozenset()
    for value in operands:
        if value.fixed is None:
            return None
        found |= value.fixed
    return found


def is_dynamic(function: Any, args: Any) -> bool:
    """Whether the shape of the result depends on the numbers."""
    if function is operator.getitem:
        index = args[1] if isinstance(args[1], tuple) else (args[1],)
        return any(isinstance(i, Value) and i.ndim and i.dtype == bool for i in index)
    if function is np.where:
        return len(args) == 1
    return function in DYNAMIC


def keeps_form(function: Any, args: Any) -> bool:
    """Whether the program can make a call on plain arrays. The result must be one array, of a shape
    that does not depend on the numbers."""
    if is_dynamic(function, args):
        return False
    if function in (operator.getitem, astype, added_at) or isinstance(function, np.ufunc):
        return True
    if isinstance(getattr(function, "__self__", None), np.ufunc):
        return function.__name__ in ("reduce", "accumulate", "outer")
    places = array_places(function)
    if places is None:
        places = (0,) if function in COMPOSED or function in CONSTANT else ()
    elsewhere = [a for n, a in enumerate(args) if n not in places]
    return bool(places) and all(v.ndim and v.dtype.kind == "f" for v in values_in(elsewhere))


def without_options(function: Any, args: Any, kwargs: Any) -> Any:
    """The arguments of a call, with numbers in place of fixed values that are options, such as an
    axis or a number of places. Options must be known while tracing."""
    places = array_places(function)
    if places is None or isinstance(function, np.ufunc):
        return args, kwargs
    kept = [a if n in places else mapped(a, plain_of) for n, a in enumerate(args)]
    if function is operator.getitem:  # an integer is an index known while tracing
        kept[1] = mapped(kept[1], lambda i: plain_of(i) if np.ndim(sample_in(i)) == 0 else i)
    return tuple(kept), mapped(kwargs, plain_of)


def plain_of(leaf: Any) -> Any:
    """The numbers of a fixed value."""
    if isinstance(leaf, Value) and leaf.fixed is not None:
        return pinned(leaf)[()]
    return leaf
