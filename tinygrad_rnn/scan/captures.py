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
    key: list[Any] = []
    arrays: list[Any] = []
    names: list[str] = []
    seen: dict[int, int] = {}
    drawing: list[bool] = []

    def visit(thing: Any, name: str) -> None:
        kind = type(thing)
        if kind in PLAIN_TYPES or isinstance(thing, np.generic):
            key.append((kind, thing))
            return
        if id(thing) in seen:
            key.append(seen[id(thing)])
            return
        seen[id(thing)] = len(seen)
        if kind is Tensor:
            key.append((thing.data.shape, thing.data.dtype, thing.requires_grad))
            arrays.append(thing)
            names.append(thing.name or name)
        elif kind is np.ndarray:
            key.append((thing.shape, thing.dtype))
            arrays.append(thing)
            names.append(name)
        elif kind is types.FunctionType:
            key.append(thing.__code__)
            for variable, cell_of in zip(
                thing.__code__.co_freevars, thing.__closure__ or (), strict=True
            ):
                visit(cell_of.cell_contents, variable)
            for default in thing.__defaults__ or ():
                visit(default, "")
            names_used = thing.__code__.co_names
            if names_used and not thing.__module__.startswith(("numpy", "tinygrad_rnn")):
                for variable in names_used:
                    if variable in thing.__globals__:
                        visit(thing.__globals__[variable], variable)
        elif kind is types.MethodType:
            visit(thing.__func__, name)
            visit(thing.__self__, name)
        elif kind is functools.partial:
            for part in (thing.func, thing.args, thing.keywords):
                visit(part, name)
        elif kind is list or kind is tuple:
            key.append((kind, len(thing)))
            for element in thing:
                visit(element, name)
        elif kind is dict:
            key.append((kind, len(thing)))
            for label, element in thing.items():
                visit(label, "")
                visit(element, label if isinstance(label, str) else name)
        elif isinstance(thing, type | types.ModuleType | types.BuiltinFunctionType | np.ufunc):
            key.append(id(thing))
        else:
            key.append(kind)
            drawing.append(isinstance(thing, GENERATORS))
            if thing is cell:
                visit(getattr(kind, "__call__", None), name)  # noqa: B004
            for attribute, element in getattr(thing, "__dict__", EMPTY).items():
                key.append(attribute)
                visit(element, attribute)

    visit(cell, "cell")
    return Captures(tuple(key), arrays, names, any(drawing))


PLAIN_TYPES = frozenset(PLAIN)
GENERATORS = (np.random.Generator, np.random.RandomState, random.Random)
EMPTY: dict[str, Any] = {}
