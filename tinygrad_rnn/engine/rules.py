"""A row of the table: a function with its pull-backs, or its composition of other functions."""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from tinygrad_rnn.engine.graph import Array, Edge
from tinygrad_rnn.support.signatures import arguments

_SHAPE = "shape_of_"

SHAPES = "shape(a{0})", "a{0}.shape", "t{0}._node.shape"
"""Expressions for the shape of an argument, by its kind (see `edges_for`). A node has its shape."""

HARMLESS = frozenset({"dtype", "casting", "copy", "subok", "kind", "stable", "device", "optimize"})
"""Options that change how a function computes or stores its result, but not its derivative."""


class Pullback:
    """The derivative by one argument: `function(g, *kept) -> contribution`, and the kept values."""

    __slots__ = (
        "__weakref__",
        "_keep",
        "_of_element",
        "argument",
        "count",
        "function",
        "needs",
        "output_is_y",
        "places",
        "takes_a_sequence",
        "together",
        "together_below",
    )

    def __init__(self, function: Callable[..., Array], argument: str, names: Sequence[str]) -> None:
        self.argument = argument
        self.function = function
        self.together: Callable[..., Iterator[Array]] | None = getattr(function, "together", None)
        self.together_below: float = getattr(function, "together_below", 0)
        gradient, *needs = arguments(function).defaults
        if gradient != "g":
            raise TypeError(f"the first parameter of a pull-back must be g, not {gradient!r}")
        known = [*names, "y", "i"]
        for need in needs:
            if need.removeprefix(_SHAPE) not in known:
                raise TypeError(
                    f"the pull-back for {argument!r} has the unknown parameter {need!r}; it can "
                    f"have g, y, i and {', '.join(names)}, each also with the prefix {_SHAPE}"
                )
        self.needs = tuple(needs)
        self.output_is_y = "y" not in names  # otherwise y is the name of an argument
        self.takes_a_sequence = "i" in needs and "i" not in names
        self.places = tuple(known.index(need.removeprefix(_SHAPE)) for need in needs)
        self.count = len(known)
        self._keep: Callable[..., Any] | None = None
        self._of_element: Callable[..., Any] | None = None

    # These two are compiled at their first use, as most are never used. (A class with
    # `__getattr__` would be shorter, but every attribute of it is slow to read.)

    def keep(self, values: Sequence[Any]) -> tuple[Any, ...]:
        """The kept values, from the values `[*arguments, y, i]`."""
        if self._keep is None:
            names = [f"values[{n}]" for n in range(self.count)]
            self._keep = compiled("values", self.kept(names))
        return self._keep(values)  # type: ignore[no-any-return]

    def of_element(self, kept: tuple[Any, ...], i: int) -> tuple[Any, ...]:
        """The values kept for element i, from those kept for all elements of a sequence."""
        if self._of_element is None:
            shared = ["i" if need == "i" else f"kept[{n}]" for n, need in enumerate(self.needs)]
            self._of_element = compiled("kept, i", f"({''.join(f'{item}, ' for item in shared)})")
        return self._of_element(kept, i)  # type: ignore[no-any-return]

    def kept(self, values: Sequence[str], shapes: Sequence[str] | None = None) -> str:
        """The kept tuple, as an expression in the expressions for `[*arguments, y, i]`.

        shapes: shorter expressions for the shapes of arguments, where there are some.
        """
        shapes = shapes or [f"shape({value})" for value in values]
        items = [
            shapes[place] if need.startswith(_SHAPE) else values[place]
            for need, place in zip(self.needs, self.places, strict=True)
        ]
        return f"({''.join(f'{item}, ' for item in items)})"


def compiled(parameters: str, expression: str, **names: Any) -> Callable[..., Any]:
    """Compile a function from text. Code that runs for every recorded value then has no loop."""
    return eval(f"lambda {parameters}: {expression}", {"shape": _shapes, **names})  # type: ignore[no-any-return]


class Shapes(tuple[Any, ...]):
    """The shapes of the arrays of a sequence."""

    @functools.cached_property
    def starts(self) -> dict[int | None, list[int]]:
        """For each axis used so far, where each array begins if they are joined along it.

        Under None, where each array begins in the flattened result. The pull-backs of all arrays
        share these numbers."""
        return {}

    def start(self, i: int, axis: int | None) -> int:
        if axis not in self.starts:
            sizes = (math.prod(s) if axis is None else s[axis] for s in self)
            self.starts[axis] = list(itertools.accumulate(sizes, initial=0))
        return self.starts[axis][i]


