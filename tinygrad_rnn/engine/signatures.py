"""The names of functions' arguments, also of those that an older NumPy does not tell."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any

import numpy as np

# NumPy writes these in C, and says since version 2.4 what their arguments are called.
WRITTEN: dict[str, Callable[..., Any]] = {
    "concatenate": lambda arrays, axis=0, out=None, *, dtype=None, casting="same_kind": None,
    "dot": lambda a, b, out=None: None,
    "inner": lambda a, b: None,
    "vdot": lambda a, b: None,
    "where": lambda condition, x=None, y=None: None,
}


@functools.lru_cache(maxsize=8)
def signature(function: Callable[..., Any]) -> inspect.Signature:
    """The signature of a function; TypeError if nobody knows it.

    >>> import numpy as np
    >>> from tinygrad_rnn.engine.signatures import signature
    >>> list(signature(np.dot).parameters)
    ['a', 'b', 'out']
    """
    try:
        return inspect.signature(function)
    except ValueError:
        name = getattr(function, "__name__", str(function))
        if name not in WRITTEN:
            raise TypeError(
                f"the names of {name}'s arguments are not known; wrap it in a Python function "
                f"whose arguments have names, and give that a derivative"
            ) from None
        return inspect.signature(WRITTEN[name])


def newer(name: str) -> Callable[..., Any]:
    """A function that an older NumPy may lack; there, one that nobody calls."""

    def absent(*args: Any, **kwargs: Any) -> Any:
        raise AttributeError(f"NumPy {np.__version__} has no {name}")

    function: Callable[..., Any] = getattr(np, name, absent)
    return function


def parameters(function: Callable[..., Any]) -> dict[str, Any]:
    """The arguments of a function, each with its default, None if it has none."""
    if isinstance(function, np.ufunc):
        return dict.fromkeys(
            ["x"] if function.nin == 1 else [f"x{n + 1}" for n in range(function.nin)]
        )
    kinds = (inspect.Parameter.VAR_KEYWORD,)
    return {
        name: None if p.default is inspect.Parameter.empty else p.default
        for name, p in signature(function).parameters.items()
        if p.kind not in kinds
    }


def optional(function: Callable[..., Any]) -> set[str]:
    """The arguments of a function that may be left out."""
    if isinstance(function, np.ufunc):
        return set()
    return {
        name
        for name, p in signature(function).parameters.items()
        if p.default is not inspect.Parameter.empty
    }


def is_variadic(function: Callable[..., Any]) -> bool:
    """Whether a function takes any number of arguments."""
    if isinstance(function, np.ufunc):
        return False
    kinds = [p.kind for p in signature(function).parameters.values()]
    return inspect.Parameter.VAR_POSITIONAL in kinds
