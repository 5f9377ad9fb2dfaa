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
import inspect
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tinygrad_rnn.derivatives.signatures import signature
from tinygrad_rnn.graph import Array, Edge

_SHAPE = "shape_of_"

HARMLESS = frozenset({"dtype", "casting", "copy", "subok", "kind", "stable", "device", "optimize"})
"""Options that change how a function computes or stores its result, but not its derivative."""


class Pullback:
    """One argument's derivative: `function(g, *kept) -> contribution`, and what it keeps."""

    __slots__ = (
        "__weakref__",
        "argument",
        "function",
        "keep",
        "needs",
        "places",
        "together",
        "together_below",
    )

    def __init__(self, function: Callable[..., Array], argument: str, names: Sequence[str]) -> None:
        self.argument = argument
        self.function = function
        self.together: Callable[..., Array] | None = getattr(function, "together", None)
        self.together_below: float = getattr(function, "together_below", 0)
        gradient, *needs = inspect.signature(function).parameters
        if gradient != "g":
            raise TypeError(f"the first parameter of a pull-back is g, here it is {gradient!r}")
        known = [*names, "y", "i"]
        for need in needs:
            if need.removeprefix(_SHAPE) not in known:
                raise TypeError(
                    f"the pull-back for {argument!r} asks for {need!r}; it can have g, y, i and "
                    f"{', '.join(names)}, each also as {_SHAPE}..."
                )
        self.needs = tuple(needs)
        self.places = tuple(known.index(need.removeprefix(_SHAPE)) for need in needs)
        self.keep = compiled("values", self.kept([f"values[{n}]" for n in range(len(known))]))

    def kept(self, values: Sequence[str]) -> str:
        """The tuple of what is needed, as an expression in those for `[*arguments, y, i]`."""
        items = [
            f"shape({values[place]})" if need.startswith(_SHAPE) else values[place]
            for need, place in zip(self.needs, self.places, strict=True)
        ]
        return f"({''.join(f'{item}, ' for item in items)})"


def compiled(parameters: str, expression: str, **names: Any) -> Callable[..., Any]:
    """A function written as text: what runs for every value ever recorded has no loop in it."""
    return eval(f"lambda {parameters}: {expression}", {"shape": _shapes, **names})  # type: ignore[no-any-return]


def _shapes(value: Any) -> Any:
    """The shape of an array; of a list or tuple of arrays, the tuple of their shapes."""
    if type(value) is list or type(value) is tuple:
        return tuple(map(_shapes, value))
    return value.shape if hasattr(value, "shape") else np.shape(value)


class Rule:
    """A row of the table: a function, its arguments' names, and a pull-back for some of them."""

    __slots__ = (
        "arguments",
        "arity",
        "compute",
        "defaults",
        "edges",
        "function",
        "names",
        "positions",
        "understood",
        "variadic",
    )

    def __init__(
        self,
        function: Callable[..., Any],
        positional: Sequence[Callable[..., Array] | None],
        named: dict[str, Callable[..., Array] | None],
    ) -> None:
        parameters = _parameters(function)
        self.function = function
        self.names = tuple(parameters)
        self.defaults = [None if d is np._NoValue else d for d in parameters.values()]
        self.variadic = _is_variadic(function)
        # A call with just this many positional arguments needs no binding.
        self.arity = -1 if self.variadic else len(self.names)
        pullbacks = dict(zip(self.names, positional, strict=False)) | named
        if len(positional) > len(self.names) or not pullbacks.keys() <= parameters.keys():
            raise TypeError(
                f"{function.__name__} has the arguments {', '.join(self.names)}; a pull-back was "
                f"given for {', '.join(pullbacks)}"
            )
        self.arguments = tuple(
            (name, None if (f := pullbacks.get(name)) is None else Pullback(f, name, self.names))
            for name in self.names
        )

        self.compute = function
        self.edges: dict[tuple[int, ...], Callable[..., tuple[Edge, ...]]] = {}
        # An option that no pull-back reads would be ignored by the derivative, so it is refused.
        read = {n.removeprefix(_SHAPE) for _, p in self.arguments if p for n in p.needs}
        read |= {name for name, p in self.arguments if p}
        may_be_left_out = optional(function)
        self.understood = frozenset(self.names) - may_be_left_out | read | HARMLESS
        self.positions = next(
            (n for n, name in enumerate(self.names) if name not in self.understood), len(self.names)
        )
        if self.positions < len(self.names):
            self.arity = -1

    def edges_for(self, kinds: tuple[int, ...]) -> Callable[..., tuple[Edge, ...]]:
        """A compiled function `(*tensors, *arrays, y) -> edges` for calls of one kind.

        kinds: for each argument 0 if it is no Tensor, 1 if it is one, 2 if it needs a gradient.
        """
        tensors = [f"t{n}" for n in range(len(kinds))]
        arrays = [f"a{n}" for n in range(len(kinds))]
        edges, pullbacks = "", {}
        for n, kind in enumerate(kinds):
            name, pullback = self.arguments[n]
            if kind == 2 and pullback is not None:
                pullbacks[f"p{n}"] = pullback
                edges += f"(t{n}._node, {name!r}, p{n}, {pullback.kept([*arrays, 'y', 'None'])}), "
            elif kind:
                edges += f"(t{n}.node, {name!r}, None, ()), "
        parameters = ", ".join([*tensors, *arrays, "y"])
        self.edges[kinds] = compiled(parameters, f"({edges})", **pullbacks)
        return self.edges[kinds]

    def unread(self, args: Sequence[Any], kwargs: dict[str, Any]) -> str | None:
        """An option that the call sets and the derivative does not take into account, or None."""
        if kwargs.keys() <= self.understood and (len(args) <= self.positions or self.variadic):
            return None
        defaults = dict(zip(self.names, self.defaults, strict=True))
        given = kwargs if self.variadic else dict(zip(self.names, args, strict=False)) | kwargs
        return _unread(given, self.understood, defaults)

    def bind(self, args: Sequence[Any], kwargs: dict[str, Any]) -> list[Any]:
        """All arguments as a list in the order of `names`, with the defaults filled in."""
        if self.variadic:
            return [tuple(args), *(kwargs.get(n, d) for n, d in self._options())]
        values = [*args, *self.defaults[len(args) :]]
        for name, value in kwargs.items():
            if name in self.names:
                values[self.names.index(name)] = None if value is np._NoValue else value
        return values

    def _options(self) -> list[tuple[str, Any]]:
        return list(zip(self.names, self.defaults, strict=True))[1:]