def _shapes(value: Any) -> Any:
    """The shape of an array; for a list or tuple of arrays, their shapes."""
    if type(value) is list or type(value) is tuple:
        return Shapes(map(_shapes, value))
    return value.shape if hasattr(value, "shape") else np.shape(value)


class Rule:
    """A row of the table: a function, its arguments' names, and a pull-back for some of them."""

    __slots__ = (
        "arguments",
        "arity",
        "compute",
        "defaults",
        "fast_path",
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
        given, may_be_left_out, self.variadic = arguments(function)
        self.function = function
        self.names = tuple(given)
        self.defaults = [None if d is np._NoValue else d for d in given.values()]
        # A call with exactly this many positional arguments needs no binding.
        self.arity = -1 if self.variadic else len(self.names)
        pullbacks = dict(zip(self.names, positional, strict=False)) | named
        if len(positional) > len(self.names) or not pullbacks.keys() <= given.keys():
            raise TypeError(
                f"{function.__name__} has the arguments {', '.join(self.names)}, but "
                f"{len(positional) + len(named)} pull-backs were given, for "
                f"{', '.join(pullbacks)}"
            )
        self.arguments = tuple(
            (name, None if (f := pullbacks.get(name)) is None else Pullback(f, name, self.names))
            for name in self.names
        )

        self.compute = function
        self.fast_path: Callable[..., Any] | None = None
        # The derivative would ignore an option that no pull-back reads, so the call is refused.
        read = {n.removeprefix(_SHAPE) for _, p in self.arguments if p for n in p.needs}
        read |= {name for name, p in self.arguments if p}
        self.understood = frozenset(self.names) - may_be_left_out | read | HARMLESS
        self.positions = next(
            (n for n, name in enumerate(self.names) if name not in self.understood), len(self.names)
        )
        if self.positions < len(self.names):
            self.arity = -1

    def edges_for(self, kinds: tuple[int, ...]) -> Callable[..., tuple[Edge, ...]]:
        """A compiled function `(*tensors, *arrays, y) -> edges` for calls of one kind.

        kinds: for each given argument 0 if it is not a Tensor, 1 if it is, 2 if it also needs a
            gradient. The other arguments have their defaults.
        """
        given = range(len(kinds))
        tensors, arrays = [f"t{n}" for n in given], [f"a{n}" for n in given]
        defaults = {f"d{n}": d for n, d in enumerate(self.defaults) if n not in given}
        values = [*arrays, *defaults, "y", "None"]
        shapes = [SHAPES[kind].format(n) for n, kind in enumerate(kinds)]
        shapes += [f"shape({name})" for name in defaults]
        edges, pullbacks = "", {}
        for n, (kind, (name, pullback)) in enumerate(zip(kinds, self.arguments, strict=False)):
            if kind == 2 and pullback is not None:
                pullbacks[f"p{n}"] = pullback
                edges += f"(t{n}._node, {name!r}, p{n}, {pullback.kept(values, shapes)}), "
            elif kind:
                edges += f"(t{n}._node or t{n}.node, {name!r}, None, ()), "
        return compiled(", ".join([*tensors, *arrays, "y"]), f"({edges})", **pullbacks, **defaults)

    def unread(self, args: Sequence[Any], kwargs: dict[str, Any]) -> str | None:
        """An option that the call sets but the derivative ignores, or None."""
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
    """A function that is differentiated as a call of other functions: `call`, and its options."""

    __slots__ = ("call", "defaults", "function", "understood", "variadic")

    def __init__(self, function: Callable[..., Any], call: Callable[..., Any]) -> None:
        self.function = function
        self.call = call

    def __getattr__(self, name: str) -> Any:
        """The other fields, computed at their first use.

        Most compositions are never called, and reading all signatures would double the time to
        import the table."""
        if name not in self.__slots__:
            raise AttributeError(name)
        is_method = isinstance(getattr(self.function, "__self__", None), np.ufunc)
        self.defaults, _, self.variadic = arguments(self.call if is_method else self.function)
        self.understood = frozenset(arguments(self.call).defaults)
        return getattr(self, name)

    def unread(self, args: Sequence[Any], kwargs: dict[str, Any]) -> str | None:
        """An option that the call sets but the composition does not read, or None."""
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
