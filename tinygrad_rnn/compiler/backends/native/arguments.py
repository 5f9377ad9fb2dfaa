"""Arguments: machine code looks up the addresses of the arrays of a call. A call passes the Python
objects as they are, and costs the same for any number of them.

A list in memory says which arrays are expected. `taken` is the function in machine code that goes
through the list and enters the addresses in the table of a run. An object that it does not accept
is replaced in Python, and the call is made again.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from tinygrad_rnn.compiler.backends.native.text import (
    INDEX,
    POINTER,
    Function,
    Module,
    Value,
    Vector,
)

HEAD, ITEMS = object.__basicsize__ // 8, tuple.__basicsize__ // 8
"""The sizes of the headers of an object and of a tuple, in words of 8 bytes. The last word of an
object's header is its type. The items of a tuple follow its header."""

TYPE, ADDRESS, AXES, DTYPE, FLAGS = HEAD - 1, HEAD, HEAD + 2, HEAD + 5, HEAD + 6
"""The words of an array in NumPy's C headers (`PyArrayObject_fields`)."""

WHOLE = 0x0101
"""The flags of an array that is contiguous in C order, and aligned."""

OBJECTS, COUNT, ARRAY, NUMBER, FIRST = range(5)
"""The entries of a list: the tuple of a call, the number of arrays, the types `ndarray` and `int`,
and the first array. Each array has as many entries as `EACH`: its place in the table, its dtype,
and the address of zeros if the int 0 may stand for it."""

EACH = 3


class Arguments:
    """The arrays of a call.

    places: the place of each array in the table of the run. dtypes: of each. zeros: for each, an
        array of zeros if the int 0 may stand for it, or None.
    """

    def __init__(self, places: list[int], dtypes: list[np.dtype[Any]], zeros: list[Any]) -> None:
        self.zeros = zeros
        self.dtypes = [np.dtype(dtype.type) for dtype in dtypes]
        expected = [0, len(places), id(np.ndarray), id(int)]
        for place, dtype, nothing in zip(places, self.dtypes, zeros, strict=True):
            expected += [place, id(dtype), 0 if nothing is None else nothing.ctypes.data]
        self.list = (ctypes.c_int64 * len(expected))(*expected)
        self.address = ctypes.addressof(self.list)

    def accepted(self, given: tuple[Any, ...], failed: int) -> tuple[Any, ...]:
        """The objects of a call, with one that was not accepted replaced by an equal array."""
        n = -1 - failed
        array, dtype = given[n], self.dtypes[n]
        if type(array) is np.ndarray and array.dtype is dtype and array.flags.carray:
            raise RuntimeError(
                f'backend="native" does not know where NumPy {np.__version__} keeps the addresses '
                f'of arrays: use backend="numpy"'
            )
        made = np.ascontiguousarray(array, dtype)
        made = np.array(array, dtype) if made is array else made
        return (*given[:n], made, *given[n + 1 :])


def taken(module: Module) -> str:
    """A function (table, list) that enters the addresses of the arrays of a call in the table.

    It returns 0, or −1 − n if the n-th object is not accepted.
    """
    name = "taken"
    if name in module.functions:
        return name
    f = module.function(name, [POINTER, POINTER], "i64")
    table, expected = f.parameters
    with each(f, table, expected) as (n, thing, into, dtype, zeros):
        kind = word(f, thing, TYPE)
        f.branch(f.compare("eq", kind, word(f, expected, ARRAY)), "array", "other")
        f.begin("array")
        f.store(word(f, thing, ADDRESS), into)
        flags = f.binary("and", word(f, thing, FLAGS, Vector("i32")), WHOLE)
        whole, typed = f.compare("eq", flags, WHOLE), f.compare("eq", word(f, thing, DTYPE), dtype)
        f.branch(f.binary("and", whole, typed), "next", "refused")
        f.begin("other")
        f.store(zeros, into)
        is_number = f.compare("eq", kind, word(f, expected, NUMBER))
        f.branch(f.binary("and", is_number, f.compare("ne", zeros, 0)), "next", "refused")
        f.begin("refused")
        f.do(f"ret {f.binary('xor', n, -1)}")
        f.begin("next")
    f.do("ret i64 0")
    return name


def word(f: Function, of: Value, n: int, form: Vector = INDEX) -> Value:
    """The n-th word of an object or a list."""
    return f.load(f.at(of, n, "i64"), form)


@contextmanager
def each(
    f: Function, table: Value, expected: Value
) -> Iterator[tuple[Value, Value, Value, Value, Value]]:
    """A loop over the arrays of a list: the number of each, the object, its place in the table, and
    the other two entries of the list."""
    items = f.at(word(f, expected, OBJECTS, POINTER), ITEMS, "i64")
    with f.loop(0, word(f, expected, COUNT)) as n:
        here = f.at(expected, f.binary("mul", n, EACH), "i64")
        place, second, third = (word(f, here, FIRST + k) for k in range(EACH))
        yield n, f.load(f.at(items, n, "i64"), POINTER), f.at(table, place, "i64"), second, third
