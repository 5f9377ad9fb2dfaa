"""The table of derivatives: each entry is one line that pairs a function with its pull-backs.

    derivative(np.tanh, lambda g, y: g * (1 - y * y))

A pull-back maps `g`, the gradient of the output, to a contribution to the gradient of one
argument. Its parameter names say which other values it needs. The graph keeps these values:

    g            the gradient from above (always first)
    y            the output
    i            the place of the element, where the argument is a sequence of arrays
    shape_of_a   the shape of the argument `a`; the array itself is not kept
    a, x1, axis  any argument of the function, under the function's own name for it

A pull-back need not undo broadcasting. Its contribution may have any shape that broadcasts to or
from the argument's, and the reverse pass sums or repeats it. A pull-back is plain NumPy. On Tensors
it is itself recorded, so derivatives of higher order need no rules of their own.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterator
from typing import Any
from weakref import WeakValueDictionary

import numpy as np

from tinygrad_rnn.engine.graph import Array
from tinygrad_rnn.engine.rules import Composition, Rule

RULES: dict[Callable[..., Any], Rule] = {}
"""The table: the functions of NumPy and Python that can be differentiated."""

_wrapped: WeakValueDictionary[int, Callable[..., Any]] = WeakValueDictionary()
"""The other functions, in the order of their entry.

Each holds its own rule, as `function.rule`, and both are freed together."""

on_entry: list[Callable[[Callable[..., Any], Rule], None]] = []
"""Called with each rule that is entered or changed, and its function."""

on_rule_change: list[Callable[[Callable[..., Any], Rule], None]] = []
"""Called when a rule takes the place of another one in `RULES`.

