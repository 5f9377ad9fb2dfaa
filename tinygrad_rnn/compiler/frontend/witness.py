"""The witness of a trace: a record of its calls, for comparison with later traces of the cell.

A cell may read something that no walk can find. Then two traces of it differ, in a number or in the
calls. This comparison finds a counter, a random number or a changed setting.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np

from tinygrad_rnn.compiler.frontend.values import Value


class Call(NamedTuple):
    """One call of a trace: the function, its arguments, and the line of the cell that makes it.
    Values among the arguments are given by their numbers in the order of the trace."""

    function: Any
    args: Any
    place: str | None


class Witness(NamedTuple):
    """All calls of a trace in order, and its outputs among them.

    names: the names of the parameters in the program. pinned: the plain arrays on whose numbers the
        trace depends, by their places, with these numbers.
    """

    calls: tuple[Call, ...]
    outputs: tuple[Any, ...]
    names: tuple[str, ...]
    pinned: tuple[tuple[int, bytes], ...]

    def holds_for(self, arrays: list[Any]) -> bool:
        """Whether the pinned arrays have the numbers that they had."""
        return all(np.asarray(arrays[i]).tobytes() == numbers for i, numbers in self.pinned)

    def difference(self, other: Witness) -> str | None:
        """The difference to another trace, for a message; None if they agree."""
        if self[:2] == other[:2]:
            return None
        for mine, theirs in zip(self.calls, other.calls, strict=False):
            if mine[:2] != theirs[:2]:
                return told(mine, theirs)
        return f"{len(self.calls)} calls were made, and then {len(other.calls)}"


def witness_of(
    values: Iterable[Value], outputs: Iterable[Value | None], parameters: list[Value]
) -> Witness:
    """The witness of a trace. values: the values of the trace in topological order."""
    numbers: dict[int, int] = {}
    calls = []
    for value in values:
        numbers[id(value)] = len(numbers)
        if value.function is None:
            calls.append(Call(None, (value.shape, str(value.dtype)), None))
        else:
            given = described(value.args, numbers), described(value.kwargs, numbers)
            calls.append(Call(value.function, given, value.place))
    return Witness(
        tuple(calls),
        tuple(None if value is None else numbers[id(value)] for value in outputs),
        tuple(value.name for value in parameters),
        tuple((i, value.sample.tobytes()) for i, value in enumerate(parameters) if value.pinned),
    )


def described(leaf: Any, numbers: dict[int, int]) -> Any:
    """An argument in a form that can be compared: values by number, arrays by their bytes."""
    kind = type(leaf)
    if kind is Value:
        return "value", numbers[id(leaf)]
    if isinstance(leaf, tuple | list):
        return kind, *[described(part, numbers) for part in leaf]
    if isinstance(leaf, dict):
        return tuple((key, described(part, numbers)) for key, part in leaf.items())
    if isinstance(leaf, np.ndarray):
        return Numbers(leaf.shape, str(leaf.dtype), leaf.tobytes())
    if isinstance(leaf, slice):
        return "slice", *[described(p, numbers) for p in (leaf.start, leaf.stop, leaf.step)]
    return kind, repr(leaf)


class Numbers(NamedTuple):
    """An array, by its bytes: NaN is equal to itself."""

    shape: tuple[int, ...]
    dtype: str
    numbers: bytes


def told(mine: Call, theirs: Call) -> str:
    """The difference between two calls, for a message."""
    place = f" ({mine.place or theirs.place})" if mine.place or theirs.place else ""
    if mine.function != theirs.function:
        return f"{name_of(mine.function)} was called, and then {name_of(theirs.function)}{place}"
    pairs = zip(flat(mine.args), flat(theirs.args), strict=False)
    first, then = next(((a, b) for a, b in pairs if a != b), ("", ""))
    if isinstance(first, Numbers) and isinstance(then, Numbers):
        return f"{name_of(mine.function)} was called with an array and then with another{place}"
    return f"{name_of(mine.function)} was called with {first}, and then with {then}{place}"


def flat(args: Any) -> list[Any]:
    """The arguments one after another, as text."""
    if isinstance(args, Numbers):
        return [args]
    if isinstance(args, tuple):
        if len(args) == 2 and isinstance(args[0], type) and isinstance(args[1], str):
            return [args[1]]
        if len(args) == 2 and args[0] == "value":
            return [f"value {args[1]}"]
        return [leaf for part in args for leaf in flat(part)]
    return [args]


def name_of(function: Any) -> str:
    owner = getattr(function, "__self__", None)
    name = getattr(function, "__name__", str(function))
    if isinstance(owner, np.ufunc):
        return f"np.{owner.__name__}.{name}"
    return {"getitem": "an index", "filled": "np.full"}.get(name, f"np.{name}")
