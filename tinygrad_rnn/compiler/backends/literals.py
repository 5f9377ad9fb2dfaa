"""Python source for calls and for constants."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import numpy as np

from tinygrad_rnn.compiler.ir import Known
from tinygrad_rnn.compiler.operations import astype, copy, filled, path_of


def literal(value: Any, known: Callable[[Any], str | None] = lambda leaf: None) -> str:
    """The source of an argument. known: a function that gives the name of an array of the program,
    and None for a constant."""
    name = known(value)
    if name is not None:
        return name
    if value is Ellipsis:
        return "..."
    if isinstance(value, Known):
        return repr(value)
    if isinstance(value, slice):
        parts = (value.start, value.stop, value.step)
        return f"slice({', '.join(literal(part, known) for part in parts)})"
    if isinstance(value, tuple | list):
        inner = ", ".join(literal(part, known) for part in value)
        if isinstance(value, list):
            return f"[{inner}]"
        return f"({inner}{',' if len(value) == 1 else ''})"
    if isinstance(value, np.dtype):
        return of_dtype(value)
    if isinstance(value, type) and issubclass(value, np.generic):
        return f"np.{value.__name__}"
    if isinstance(value, np.generic):
        return f"np.{value.dtype.name}({literal(value.item())})"
    if isinstance(value, np.ndarray):
        if not value.size:  # a list cannot express its shape
            return f"np.zeros({literal(value.shape)}, {literal(value.dtype)})"
        return f"np.array({literal(value.tolist())}, {literal(value.dtype)})"
    if isinstance(value, complex) and not isinstance(value, float):
        return f"complex({literal(value.real)}, {literal(value.imag)})"
    if isinstance(value, float) and (value != value or value in (np.inf, -np.inf)):
        return f"float({str(value)!r})"
    if isinstance(value, type):
        return value.__name__
    return repr(value)


def of_dtype(dtype: np.dtype[Any]) -> str:
    plain = dtype.kind in "?bifcu" and dtype.isnative
    return f"np.{dtype.name}" if plain else f"np.dtype({dtype.str!r})"


def of_index(index: Any, name: Callable[[Any], str] = literal) -> str:
    """The source of an index, without its brackets."""

    def part(leaf: Any) -> str:
        if not isinstance(leaf, slice):
            return name(leaf)
        ends = ["" if end is None else name(end) for end in (leaf.start, leaf.stop)]
        return ":".join([*ends, *([] if leaf.step is None else [name(leaf.step)])])

    if isinstance(index, tuple) and index:
        return ", ".join(map(part, index))
    return part(index)


FORMS: dict[Any, str] = {
    np.asarray: "{}",  # it is one
    copy: "{}",
    np.copy: "{}.copy()",
    np.dot: "{}.dot({})",
    np.matmul: "{} @ {}",
    astype: "{}.astype({})",
    filled: "np.full({}, {}, {})",
}
"""The calls that are written in another form than `function(…)`."""


def expression(
    function: Any, args: Any, kwargs: Any, name: Callable[[Any], str], forms: Any = FORMS
) -> str:
    """The source of a call. name: a function that gives the source of an argument, array or not."""
    form = forms.get(function, "")
    if form and form.count("{}") == len(args) and not kwargs:
        return str(form.format(*map(name, args)))
    if function is operator.getitem:
        return f"{name(args[0])}[{of_index(args[1], name)}]"
    if function is np.reshape and len(args) == 2 and not kwargs:
        shape = args[1] if isinstance(args[1], tuple) else (args[1],)
        return f"{name(args[0])}.reshape({', '.join(map(literal, shape)) or '()'})"
    options = [f"{key}={name(value)}" for key, value in kwargs.items()]
    return f"{path_of(function)}({', '.join([*map(name, args), *options])})"
