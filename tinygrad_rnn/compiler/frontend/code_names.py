"""The names that occur in a cell's code, which tell what the code reads."""

from __future__ import annotations

import functools
import opcode
import sys
import types
from typing import Any

from tinygrad_rnn.compiler.frontend.refusals import NUMPY, PACKAGE
from tinygrad_rnn.support.code import codes_in, globals_in, variables_in

LIBRARIES = (PACKAGE, NUMPY)
"""The folders of code that does not change from call to call."""

REFLECTION = frozenset(
    (
        *("getattr", "vars", "dir", "eval", "exec", "attrgetter", "methodcaller", "asdict"),
        *("astuple", "fields", "replace", "getmembers"),
        *("__dict__", "__slots__", "__getattribute__"),
    )
)
"""Names that occur in code that reads attributes by computed names."""

PROTOCOL = frozenset(("output", "advance", "project", "initial_state", "state_names"))
"""The members of a cell that functions of this package read."""

NEVER_READ = frozenset(
    (
        *("__init__", "__new__", "__post_init__", "__init_subclass__", "__class_getitem__"),
        *("__set_name__", "__subclasshook__", "__del__", "__repr__", "__str__", "__eq__"),
        *("__hash__", "__reduce__", "__reduce_ex__", "__getstate__", "__setstate__"),
        *("__replace__", "__setattr__"),
    )
)
"""The methods that a cell does not call while it computes."""


ROOT = __name__.partition(".")[0]


@functools.lru_cache(256)
def is_of_user(module: str) -> bool:
    """Whether the members of a class or module, defined in this module, can change from call to
    call."""
    root = module.partition(".")[0]
    return root not in ("numpy", ROOT) and root not in sys.stdlib_module_names


@functools.lru_cache(256)
def is_users_file(path: str) -> bool:
    """Whether the code in a file can change from call to call."""
    return not path.startswith(LIBRARIES)


def reads_any(kind: type) -> bool:
    """Whether any attribute of an object of this class may be read, by code that is not
    inspected."""
    return hasattr(kind, "__getattr__") or not is_of_user(kind.__module__) or inherits(kind)


@functools.lru_cache(256)
def inherits(kind: type) -> bool:
    """Whether a class inherits from a class of this package."""
    return any(base.__module__.partition(".")[0] == ROOT for base in kind.__mro__)


def operators_of(members: Any) -> list[str]:
    """The members of a class that are called implicitly, such as `__call__`."""
    return [name for name, member in members.items() if is_operator(name, member)]


def is_operator(name: str, member: Any) -> bool:
    """Whether a member of a class is called implicitly."""
    can_be_called = callable(member) or isinstance(member, classmethod | functools.partialmethod)
    return name[:2] == "__" and name not in NEVER_READ and can_be_called


@functools.lru_cache(256)
def read_in(code: types.CodeType) -> tuple[frozenset[str], tuple[str, ...], tuple[str, ...]]:
    """What a function's code reads: all names in it, the globals, and the modules that it
    imports."""
    return names_in(code), globals_in(code), imports_in(code)


def names_in(code: types.CodeType) -> frozenset[str]:
    """The names in code, as a set. Where the code reads attributes by strings, these strings,
    too."""
    names = set(variables_in(code))
    if not REFLECTION.isdisjoint(names):
        texts = (c for part in codes_in(code) for c in part.co_consts if isinstance(c, str))
        names.update(filter(str.isidentifier, texts))
    return frozenset(names)


def imports_in(code: types.CodeType) -> tuple[str, ...]:
    """The modules that a function imports when it is called."""
    names = variables_in(code)
    if not any(part.co_code.find(IMPORT_NAME) >= 0 for part in codes_in(code)):
        return ()
    return tuple(name for name in names if name in sys.modules and is_of_user(name))


IMPORT_NAME = bytes([opcode.opmap["IMPORT_NAME"]])
