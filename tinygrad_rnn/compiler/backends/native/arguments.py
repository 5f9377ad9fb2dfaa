"""Arguments: machine code looks up the addresses of the arrays of a call. A call passes the Python
objects as they are, and costs the same for any number of them.

A list in memory says which arrays are expected. `taken` is the function in machine code that goes
through the list and enters the addresses in the table of a run. An object that it does not accept
is replaced in Python, and the call is made again.
"""

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np

from tinygrad_rnn.compiler.backends.native.text import INDEX, POINTER, Module, Value, Vector

HEAD, ITEMS = object.__basicsize__, tuple.__basicsize__
"""The sizes in bytes of the headers of an object and of a tuple. The last field of an object's
header is its type. The items of a tuple follow its header."""

ADDRESS, AXES, DTYPE, FLAGS = HEAD, HEAD + 16, HEAD + 40, HEAD + 48
"""The places of the fields of an array in NumPy's C headers (`PyArrayObject_fields`)."""

WHOLE = 0x0101
"""The flags of an array that is contiguous in C order, and aligned."""

OBJECTS, ARRAY, NUMBER, COUNT, FIRST = range(5)
"""The entries of a list: the tuple of a call, the types `ndarray` and `int`, the number of arrays,
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
        expected = [0, id(np.ndarray), id(int), len(places)]
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

    def field(of: Value, offset: int, form: Vector = POINTER) -> Value:
        return f.load(f.at(of, offset, "i8"), form)

    items = f.at(field(expected, 8 * OBJECTS), ITEMS, "i8")
    with f.loop(0, field(expected, 8 * COUNT, INDEX)) as n:
        entry = f.at(expected, f.binary("mul", n, EACH), "i64")
        place, dtype, zeros = (
            field(entry, 8 * (FIRST + k), form) for k, form in enumerate((INDEX, POINTER, POINTER))
        )
        into = f.at(table, place, "ptr")
        thing = f.load(f.at(items, n, "ptr"), POINTER)
        kind = field(thing, HEAD - 8)
        is_array = f.compare("eq", kind, field(expected, 8 * ARRAY))
        f.branch(is_array, "array", "other")
        f.begin("array")
        flags = f.binary("and", field(thing, FLAGS, Vector("i32")), WHOLE)
        fits = f.binary(
            "and", f.compare("eq", flags, WHOLE), f.compare("eq", field(thing, DTYPE), dtype)
        )
        f.store(field(thing, ADDRESS), into)
        f.branch(fits, "next", "refused")
        f.begin("other")
        is_number = f.compare("eq", kind, field(expected, 8 * NUMBER))
        f.store(zeros, into)
        allowed = f.binary("and", is_number, f.compare("ne", zeros, Value(POINTER, "null")))
        f.branch(allowed, "next", "refused")
        f.begin("refused")
        f.do(f"ret i64 {f.binary('sub', Value(INDEX, '-1'), n).name}")
        f.begin("next")
    f.do("ret i64 0")
    return name
