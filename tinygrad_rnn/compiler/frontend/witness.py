"""The witness of a trace: a record of its calls, for comparison with later traces of the cell.

A cell may read something that no walk can find. Then two traces of it differ, in a number or in the
calls. This comparison finds a counter, a random number or a changed setting.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np

from tinygrad_rnn.compiler.frontend.refusals import name_of
from tinygrad_rnn.compiler.frontend.values import Value


class Call(NamedTuple):
    """One call of a trace: the function, its arguments, and the line of the cell that makes it.
    The arguments are those of `tokens`."""

    function: Any
    args: tuple[Any, ...]
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
        given: Any = value.args, value.kwargs
        if value.function is None:
            given = value.shape, value.dtype
        calls.append(Call(value.function, tokens(given, numbers), value.place))
    return Witness(
        tuple(calls),
        tuple(None if value is None else numbers[id(value)] for value in outputs),
        tuple(value.name for value in parameters),
        tuple((i, value.sample.tobytes()) for i, value in enumerate(parameters) if value.pinned),
    )


class Numbers(NamedTuple):
    """An array, by its bytes: NaN is equal to itself."""

    shape: tuple[int, ...]
    dtype: str
    numbers: bytes


def tokens(argument: Any, numbers: dict[int, int]) -> tuple[Any, ...]:
    """An argument as a sequence that can be compared: values by number, arrays by their bytes, and
    anything else by type and text. A nesting begins with its type and length."""
    kind = type(argument)
    if kind is Value:
        return (f"value {numbers[id(argument)]}",)
    if isinstance(argument, tuple | list | dict):
        found: list[Any] = [(kind, len(argument))]
        for part in argument.items() if isinstance(argument, dict) else argument:
            found += tokens(part, numbers)
        return tuple(found)
    if isinstance(argument, np.ndarray):
        return (Numbers(argument.shape, str(argument.dtype), argument.tobytes()),)
    return ((kind, repr(argument)),)


def told(mine: Call, theirs: Call) -> str:
    """The difference between two calls, for a message."""
    place = f" ({mine.place or theirs.place})" if mine.place or theirs.place else ""
    name, other = (name_of(call.function) or "no function" for call in (mine, theirs))
    if mine.function != theirs.function:
        return f"{name} was called, and then {other}{place}"
    pairs = zip(mine.args, theirs.args, strict=False)
    first, then = next((text(a), text(b)) for a, b in pairs if a != b)
    if first == then:
        then = "another"
    return f"{name} was called with {first}, and then with {then}{place}"


def text(token: Any) -> str:
    if isinstance(token, Numbers):
        return "an array"
    if isinstance(token, str):
        return token
    kind, said = token
    return f"a {kind.__name__} of {said}" if type(said) is int else str(said)
