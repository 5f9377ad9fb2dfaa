"""Replace plain arrays by traced ones in their containers, while a cell is traced.

What a Tensor holds can be replaced inside it (`engine/substitution.py`); a plain array cannot. So
the cell's variables, attributes, lists and dicts are changed instead, and put back afterwards. The
caller holds `contents_lock`.
"""

from __future__ import annotations

import functools
import itertools
import types
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from tinygrad_rnn.compiler.frontend.places import Contents, places_of
from tinygrad_rnn.compiler.frontend.refusals import TraceError
from tinygrad_rnn.compiler.frontend.stand_ins import STANDS_FOR
from tinygrad_rnn.compiler.frontend.tracer import handle_of
from tinygrad_rnn.compiler.frontend.values import Value, is_handle, pinned
from tinygrad_rnn.engine.tensor import Tensor
from tinygrad_rnn.engine.trees import flatten as parts


def instead_of_plain(carried: list[tuple[Any, Value]], containers: list[Any]) -> dict[int, Any]:
    """The replacements for the plain arrays of a cell while it is traced, by their ids.

    Where the cell computes with a plain array, the program does, too. Two kinds of arrays are
    pinned instead: subclasses with operators of their own, and arrays held where nothing can be
    replaced. The program is then valid for their current numbers only.
    """
    plain: dict[int, Any] = dict(STANDS_FOR)
    views = [list(c.values()) for c in containers if type(c) is types.MappingProxyType]
    in_views = {id(array) for array in parts(views)}
    for array, value in carried:
        if type(array) is Tensor:
            continue
        value.pinned = id(array) in in_views
        if type(array) in (np.ndarray, np.memmap) and array.dtype.kind in "biuf":
            value.fixed = frozenset((value,))
            plain[id(array)] = handle_of(value, True)
        elif not array.dtype.hasobject:  # else its elements are part of the cell's structure
            value.pinned = True
    return plain


@contextmanager
def in_place(containers: Sequence[Any], new: dict[int, Any]) -> Iterator[Callable[[Any], Any]]:
    """Replace objects in the containers. `new` has the replacements, by the ids of the old objects.

    Yields the function that gives the replacement of an object, or the object itself if it has
    none. Tuples and partials cannot be changed. Their containers hold changed copies instead.
    """
    instead = Instead(new)
    undo: list[tuple[Any, Any, Any]] = []
    before = Contents(containers)
    try:
        for put, key, thing in [*itertools.chain.from_iterable(map(places_of, containers))]:
            other = instead(thing)
            if other is thing:
                continue
            undo.append((put, key, thing))
            put(key, other)
        yield instead
    finally:
        for put, key, thing in reversed(undo):
            put(key, thing)
        left = before.restore(is_traced)
    if left:
        raise TraceError(
            f"the cell stores a value of the step ({left[0]}), which a program does not",
            "return it as a part of the state, with the initial value None",
        )


def is_traced(thing: Any) -> bool:
    """Whether an object is a handle, or a Tensor or a sequence that holds one. Values computed from
    plain arrays alone may stay, as plain numbers."""
    if isinstance(thing, tuple | list):
        return any(map(is_traced, thing))
    inside = thing._data if type(thing) is Tensor else thing
    if not is_handle(inside):
        return False
    if type(thing) is Tensor and inside.value.fixed is not None:
        thing._data = pinned(inside.value).copy()
        return False
    return True


class Instead:
    """The replacement of an object: found by its id, or a copy that holds replacements."""

    def __init__(self, new: dict[int, Any]) -> None:
        self.known = dict(new)

    def __call__(self, thing: Any) -> Any:
        key = id(thing)
        if key not in self.known:
            self.known[key] = self._copied(thing)
        return self.known[key]

    def _copied(self, thing: Any) -> Any:
        if isinstance(thing, tuple):
            parts = list(map(self, thing))
            if any(a is not b for a, b in zip(parts, thing, strict=True)):
                return type(thing)(*parts) if hasattr(thing, "_fields") else type(thing)(parts)
        elif type(thing) is functools.partial:
            before = (thing.func, *thing.args, *thing.keywords.values())
            if any(self(part) is not part for part in before):
                options = {key: self(part) for key, part in thing.keywords.items()}
                return functools.partial(self(thing.func), *map(self, thing.args), **options)
        elif type(thing) is types.MethodType and isinstance(thing.__self__, tuple):
            return types.MethodType(thing.__func__, self(thing.__self__))
        return thing
