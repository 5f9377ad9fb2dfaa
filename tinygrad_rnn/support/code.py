"""The names that the code of a function uses, and the slots of a class."""

from __future__ import annotations

import functools
import itertools
import types
from collections.abc import Iterator


def codes_in(code: types.CodeType) -> Iterator[types.CodeType]:
    """The code objects of a function and of the functions that it defines."""
    yield code
    for part in code.co_consts:
        if isinstance(part, types.CodeType):
            yield from codes_in(part)


@functools.lru_cache(256)
def variables_in(code: types.CodeType) -> tuple[str, ...]:
    """The names of variables and attributes in the code of a function."""
    return tuple(dict.fromkeys(itertools.chain(*(part.co_names for part in codes_in(code)))))


@functools.lru_cache(256)
def globals_in(code: types.CodeType) -> tuple[str, ...]:
    """The names of the globals that a function, and the functions that it defines, read.

    `self.W` reads the attribute W, not a variable W of the module. Names that no source can
    contain, such as pytest's `@pytest_ar` in a rewritten assertion, are left out.
    """
    import dis  # takes as long to import as a part of this package

    parts = [dis.get_instructions(part) for part in codes_in(code)]
    read = (i.argval for i in itertools.chain(*parts) if i.opname in READS_A_GLOBAL)
    return tuple(dict.fromkeys(filter(str.isidentifier, read)))


READS_A_GLOBAL = ("LOAD_GLOBAL", "LOAD_NAME", "LOAD_FROM_DICT_OR_GLOBALS")
"""The opcodes that read a global variable, in a function and in the body of a class."""


@functools.lru_cache(256)
def slots_of(kind: type) -> tuple[str, ...]:
    """The names of the attributes in slots, which are not in an object's dictionary."""
    return tuple(
        name
        for base in kind.__mro__
        for name, member in vars(base).items()
        if type(member) is types.MemberDescriptorType
    )
