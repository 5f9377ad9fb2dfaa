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
    callable_by_name,
    fixed_of,
    is_dynamic,
    keeps_form,
    plain_of,
    without_options,
)
from tinygrad_rnn.compiler.frontend.refusals import (
    UNNAMED,
    TraceError,
    asking_function,
    here,
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


class Call(NamedTuple):
    """The values that a call makes.

    together: from an iterator over these values, or over handles of them, to the result of the
        call. looks: if the result is a view of the first argument, the function and its other
        arguments, in the sample.
    """

    values: list[Value]
    together: Callable[[Iterator[Any]], Any]
    looks: tuple[Any, Any] | None = None


def of_python(result: Any) -> Call:
    """A call whose result is known while tracing, and no value of the program."""
    return Call([], lambda _: result)


def called(function: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Call:
    """A call of a function on values. Raises TraceError if a program cannot contain it."""
    operands = list(values_in((args, kwargs)))
    fixed = fixed_of(operands)
    if fixed is None and is_dynamic(function, args):
        what = asking_function() or UNNAMED
        if what is UNNAMED:
            what = f"np.{getattr(function, '__name__', '')}"
        if function is operator.getitem:
            what = "an index of booleans"
        raise TraceError(
            f"the shape of the result of {what} depends on the numbers{here()}, but a program has "
            f"one shape for all steps",
            "multiply by a mask, choose with np.where",
        )
    if fixed is not None and not keeps_form(function, args):
        args, kwargs = mapped((args, kwargs), plain_of)  # what Python computes, once
        return of_python(function(*args, **kwargs))
    if fixed is None and any(value.fixed is not None for value in operands):
        args, kwargs = without_options(function, args, kwargs)
    if not callable_by_name(function):
        raise TraceError(
            f"{getattr(function, '__name__', function)} is not a NumPy function{here()}, so it "
            f"cannot be compiled",
            "write it in NumPy",
        )
    if any(callable(leaf) and not isinstance(leaf, type) for leaf in plain_leaves(args)):
        raise TraceError(
            f"np.{function.__name__} calls a Python function on parts of an array{here()}, so it "
            f"cannot be compiled",
            "write it with np.where",
        )
    if function is np.dot and any(np.ndim(sample_in(part)) == 0 for part in args):
        function = np.multiply  # which it is, if one of them is a number
    sampled_args, sampled_kwargs = mapped((args, kwargs), sample_in)
    try:
        result = function(*sampled_args, **sampled_kwargs)
    except ValueError as problem:
        if "read-only" not in str(problem):
            raise
        raise _writes(function) from None
    if result is None:
        raise TraceError(
            f"np.{function.__name__} returns nothing{here()}, and a program has calls alone whose "
            f"results it uses",
            "call it outside of the cell",
        )
    place = user_frame()
    several = isinstance(result, tuple | list) and result
    if several and all(isinstance(part, np.ndarray | np.generic) for part in result):
        remade = type(result)._make if hasattr(result, "_make") else type(result)
        whole = made(remade(map(own, result)), function, args, kwargs, fixed, place)
        parts = [
            made(part, operator.getitem, (whole, i), {}, fixed, place)
            for i, part in enumerate(whole.sample)
        ]
        return Call(parts, remade)
    if not isinstance(result, np.ndarray | np.generic):
        if function in OF_FORM:
            return of_python(result)  # a shape, a number of axes: known while tracing
        if fixed is not None:
            for value in operands:
                pinned(value)
            return of_python(result)
        raise TraceError(
            f"np.{function.__name__} returns a {type(result).__name__}{here()}, which would be the "
            f"same at all steps of a program",
            "use NumPy functions that return arrays",
        )
    looks = None
    if args and isinstance(args[0], Value) and np.may_share_memory(result, args[0].sample):
        looks = function, mapped((args[1:], kwargs), sample_in)
    if function is np.reshape and args[0].shape == result.shape and not kwargs:
        return Call([args[0]], next, looks)
    return Call([made(own(result), function, args, kwargs, fixed, place)], next, looks)


def plain_leaves(args: Any) -> Iterator[Any]:
    """The leaves among arguments, also inside lists and tuples."""
    for leaf in args:
        if isinstance(leaf, tuple | list):
            yield from plain_leaves(leaf)
        else:
            yield leaf


def made(
    sample: Any, function: Any, args: Any, kwargs: Any, fixed: frozenset[Value] | None, place: Any
) -> Value:
    """A new value, with its dependences and the line that computes it."""
    value = Value(sample, "", function, args, kwargs)
    value.fixed, value.place = fixed, place
    return value


def _writes(function: Any) -> TraceError:
    name = getattr(function, "__name__", function)
    return TraceError(
        f"{name} writes into its argument{here()}, which cannot be compiled",
        "use a function that returns a new array",
    )
