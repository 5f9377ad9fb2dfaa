"""The names of functions' arguments, including those that older versions of NumPy do not give."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import FunctionType
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from inspect import Signature

# Functions written in C. Only NumPy 2.4 and later give the names of their arguments, and Python
# takes several milliseconds to read them.
WRITTEN: dict[str, Callable[..., Any]] = {
    "bincount": lambda x, /, weights=None, minlength=0: None,
    "concatenate": lambda arrays, axis=0, out=None, *, dtype=None, casting="same_kind": None,
    "dot": lambda a, b, out=None: None,
    "getitem": lambda a, b, /: None,
    "inner": lambda a, b: None,
    "vdot": lambda a, b: None,
    "where": lambda condition, x=None, y=None: None,
}


def signature(function: Callable[..., Any]) -> Signature:
    """The signature of a function; TypeError if it is not known.

    >>> import numpy as np
    >>> from tinygrad_rnn.support.signatures import signature
    >>> list(signature(np.dot).parameters)
    ['a', 'b', 'out']
    """
    import inspect  # slow to import; only for functions not written in Python

    try:
        return inspect.signature(in_python(function))
    except ValueError:
        raise TypeError(
            f"the names of {getattr(function, '__name__', function)}'s arguments cannot be found "
            f"out; wrap it in a Python function with named arguments, and give that function a "
            f"derivative"
        ) from None


def in_python(function: Callable[..., Any]) -> Callable[..., Any]:
    """A Python function with the same arguments, where one is known; else the function itself."""
    plain = getattr(function, "_implementation", function)  # of a function of NumPy
    if isinstance(plain, FunctionType):
        return plain
    return WRITTEN.get(getattr(function, "__name__", ""), function)


class Arguments(NamedTuple):
    """The arguments of a function.

    defaults: the default of each argument, None if it has none. optional: the arguments that may be
    left out. is_variadic: whether the function takes any number of arguments.
    """

    defaults: dict[str, Any]
    optional: frozenset[str] = frozenset()
    is_variadic: bool = False

    def by_name(self, args: Sequence[Any], kwargs: dict[str, Any]) -> dict[str, Any]:
        """The arguments of a call by their names; of a variadic function, the keywords alone."""
        return kwargs if self.is_variadic else dict(zip(self.defaults, args, strict=False)) | kwargs


def arguments(function: Callable[..., Any]) -> Arguments:
    """The arguments of a function; TypeError if its signature is not known."""
    if isinstance(function, np.ufunc):
        names = ["x"] if function.nin == 1 else [f"x{n + 1}" for n in range(function.nin)]
        return Arguments(dict.fromkeys(names))
    plain = in_python(function)
    if isinstance(plain, FunctionType) and not hasattr(plain, "__wrapped__"):
        return _of_python(plain)
    found = signature(function).parameters
    return Arguments(
        {
            name: None if p.default is p.empty else p.default
            for name, p in found.items()
            if p.kind is not p.VAR_KEYWORD
        },
        frozenset(name for name, p in found.items() if p.default is not p.empty),
        any(p.kind is p.VAR_POSITIONAL for p in found.values()),
    )


def _of_python(function: FunctionType) -> Arguments:
    """The arguments, read from the function's code: `signature` takes twenty times as long."""
    code = function.__code__
    positional, keywords = code.co_argcount, code.co_kwonlyargcount
    names = list(code.co_varnames[:positional])
    given = function.__defaults__ or ()
    defaults = dict(zip(names[positional - len(given) :], given, strict=True))
    is_variadic = bool(code.co_flags & VARIADIC)
    if is_variadic:
        names.append(code.co_varnames[positional + keywords])
    names += code.co_varnames[positional : positional + keywords]
    defaults |= function.__kwdefaults__ or {}
    return Arguments({n: defaults.get(n) for n in names}, frozenset(defaults), is_variadic)


VARIADIC = 0x04
"""`inspect.CO_VARARGS`."""
