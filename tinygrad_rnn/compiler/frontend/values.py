"""The values of a trace, each with the call that makes it, and the handles that stand for them
while a cell is traced."""

from __future__ import annotations

import operator
import weakref
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tinygrad_rnn.compiler.ir import leaves_of


@dataclass(slots=True, eq=False, repr=False)
class Value:
    """One array of the program, with the call that makes it; None for a given array."""

    sample: Any
    name: str = ""
    function: Callable[..., Any] | None = None
    args: tuple[Any, ...] = ()
    kwargs: dict[str, Any] = field(default_factory=dict)
    fixed: frozenset[Value] | None = None  # see `FixedTraced`
    place: str | None = None  # the line of the cell that made the call
    origin: tuple[str, Value] | None = None  # of which function of which value it is made
    pinned: bool = False

    @property
    def shape(self) -> tuple[int, ...]:
        return np.shape(self.sample)

    @property
    def ndim(self) -> int:
        return np.ndim(self.sample)

    @property
    def dtype(self) -> Any:
        return np.asarray(self.sample).dtype

    @property
    def operands(self) -> list[Value]:
        """The values among the arguments, also inside lists, tuples and dicts."""
        return values_in((self.args, self.kwargs))


def values_in(tree: Any) -> list[Value]:
    """The values in a nesting of lists, tuples, dicts and slices."""
    return leaves_of(tree, Value)


def mapped(tree: Any, leaf: Callable[[Any], Any]) -> Any:
    """The same nesting with `leaf` applied to everything that is no list, tuple or dict."""
    if isinstance(tree, tuple | list):
        return type(tree)([mapped(branch, leaf) for branch in tree])
    if isinstance(tree, dict):
        return {key: mapped(branch, leaf) for key, branch in tree.items()}
    return leaf(tree)


class Handle:
    """A stand-in for a value while a cell is traced.

    given: whether the value is an argument of the cell or an array that the cell carries; such
        arrays are read-only. views: the handles that are views of this one's array. base: the
        handle of which this one is a view, with the index.
    """

    __slots__ = ("__weakref__", "base", "given", "value", "views")

    value: Value
    given: bool
    views: list[weakref.ref[Handle]]
    base: tuple[Any, Any] | None


def is_handle(thing: Any) -> bool:
    return isinstance(thing, Handle)


def value_of(leaf: Any) -> Any:
    """The value of a handle. A slice must be known while tracing; otherwise it is refused."""
    if isinstance(leaf, Handle):
        return leaf.value
    if isinstance(leaf, slice):
        return slice(*(p and operator.index(p) for p in (leaf.start, leaf.stop, leaf.step)))
    return leaf


def sample_in(leaf: Any) -> Any:
    """The numbers of an argument in the sample."""
    return leaf.sample if isinstance(leaf, Value) else leaf


def own(result: Any) -> Any:
    """A read-only, contiguous sample, like the buffers of the program, whatever the memory layout
    of the arguments. So are the samples of its views."""
    if isinstance(result, np.ndarray):
        result = result.view() if result.base is not None else np.asarray(result, order="C").view()
        result.flags.writeable = False
    return result


def sample_of(array: Any) -> Any:
    """A sample of an array that the cell is given or carries. The array itself is never written
    to."""
    if isinstance(array, np.ndarray):
        array = np.asarray(array, order="C").view(np.ndarray)
        array.flags.writeable = False
    return array


def pinned(value: Value) -> Any:
    """The numbers of a fixed value. The arrays that it is computed from are pinned.

    The numbers are read-only: a program would not see what is written."""
    for source in value.fixed or ():
        source.pinned = True
    numbers = np.array(value.sample)
    numbers.flags.writeable = False
    return numbers