class Composition:
    """A function that is differentiated by calling others: `call`, and the options it reads."""

    __slots__ = ("call", "defaults", "function", "understood", "variadic")

    def __init__(self, function: Callable[..., Any], call: Callable[..., Any]) -> None:
        self.function = function
        self.call = call
        is_method = isinstance(getattr(function, "__self__", None), np.ufunc)
        self.defaults = _parameters(call if is_method else function)
        self.variadic = _is_variadic(call if is_method else function)
        self.understood = frozenset(inspect.signature(call).parameters)

    def unread(self, args: Sequence[Any], kwargs: dict[str, Any]) -> str | None:
        """An option that the call sets and the composition does not read, or None."""
        given = kwargs if self.variadic else dict(zip(self.defaults, args, strict=False)) | kwargs
        return _unread(given, self.understood, self.defaults)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if self.variadic:
            return self.call(*args, **{k: v for k, v in kwargs.items() if k in self.understood})
        given = dict(zip(self.defaults, args, strict=False)) | kwargs
        return self.call(
            **{k: v for k, v in given.items() if k in self.understood and v is not np._NoValue}
        )


def _unread(
    given: dict[str, Any], understood: frozenset[str], defaults: dict[str, Any]
) -> str | None:
    for name, value in given.items():
        if name in understood or value is None or value is np._NoValue:
            continue
        default = defaults.get(name, True if name == "where" else None)
        if not (isinstance(value, str | int | bool) and value == default):
            return name
    return None


def _parameters(function: Callable[..., Any]) -> dict[str, Any]:
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


def _is_variadic(function: Callable[..., Any]) -> bool:
    if isinstance(function, np.ufunc):
        return False
    kinds = [p.kind for p in signature(function).parameters.values()]
    return inspect.Parameter.VAR_POSITIONAL in kinds


RULES: dict[Callable[..., Any], Rule] = {}
"""The table: every function that can be differentiated."""

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
    named: the same for arguments further back, by their names.
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
    if not isinstance(function, np.ufunc) and not hasattr(function, "_implementation"):
        function = function if _is_builtin(function) else _overridable(function)
    RULES[function] = Rule(function, pullbacks, named)
    return function


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
    return x.data if getattr(x, "_records", False) else x


def _is_builtin(function: Callable[..., Any]) -> bool:
    return getattr(function, "__module__", None) in ("_operator", "operator")


def _overridable(function: Callable[..., Any]) -> Callable[..., Any]:
    """Let the arguments' own type take over the call, as NumPy's functions do (NEP 18)."""

    @functools.wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        for argument in (*args, *kwargs.values()):
            if getattr(argument, "_records", False):
                return argument.__array_function__(wrapper, (type(argument),), args, kwargs)
        return function(*args, **kwargs)

    wrapper.__name__ = function.__name__.lstrip("_")  # as messages and pictures call it
    return wrapper


def together(
    combine: Callable[..., Array], below: float = math.inf
) -> Callable[[Callable[..., Array]], Callable[..., Array]]:
    """Say that the contributions of many uses are cheaper to compute at once than one by one.

    combine: from the list of uses, each `(g, *kept)`, to the sum of their contributions.
    below: the size of `g` from which on a use is not worth keeping for that.
    """

    def mark(pullback: Callable[..., Array]) -> Callable[..., Array]:
        pullback.together, pullback.together_below = combine, below  # type: ignore[attr-defined]
        return pullback

    return mark
