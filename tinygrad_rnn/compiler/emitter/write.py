"""Python source for single calls and literals."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable
from typing import Any

import numpy as np

from tinygrad_rnn.compiler.emitter.losses import cross_entropies, cross_entropy_gradient
from tinygrad_rnn.compiler.frontend.tracer import TraceError, added_at, astype, filled


def literal(value: Any) -> str:
    """The source of an argument that is no array of the program."""
    if value is Ellipsis:
        return "..."
    if isinstance(value, slice):
        parts = ["" if p is None else literal(p) for p in (value.start, value.stop)]
        return ":".join(parts + ([literal(value.step)] if value.step is not None else []))
    if isinstance(value, tuple):
        if any(isinstance(p, slice) or p is Ellipsis for p in value):
            return ", ".join(map(literal, value))
        return f"({', '.join(map(literal, value))}{',' if len(value) == 1 else ''})"
    if isinstance(value, list):
        return f"[{', '.join(map(literal, value))}]"
    if isinstance(value, np.dtype):
        return f"np.{value.name}"
    if isinstance(value, type) and issubclass(value, np.generic):
        return f"np.{value.__name__}"
    if isinstance(value, np.generic):
        return f"np.{value.dtype.name}({literal(value.item())})"
    if isinstance(value, np.ndarray):
        return f"np.array({literal(value.tolist())}, np.{value.dtype.name})"
    if isinstance(value, float) and (value != value or value in (np.inf, -np.inf)):
        return f"float({str(value)!r})"
    return repr(value)


def call(function: Any) -> str:
    """How a function is called: np.tanh, np.linalg.norm, np.add.reduce."""
    if isinstance(function, np.ufunc):
        return f"np.{function.__name__}"
    if function in (cross_entropies, cross_entropy_gradient):
        return str(function.__name__)  # the page has them
    owner = getattr(function, "__self__", None)
    if isinstance(owner, np.ufunc):
        return f"np.{owner.__name__}.{function.__name__}"
    module = getattr(function, "__module__", "") or ""
    if module.partition(".")[0] == "numpy":
        return f"np{module.removeprefix('numpy')}.{function.__name__}"
    raise TraceError(
        f"{getattr(function, '__name__', function)} is no NumPy function, and cannot stand in a "
        f"program of NumPy calls: write it in NumPy, or use tg.unroll"
    )


def expression(function: Any, args: Any, kwargs: Any, name: Callable[[Any], str]) -> str:
    """The source of a call; name: the source of an argument, array or not."""
    if function is operator.getitem:
        return f"{name(args[0])}[{name(args[1])}]"
    if function is np.reshape:
        return f"{name(args[0])}.reshape({literal(args[1])})"
    if function is np.transpose and len(args) == 1:
        return f"{name(args[0])}.T"
    if function is np.swapaxes and args[1:] == (-1, -2) and np.ndim(args[0].sample) == 2:
        return f"{name(args[0])}.T"
    if function is astype:
        return f"{name(args[0])}.astype({literal(args[1])})"
    if function is filled:
        shape, value, dtype = args
        maker = {0: "zeros", 1: "ones"}.get(value)
        if maker is None:
            return f"np.full({literal(shape)}, {literal(value)}, {literal(dtype)})"
        return f"np.{maker}({literal(shape)}, {literal(dtype)})"
    if function is added_at:
        total, index, values = map(name, args)
        return f"added_at({total}, np.s_[{index}], {values})"
    infix = INFIX.get(function)
    if infix is not None and not kwargs:
        return f"{name(args[0])} {infix} {name(args[1])}"
    options = [f"{key}={name(value)}" for key, value in kwargs.items() if value is not None]
    return f"{call(function)}({', '.join([*map(name, args), *options])})"


def into_buffer(function: Any, args: list[str], out: str) -> str:
    """The source of an elementwise call that writes its result into a buffer."""
    # Two functions want the keyword, which costs a little at every call.
    keyword = "out=" if function in (np.maximum, np.minimum) else ""
    return f"{call(function)}({', '.join(args)}, {keyword}{out})"


INFIX: dict[Any, str] = {np.matmul: "@"}


def words(lines: list[str]) -> set[str]:
    """The names that stand in lines of source."""
    return set(re.findall(r"\w+", " ".join(lines)))
