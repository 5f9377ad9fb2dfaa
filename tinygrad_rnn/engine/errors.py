"""Error messages for calls that would lose a gradient or make it wrong, one sentence each."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from tinygrad_rnn.engine.rules import Composition, Rule, unread_option
from tinygrad_rnn.engine.table import REFUSED

Function = Callable[..., Any]


def name_of(function: Function) -> str:
    """The name of a function as a user writes it; for a method of a ufunc, with the ufunc."""
    ufunc = getattr(function, "__self__", None)
    name = getattr(function, "__name__", str(function))
    return f"np.{ufunc.__name__}.{name}" if isinstance(ufunc, np.ufunc) else name


def without_rule(function: Function) -> TypeError:
    """The error for a function without a rule, or without a derivative."""
    name = name_of(function)
    if function in REFUSED:
        return TypeError(
            f"an argument of {name} needs a gradient, but {name} {REFUSED[function]}; "
            f"pass .data to compute without a gradient"
        )
    return TypeError(
        f"{name} has no rule in the table of derivatives, and an argument needs a gradient; "
        f"add one with tg.derivative({name}, lambda g, ...: ...), or pass .data to compute without "
        f"a gradient"
    )


def one_array(function: Function, argument: str) -> TypeError:
    """The error for a list of Tensors as one argument, if the pull-back does not take lists."""
    return TypeError(
        f"{name_of(function)} takes one array as its {argument}, not a list of Tensors that need a "
        f"gradient: join them with np.stack"
    )


def complex_values(function: Function, dtype: Any) -> TypeError:
    """The error for complex values, whose derivative is not computed here."""
    return TypeError(
        f"{name_of(function)} makes complex values ({dtype}) of a Tensor that needs a gradient, "
        f"and only real values can be differentiated; compute with the real and the imaginary "
        f"part separately, or pass .data to compute without a gradient"
    )


def python_objects(function: Function) -> TypeError:
    """The error for arrays of Python objects, such as Fractions, which have no derivative."""
    return TypeError(
        f"{name_of(function)} makes an array of Python objects of a Tensor that needs a gradient, "
        f"and only floats can be differentiated; convert the other argument first, for example "
        f"with float(x) or x.astype(np.float64)"
    )


def refuse_gradient_of(data: Any) -> None:
    """TypeError if data of this kind cannot have a gradient."""
    if data.dtype.kind != "f":
        raise TypeError(
            f"a gradient needs floats, but the data are {data.dtype} of shape {data.shape}; "
            f"convert them first, for example with .astype(np.float64)"
        )


def refuse_writing(function: Function, kwargs: Mapping[str, Any]) -> None:
    """TypeError if `out=` is a Tensor."""
    out = kwargs.get("out")
    if any(getattr(o, "_records", False) for o in (out if isinstance(out, tuple) else (out,))):
        raise TypeError(
            f"{name_of(function)} cannot write into a Tensor, because the graph would not see it; "
            f"omit out= and use the result"
        )


def refuse_unread(
    row: Rule | Composition, function: Function, args: Sequence[Any], kwargs: dict[str, Any]
) -> None:
    """TypeError for an option that the derivative does not take into account."""
    refuse_writing(function, kwargs)
    option = unread_option(row, args, kwargs)
    if kwargs.get("out") is not None:
        raise TypeError(
            f"{name_of(function)} would write a Tensor that needs a gradient into a plain array, "
            f"which loses the gradient; write x = x + t instead of x += t, and omit out="
        )
    if option is not None:
        raise TypeError(
            f"{name_of(function)} with {option}= has no derivative in the table; omit {option}=, "
            f"or pass .data to compute without a gradient"
        )


def check_name(name: str) -> None:
    """TypeError unless a name is a text."""
    if not isinstance(name, str):
        raise TypeError(f"a name must be a str, not {name!r}")
