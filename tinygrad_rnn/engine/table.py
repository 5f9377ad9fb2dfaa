"""How a derivative is written down: one line that pairs a function with its pull-backs.

    derivative(np.tanh, lambda g, y: g * (1 - y * y))

A pull-back maps `g`, the gradient of the output, to a contribution to the gradient of one
argument. Its own parameter names say what else it needs, and so what the graph keeps alive:

    g            the gradient from above (always first)
    y            the output
    i            the place of the element, where the argument is a sequence of arrays
    shape_of_a   the shape of the argument `a`; the array itself is not kept
    a, x1, axis  any argument of the function, under the function's own name for it

Broadcasting is not its business: a contribution may have any shape that broadcasts to or from
the argument's, and the sweep sums or repeats it. A pull-back is plain NumPy, so on Tensors it is
itself recorded: every rule is its own second derivative.
"""

from __future__ import annotations

import functools
import itertools
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
"""The other functions, in the order of their entry. Each holds its own rule, as `function.rule`,
and is freed with it."""

on_entry: list[Callable[[Callable[..., Any], Rule], None]] = []
"""Called with every function of NumPy or Python that is entered, and its rule."""

on_rule_change: list[Callable[[Callable[..., Any], Rule], None]] = []
"""Called, besides, if that function had another rule before. Caches built from rules register here
to be invalidated."""

COMPOSED: dict[Callable[..., Any], Composition] = {}
"""Functions that are differentiated as a composition of others."""

CONSTANT: set[Callable[..., Any]] = set()
"""Functions with no derivative to speak of (comparisons, argmax, shapes): plain arrays come out."""

REFUSED: dict[Callable[..., Any], str] = {}
"""Functions that are known not to be differentiable here, each with the reason."""

CONVENTIONS: dict[Callable[..., Any], str] = {}
"""What is said where a derivative does not exist, or is a matter of choice."""


def derivative(
    function: Callable[..., Any],
    *pullbacks: Callable[..., Array] | None,
    **named: Callable[..., Array] | None,
) -> Callable[..., Any]:
    """Enter `function` into the table; return the function to call on Tensors.

    pullbacks: one per argument, in the function's order, None for one that has no derivative.
        Each is `(g, ...) -> contribution`, its parameters named as the module's first lines say.
    named: the same for later arguments, by their names.
    A function that is in the table already gets these pull-backs instead of the ones it had.
    Raises TypeError if a pull-back asks for a name that the function does not have.

    A NumPy function is returned as it is, for NumPy itself asks the Tensors among its arguments
    (NEP 13 and 18). Any other function comes back wrapped, so that it asks them in the same way.

    >>> import numpy as np, tinygrad_rnn as tg
    >>> def cube(x):
    ...     return x * x * x
    >>> cube = tg.derivative(cube, lambda g, x: 3 * g * x * x)
    >>> print(tg.grad(tg.grad(cube))(2.0))
    12.0
    """
    if not (
        isinstance(function, np.ufunc)
        or hasattr(function, "_implementation")
        or _is_builtin(function)
    ):
        wrapped = overridable(function)
        wrapped.rule = Rule(wrapped, pullbacks, named)  # type: ignore[attr-defined]
        _wrapped[next(_places)] = wrapped
        return wrapped
    is_change = function in RULES
    rule = RULES[function] = Rule(function, pullbacks, named)
    for told in on_entry + on_rule_change * is_change:
        told(function, rule)
    return function


_places = itertools.count()


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


def composed(function: Callable[..., Any], composition: Callable[..., Any]) -> None:
    """Enter a function as a composition of functions that are in the table already.

    composition: takes the same arguments under the same names; those that it leaves out are
        refused when a call sets them.
    """
    COMPOSED[function] = Composition(function, composition)


def refused(reason: str, *functions: Callable[..., Any]) -> None:
    """Say of functions why they cannot be differentiated here."""
    REFUSED.update(dict.fromkeys(functions, reason))


def convention(says: str, *functions: Callable[..., Any]) -> None:
    """Say what holds for functions where the derivative is a matter of choice."""
    CONVENTIONS.update(dict.fromkeys(functions, says))


METHODS: dict[str, Callable[..., Any]] = {}
"""What the methods of every ufunc are composed of: reduce, accumulate, outer."""


def composition(function: Callable[..., Any]) -> Composition | None:
    """How the table composes a function, or a method of a ufunc, of others; None if it does not."""
    if function in COMPOSED:
        return COMPOSED[function]
    ufunc = getattr(function, "__self__", None)
    if isinstance(ufunc, np.ufunc) and function.__name__ in METHODS:
        return Composition(function, functools.partial(METHODS[function.__name__], ufunc))
    return None


def plain(x: Any) -> Array:
    """The array inside a Tensor, where a rule has to decide something that has no derivative."""
    return x._data if getattr(x, "_records", False) else x


def known(x: Any) -> bool:
    """Whether the numbers of an array are known; not while a cell is compiled, for all steps."""
    return not getattr(plain(x), "_records", False)


def certain(condition: Any) -> bool:
    """Whether a condition on numbers is known to hold. A rule chooses by it between two ways that
    are both right, or refuses what NumPy would let pass."""
    return known(condition) and bool(plain(condition))


def places_of(indices: Any) -> Array:
    """Places in an array, as an array of integers."""
    inside = plain(indices)
    return np.asarray(inside) if known(inside) else inside


def _is_builtin(function: Callable[..., Any]) -> bool:
    return getattr(function, "__module__", None) in ("_operator", "operator")


def overridable(function: Callable[..., Any]) -> Callable[..., Any]:
    """Let the arguments' own type take over the call, as NumPy's functions do (NEP 18)."""

    @functools.wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        for argument in (*args, *kwargs.values()) if kwargs else args:
            if type(argument) is list or type(argument) is tuple:
                argument = next((a for a in argument if getattr(a, "_records", False)), None)
            if getattr(argument, "_records", False):
                return argument.__array_function__(wrapper, (type(argument),), args, kwargs)
        return function(*args, **kwargs)

    # As messages and pictures call it, and as it is found in its module.
    wrapper.__name__ = wrapper.__qualname__ = function.__name__.lstrip("_")
    return wrapper


def together(
    combine: Callable[..., Iterator[Array]], below: float = math.inf
) -> Callable[[Callable[..., Array]], Callable[..., Array]]:
    """Say that the contributions of many uses are cheaper to compute at once than one by one.

    combine: from the list of uses, each `(g, *kept)`, to fewer contributions with the same sum.
    below: the size of `g` from which on a use is not worth keeping for that.
    """

    def mark(pullback: Callable[..., Array]) -> Callable[..., Array]:
        pullback.together, pullback.together_below = combine, below  # type: ignore[attr-defined]
        return pullback

    return mark
