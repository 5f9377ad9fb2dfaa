"""One NumPy call of a trace: it is computed on the samples, and its results are new values.

A call that a program cannot contain is refused here.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np

from tinygrad_rnn.compiler.frontend.forms import (
    OF_FORM,
    fixed_of,
    is_dynamic,
    keeps_form,
    plain_of,
    without_options,
)
from tinygrad_rnn.compiler.frontend.refusals import (
    TraceError,
    asking_function,
    name_of,
    refused,
    user_frame,
)
from tinygrad_rnn.compiler.frontend.values import (
    Value,
    mapped,
    own,
    pinned,
    sample_in,
    values_in,
)
from tinygrad_rnn.compiler.operations import can_be_written
from tinygrad_rnn.engine.trees import flatten


class Call(NamedTuple):
    """The values that a call makes.

    together: from an iterator over these values, or over handles of them, to the result of the
        call. views: whether the values are views of the first argument. shares: whether there is a
        view that is not followed, of another argument or in Python.
    """

    values: list[Value]
    together: Callable[[Iterator[Any]], Any]
    views: bool = False
    shares: bool = False


def of_python(result: Any) -> Call:
    """A call whose result is known while tracing, and no value of the program."""
    shares = isinstance(result, np.ndarray) and not result.flags.owndata
    return Call([], lambda _: result, shares=shares)


def called(function: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Call:
    """A call of a function on values. Raises TraceError if a program cannot contain it."""
    operands = list(values_in((args, kwargs)))
    fixed = fixed_of(operands)
    if fixed is not None and not keeps_form(function, args):
        args, kwargs = mapped((args, kwargs), plain_of)  # what Python computes, once
        return of_python(function(*args, **kwargs))
    if fixed is None:
        if is_dynamic(function, args):
            raise depends_on_numbers(function)
        if any(value.fixed is not None for value in operands):
            args, kwargs = without_options(function, args, kwargs)
    refuse_unwritable(function, args)
    if function is np.dot and any(np.ndim(sample_in(part)) == 0 for part in args):
        function = np.multiply  # which it is, if one of them is a number
    result = on_samples(function, args, kwargs)
    place = user_frame()
    several = isinstance(result, tuple | list) and result
    if several and all(isinstance(part, np.ndarray | np.generic) for part in result):
        remade = type(result)._make if hasattr(result, "_make") else type(result)
        whole = Value(remade(map(own, result)), "", function, args, kwargs, fixed, place)
        parts = [
            Value(part, "", operator.getitem, (whole, i), {}, fixed, place)
            for i, part in enumerate(whole.sample)
        ]
        return Call(parts, remade, *views(whole.sample, args, kwargs))
    if not isinstance(result, np.ndarray | np.generic):
        if function not in OF_FORM:  # else a shape, a number of axes: known while tracing
            if fixed is None:
                raise refused(
                    f"{name_of(function)} returns a {type(result).__name__}",
                    "which would be the same at all steps of a program",
                    "use NumPy functions that return arrays",
                )
            for value in operands:
                pinned(value)
        return of_python(result)
    value = Value(own(result), "", function, args, kwargs, fixed, place)
    if function is np.reshape and args[0].shape == result.shape and not kwargs:
        value = args[0]
    return Call([value], next, *views(result, args, kwargs))


def views(result: Any, args: Any, kwargs: Any) -> tuple[bool, bool]:
    """The fields `views` and `shares` of a call, by its result in the sample."""
    parts = result if isinstance(result, tuple | list) else [result]
    if all(part.base is None for part in parts):
        return False, False  # new arrays

    def shared(operand: Value) -> bool:
        return any(np.may_share_memory(part, operand.sample) for part in parts)

    first = args[0] if args else None
    others = (value for value in values_in((args, kwargs)) if value is not first)
    return isinstance(first, Value) and shared(first), any(map(shared, others))


def depends_on_numbers(function: Any) -> TraceError:
    name = asking_function(name_of(function)) or name_of(function)
    if function is operator.getitem:
        name = "an index of booleans"
    return refused(
        f"the shape of the result of {name} depends on the numbers",
        "but a program has one shape for all steps",
        "multiply by a mask, choose with np.where",
    )


def refuse_unwritable(function: Any, args: Any) -> None:
    """TraceError for a call of Python code, which no program has."""
    if not can_be_written(function):
        raise refused(
            f"{name_of(function) or function} is not a NumPy function",
            "so it cannot be compiled",
            "write it in NumPy",
        )
    if any(callable(leaf) and not isinstance(leaf, type) for leaf in flatten(list(args))):
        raise refused(
            f"{name_of(function)} calls a Python function on parts of an array",
            "so it cannot be compiled",
            "write it with np.where",
        )


def on_samples(function: Any, args: Any, kwargs: Any) -> Any:
    """The result of a call on the numbers of the samples. TraceError if it only writes."""
    args, kwargs = mapped((args, kwargs), sample_in)
    try:
        result = function(*args, **kwargs)
    except ValueError as problem:
        if "read-only" not in str(problem):
            raise
        raise refused(
            f"{name_of(function)} writes into its argument",
            cure="use a function that returns a new array",
        ) from None
    if result is None:
        raise refused(
            f"{name_of(function)} returns nothing",
            "and a program has calls alone whose results it uses",
            "call it outside of the cell",
        )
    return result