Caches built from rules register here to be invalidated."""

COMPOSED: dict[Callable[..., Any], Composition] = {}
"""Functions that are differentiated as a composition of others."""

CONSTANT: set[Callable[..., Any]] = set()
"""Functions without a useful derivative (comparisons, argmax, shapes). They return plain arrays."""

REFUSED: dict[Callable[..., Any], str] = {}
"""Functions that are known not to be differentiable here, each with the reason."""

CONVENTIONS: dict[Callable[..., Any], str] = {}
"""The conventions for points where a derivative does not exist, or is a matter of choice."""


def derivative(
    function: Callable[..., Any],
    *pullbacks: Callable[..., Array] | None,
    **named: Callable[..., Array] | None,
) -> Callable[..., Any]:
    """Enter `function` into the table; return the function to call on Tensors.

    pullbacks: one per argument, in the function's order; None for an argument without a derivative.
        Each is `(g, ...) -> contribution`. A parameter is named `y` (the output), `i` (the place in
        a sequence), `shape_of_a`, or after any argument of the function.
    named: the pull-backs of later arguments, by their names.
    A function that is already in the table gets these pull-backs in place of the old ones.
    Raises TypeError if a pull-back has a parameter that is no argument of the function.

    A NumPy function is returned unchanged, because NumPy itself dispatches to the Tensors among its
    arguments (NEP 13 and 18). Any other function is returned wrapped, with the same dispatch.

    >>> import numpy as np, tinygrad_rnn as tg
    >>> def cube(x):
    ...     return x * x * x
    >>> cube = tg.derivative(cube, lambda g, x: 3 * g * x * x)
    >>> print(tg.grad(tg.grad(cube))(2.0))
    12.0
    """
    if not callable(function):
        raise TypeError(f"derivative needs a function and its pull-backs, not {function!r}")
    if not (
        isinstance(function, np.ufunc)
        or hasattr(function, "_implementation")
        or _is_builtin(function)
    ):
        function = overridable(function)
        rule = function.rule = Rule(function, pullbacks, named)  # type: ignore[attr-defined]
        _wrapped[id(function)] = function
        heard = on_entry
    else:
        heard = on_entry + on_rule_change * (function in RULES)
        rule = RULES[function] = Rule(function, pullbacks, named)
    for told in heard:
        told(function, rule)
    return function


def computed_by(function: Callable[..., Any], compute: Callable[..., Any]) -> None:
    """Declare a faster way to compute a function of the table, for the same results."""
    rule = RULES[function]
    rule.compute = compute
    for told in on_entry:
        told(function, rule)


def rule_of(function: Callable[..., Any]) -> Rule | None:
    """The rule of a function, or None if it has none."""
    rule: Rule | None = RULES.get(function) or getattr(function, "rule", None)
    return rule


def differentiable() -> list[Callable[..., Any]]:
    """All functions that have a rule."""
    return [*RULES, *_wrapped.values()]


def constant(*functions: Callable[..., Any]) -> None:
    """Declare functions that are computed on the arrays and never recorded."""
    CONSTANT.update(functions)


def composed(function: Callable[..., Any] | None, composition: Callable[..., Any]) -> None:
    """Enter a function as a composition of functions that are in the table already.

    function: None if this version of NumPy lacks it; then nothing is entered.
    composition: a function with the same argument names. A call that sets an argument which the
        composition lacks is refused.
    """
    if function is not None:
        COMPOSED[function] = Composition(function, composition)


def refused(reason: str, *functions: Callable[..., Any]) -> None:
    """Declare why functions cannot be differentiated here."""
    REFUSED.update(dict.fromkeys(functions, reason))


def convention(says: str, *functions: Callable[..., Any]) -> None:
    """Declare the convention for functions where the derivative is a matter of choice."""
    CONVENTIONS.update(dict.fromkeys(functions, says))


METHODS: dict[str, Callable[..., Any]] = {}
"""The compositions for the methods of every ufunc: reduce, accumulate, outer."""


def composition(function: Callable[..., Any]) -> Composition | None:
    """The composition for a function, or for a method of a ufunc; None if there is none."""
    if function in COMPOSED:
        return COMPOSED[function]
    ufunc = getattr(function, "__self__", None)
    if isinstance(ufunc, np.ufunc) and function.__name__ in METHODS:
        return Composition(function, functools.partial(METHODS[function.__name__], ufunc))
    return None


def plain(x: Any) -> Array:
    """The array inside a Tensor, or an array itself. A rule that decides by values reads them."""
    return x._data if getattr(x, "_records", False) else x


def known(x: Any) -> bool:
    """Whether the values of an array are known. While a cell is compiled they are not."""
    return not getattr(plain(x), "_records", False)


def certain(condition: Any) -> bool:
    """Whether a condition on values is known to hold.

    A rule uses it to choose between two correct ways, or to refuse a call that NumPy allows."""
    return known(condition) and bool(plain(condition))


def places_of(indices: Any) -> Array:
    """Indices into an array, as an array of integers."""
    inside = plain(indices)
    return np.asarray(inside) if known(inside) else inside


def _is_builtin(function: Callable[..., Any]) -> bool:
    return getattr(function, "__module__", None) in ("_operator", "operator")


def overridable(function: Callable[..., Any]) -> Callable[..., Any]:
    """Let the types of the arguments handle the call, as NumPy's functions do (NEP 18)."""

    @functools.wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        for argument in (*args, *kwargs.values()) if kwargs else args:
            if type(argument) is list or type(argument) is tuple:
                argument = next((a for a in argument if getattr(a, "_records", False)), None)
            if getattr(argument, "_records", False):
                return argument.__array_function__(wrapper, (type(argument),), args, kwargs)
        return function(*args, **kwargs)

    # The name for messages and pictures, and in the module.
    wrapper.__name__ = wrapper.__qualname__ = function.__name__.lstrip("_")
    return wrapper


def together(
    combine: Callable[..., Iterator[Array]], below: float = math.inf
) -> Callable[[Callable[..., Array]], Callable[..., Array]]:
    """Declare that the contributions of many uses are cheaper to compute at once.

    combine: from the list of uses, each `(g, *kept)`, to fewer contributions with the same sum.
    below: the size of `g` from which on a use is computed alone.
    """

    def mark(pullback: Callable[..., Array]) -> Callable[..., Array]:
        pullback.together, pullback.together_below = combine, below  # type: ignore[attr-defined]
        return pullback

    return mark
