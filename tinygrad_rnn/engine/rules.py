"""A row of the table: a function with its pull-backs, or its composition of other functions."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import accumulate, takewhile
from typing import Any

import numpy as np

from tinygrad_rnn.engine.graph import Array, Edge
from tinygrad_rnn.support.signatures import Arguments, arguments

_SHAPE = "shape_of_"

HARMLESS = frozenset({"dtype", "casting", "copy", "subok", "kind", "stable", "device", "optimize"})
"""Options that change how a function computes or stores its result, but not its derivative."""


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
            self.starts[axis] = list(accumulate(sizes, initial=0))
        return self.starts[axis][i]


def shape_of(value: Any) -> Any:
    """The shape of an array; for a list or tuple of arrays, their shapes."""
    if type(value) is list or type(value) is tuple:
        return Shapes(map(shape_of, value))
    return value.shape if hasattr(value, "shape") else np.shape(value)


class Pullback:
    """The derivative by one argument: `function(g, *kept) -> contribution`, and the kept values."""

    def __init__(self, function: Callable[..., Array], argument: str, names: Sequence[str]) -> None:
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
        self.places = [
            (known.index(need.removeprefix(_SHAPE)), need.startswith(_SHAPE)) for need in needs
        ]

    # The first call of `keep` or `of_element` replaces the method by a compiled function.

    def keep(self, values: Sequence[Any]) -> tuple[Any, ...]:
        """The values that the pull-back needs, from the values `[*arguments, y, i]`."""
        kept = self.kept([f"values[{n}]" for n in range(len(values))], "shape({})".format)
        self.keep = compiled("values", kept)  # type: ignore[method-assign]
        return self.keep(values)  # type: ignore[no-any-return]

    def of_element(self, kept: tuple[Any, ...], i: int) -> tuple[Any, ...]:
        """The values kept for element i, from those kept for all elements of a sequence."""
        items = ["i" if need == "i" else f"kept[{n}]" for n, need in enumerate(self.needs)]
        self.of_element = compiled("kept, i", _tuple_of(items))  # type: ignore[method-assign]
        return self.of_element(kept, i)  # type: ignore[no-any-return]

    def kept(self, values: Sequence[str], shape: Callable[[str], str]) -> str:
        """The expression for the needed values, from the expressions for `[*arguments, y, i]`."""
        return _tuple_of(shape(values[n]) if of_shape else values[n] for n, of_shape in self.places)


def compiled(parameters: str, expression: str, **names: Any) -> Callable[..., Any]:
    """A function compiled from text: what runs for every recorded value then has no loop."""
    return eval(f"lambda {parameters}: {expression}", {"shape": shape_of, **names})  # type: ignore[no-any-return]


def _tuple_of(items: Iterable[str]) -> str:
    return f"({''.join(f'{item}, ' for item in items)})"


class Rule:
    """A row of the table: a function, its arguments' names, and a pull-back for some of them."""

    def __init__(
        self,
        function: Callable[..., Any],
        positional: Sequence[Callable[..., Array] | None],
        named: dict[str, Callable[..., Array] | None],
    ) -> None:
        self.function = self.compute = function
        self.fast_path: Callable[..., Any] | None = None
        self.signature = arguments(function)
        self.variadic = self.signature.is_variadic
        self.names = tuple(self.signature.defaults)
        self.defaults = list(map(_given, self.signature.defaults.values()))
        pullbacks = dict(zip(self.names, positional, strict=False)) | named
        if len(positional) > len(self.names) or not pullbacks.keys() <= set(self.names):
            raise TypeError(
                f"{function.__name__} has the arguments {', '.join(self.names)}, but "
                f"{len(positional) + len(named)} pull-backs were given, for "
                f"{', '.join(pullbacks)}"
            )
        self.arguments = tuple(
            (name, None if (f := pullbacks.get(name)) is None else Pullback(f, name, self.names))
            for name in self.names
        )
        # The derivative would ignore an option that no pull-back reads, so the call is refused.
        read = {n.removeprefix(_SHAPE) for _, p in self.arguments if p for n in p.needs}
        read |= {name for name, p in self.arguments if p}
        self.understood = frozenset(self.names) - self.signature.optional | read | HARMLESS
        # A call with at most this many positional arguments, and no others, needs no binding.
        self.positions = (
            -1 if self.variadic else len([*takewhile(self.understood.__contains__, self.names)])
        )

    def bind(self, args: Sequence[Any], kwargs: dict[str, Any]) -> list[Any]:
        """All arguments in the order of `names`, with the defaults filled in."""
        values = [tuple(args)] if self.variadic else [*args]
        values += self.defaults[len(values) :]
        for name, value in kwargs.items():
            if name in self.names:
                values[self.names.index(name)] = _given(value)
        return values

    def edges_for(self, kinds: tuple[int, ...]) -> Callable[..., tuple[Edge, ...]]:
        """A compiled function `(*tensors, *arrays, y) -> edges` for calls of one kind.

        For `np.multiply` of a Tensor that needs a gradient and a number, its text is

            lambda t0, t1, a0, a1, y: ((t0._node, 'x1', of_t0, (a1, )), )

        kinds: for each given argument 0 if it is not a Tensor, 1 if it is, 2 if it also needs a
            gradient. The other arguments have their defaults.
        """
        tensors, arrays = ([f"{x}{n}" for n in range(len(kinds))] for x in "ta")
        known = {f"d{n}": d for n, d in enumerate(self.defaults) if n >= len(kinds)}
        values = [*arrays, *known, "y", "None"]
        # A node knows its shape already; an array makes a new tuple.
        shapes = {f"a{n}": f"t{n}._node.shape" for n, kind in enumerate(kinds) if kind == 2}
        edges = []
        for tensor, kind, (name, pullback) in zip(tensors, kinds, self.arguments, strict=False):
            if kind == 2 and pullback is not None:
                known[f"of_{tensor}"] = pullback
                kept = pullback.kept(values, lambda value: shapes.get(value, f"shape({value})"))
                edges.append(f"({tensor}._node, {name!r}, of_{tensor}, {kept})")
            elif kind:
                edges.append(f"({tensor}._node or {tensor}.node, {name!r}, None, ())")
        return compiled(", ".join([*tensors, *arrays, "y"]), _tuple_of(edges), **known)


def _given(value: Any) -> Any:
    return None if value is np._NoValue else value


class Composition:
    """A function that is differentiated as a call of other functions: `call`, and its options.

    The signatures are read at the first call. Most compositions are never called, and reading all
    signatures would double the time to import the table.
    """

    def __init__(self, function: Callable[..., Any], call: Callable[..., Any]) -> None:
        self.function = function
        self.call = call

    @functools.cached_property
    def signature(self) -> Arguments:
        is_method = isinstance(getattr(self.function, "__self__", None), np.ufunc)
        return arguments(self.call if is_method else self.function)

    @functools.cached_property
    def understood(self) -> frozenset[str]:
        return frozenset(arguments(self.call).defaults)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        options = {
            name: value
            for name, value in self.signature.by_name(args, kwargs).items()
            if name in self.understood and value is not np._NoValue
        }
        return self.call(*(args if self.signature.is_variadic else ()), **options)


def unread_option(
    row: Rule | Composition, args: Sequence[Any], kwargs: dict[str, Any]
) -> str | None:
    """An option that the call sets but the derivative does not read, or None."""
    for name, value in row.signature.by_name(args, kwargs).items():
        if name in row.understood or value is None or value is np._NoValue:
            continue
        default = row.signature.defaults.get(name, True if name == "where" else None)
        if not (isinstance(value, str | int | bool) and value == default):
            return name
    return None
