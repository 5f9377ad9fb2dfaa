"""What the code of a cell reads: the names that stand in it."""

from __future__ import annotations

import functools
import opcode
import os
import sys
import types
import weakref
from typing import Any

import numpy as np

from tinygrad_rnn.compiler.frontend.refusals import PACKAGE
from tinygrad_rnn.support.code import codes_in, variables_in

LIBRARIES = (PACKAGE, os.path.dirname(np.__file__) + os.sep)
"""Where the code stands that does not change from call to call."""

REFLECTION = frozenset(
    (
        *("getattr", "vars", "dir", "eval", "exec", "attrgetter", "methodcaller", "asdict"),
        *("astuple", "fields", "replace", "getmembers"),
        *("__dict__", "__slots__", "__getattribute__"),
    )
)
"""Names that stand where code reads attributes whose names do not stand in it."""

PROTOCOL = frozenset(("output", "advance", "project", "initial_state", "state_names"))
"""Members of a cell that functions of this package read."""

NEVER_READ = frozenset(
    (
        *("__init__", "__new__", "__post_init__", "__init_subclass__", "__class_getitem__"),
        *("__set_name__", "__subclasshook__", "__del__", "__repr__", "__str__", "__eq__"),
        *("__hash__", "__reduce__", "__reduce_ex__", "__getstate__", "__setstate__"),
        *("__replace__", "__setattr__"),
    )
)
"""Methods that a cell does not call while it computes."""


ROOT = __name__.partition(".")[0]


@functools.lru_cache(256)
def is_of_user(module: str) -> bool:
    """Whether what stands in a class or module of this module can change from call to call."""
    root = module.partition(".")[0]
    return root not in ("numpy", ROOT) and root not in sys.stdlib_module_names


@functools.lru_cache(256)
def inherits(kind: type) -> bool:
    """Whether a class inherits from one of this package, whose code is not looked into: it may read
    any attribute."""
    return any(base.__module__.partition(".")[0] == ROOT for base in kind.__mro__)


def operators_of(members: Any) -> list[str]:
    """The methods of a class that are called without their name, such as `__call__`."""
    return [
        name
        for name, member in members.items()
        if name[:2] == "__" and type(member) is types.FunctionType and name not in NEVER_READ
    ]


@functools.lru_cache(256)
def names_in(code: types.CodeType) -> frozenset[str]:
    """The same as a set; where attributes are read by their names as texts, also these texts."""
    names = set(variables_in(code))
    if not REFLECTION.isdisjoint(names):
        texts = (c for part in codes_in(code) for c in part.co_consts if isinstance(c, str))
        names.update(filter(str.isidentifier, texts))
    return frozenset(names)


@functools.lru_cache(256)
def imports_in(code: types.CodeType) -> tuple[str, ...]:
    """The modules that a function imports when it is called."""
    names = variables_in(code)
    if not any(part.co_code.find(IMPORT_NAME) >= 0 for part in codes_in(code)):
        return ()
    return tuple(name for name in names if name in sys.modules and is_of_user(name))


IMPORT_NAME = bytes([opcode.opmap["IMPORT_NAME"]])

NAMES: dict[int, tuple[weakref.ref[Any], frozenset[str]]] = {}
"""The names that a cell's code was found to read, by the cell's id."""


def known_names(cell: Any) -> frozenset[str]:
    """What was found when the cell was walked before."""
    reference, names = NAMES.get(id(cell), (None, PROTOCOL))
    return names if reference is not None and reference() is cell else PROTOCOL


def remember_names(cell: Any, names: frozenset[str]) -> None:
    key = id(cell)
    try:
        NAMES[key] = weakref.ref(cell, lambda _: NAMES.pop(key, None)), names
    except TypeError:
        return  # it cannot be referred to weakly: it is walked twice
