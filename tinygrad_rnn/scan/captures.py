"""What a cell carries with it: the Tensors and arrays reachable from the function that it is.

A compiled program must not remember numbers that the cell has changed since. So the cell is
walked at every call: its structure is the key under which the program is kept, and the Tensors
and arrays found on the way are what the program is run on.
"""

from __future__ import annotations

import functools
import random
import types
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from tinygrad_rnn.tensor import Tensor

PLAIN = (int, float, complex, bool, str, bytes, type(None), np.dtype)


class Captures(NamedTuple):
    """The structure of a cell, hashable, and the Tensors and arrays in it with their names.

    random: whether it carries a generator of random numbers.
    """

    key: tuple[Any, ...]
    arrays: list[Any]
    names: list[str]
    random: bool


def captures(cell: Callable[..., Any]) -> Captures:
    """Walk the cell: attributes, closures, defaults, bound objects, lists and dicts of these."""
    walk = Walk(cell)
    walk.visit(cell, "cell")
    return Captures(tuple(walk.key), walk.arrays, walk.names, walk.random)


class Walk:
    """What has been found in a cell so far."""

    __slots__ = ("arrays", "cell", "key", "names", "random", "seen")

    def __init__(self, cell: Callable[..., Any]) -> None:
        self.cell = cell
        self.key: list[Any] = []
        self.arrays: list[Any] = []
        self.names: list[str] = []
        self.seen: dict[int, int] = {}
        self.random = False

    def visit(self, thing: Any, name: str) -> None:
        """Note a thing that the cell holds under this name, and go on to what it holds itself."""
        kind = type(thing)
        if kind in PLAIN_TYPES or isinstance(thing, np.generic):
            self.key.append((kind, thing))
            return
        if id(thing) in self.seen:
            self.key.append(self.seen[id(thing)])
            return
        self.seen[id(thing)] = len(self.seen)
        if kind is Tensor:
            self.key.append((thing.data.shape, thing.data.dtype, thing.requires_grad))
            self.arrays.append(thing)
            self.names.append(thing.name or name)
        elif kind is np.ndarray:
            self.key.append((thing.shape, thing.dtype))
            self.arrays.append(thing)
            self.names.append(name)
        elif kind is types.FunctionType:
            self.key.append(thing.__code__)
            for variable, cell_of in zip(
                thing.__code__.co_freevars, thing.__closure__ or (), strict=True
            ):
                self.visit(cell_of.cell_contents, variable)
            for default in thing.__defaults__ or ():
                self.visit(default, "")
            names_used = thing.__code__.co_names
            if names_used and not thing.__module__.startswith(("numpy", "tinygrad_rnn")):
                for variable in names_used:
                    if variable in thing.__globals__:
                        self.visit(thing.__globals__[variable], variable)
        elif kind is types.MethodType:
            self.visit(thing.__func__, name)
            self.visit(thing.__self__, name)
        elif kind is functools.partial:
            for part in (thing.func, thing.args, thing.keywords):
                self.visit(part, name)
        elif kind is list or kind is tuple:
            self.key.append((kind, len(thing)))
            for element in thing:
                self.visit(element, name)
        elif kind is dict:
            self.key.append((kind, len(thing)))
            for label, element in thing.items():
                self.visit(label, "")
                self.visit(element, label if isinstance(label, str) else name)
        elif isinstance(thing, type | types.ModuleType | types.BuiltinFunctionType | np.ufunc):
            self.key.append(id(thing))
        else:
            self.key.append(kind)
            self.random |= isinstance(thing, GENERATORS)
            if thing is self.cell:
                self.visit(getattr(kind, "__call__", None), name)  # noqa: B004
            for attribute, element in getattr(thing, "__dict__", EMPTY).items():
                self.key.append(attribute)
                self.visit(element, attribute)


PLAIN_TYPES = frozenset(PLAIN)
GENERATORS = (np.random.Generator, np.random.RandomState, random.Random)
EMPTY: dict[str, Any] = {}
