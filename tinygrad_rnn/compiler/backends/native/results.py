"""Results: the arrays that a call returns. They are used again when nobody has them any more.

Then the memory of the Python objects is as it was when nobody had them yet: the reference count,
the shape, the flags and everything else. `reused` is the function in machine code that compares it.
New arrays would cost more than the rest of a call, and are not in the cache.
"""

from __future__ import annotations

import ctypes
from functools import partial

import numpy as np

from tinygrad_rnn.compiler.backends.native.arguments import (
    ADDRESS,
    ARRAY,
    AXES,
    OBJECTS,
    each,
    word,
)
from tinygrad_rnn.compiler.backends.native.text import INDEX, POINTER, Module, Value, constant
from tinygrad_rnn.compiler.ir import Buffer

KEPT = 1 << 16
"""The size in bytes up to which an array is kept. The making of a larger one is a small part of a
call, and its memory would be missed."""

WORDS = np.ndarray.__basicsize__ // 8
"""The size of an array object, without its entries and its axes."""

HELD = -(1 << 62)
"""What a function returns if somebody may still have an array."""

NEW = ARRAY
"""The entry of a list that says whether the arrays are new. For each array the list has its place
in the table, the number of words for its shape and strides, and the address of what its object
looked like."""


def is_kept(buffer: Buffer) -> bool:
    """Whether a result is used again."""
    size = int(np.prod(buffer.shape)) * buffer.dtype.itemsize
    return buffer.time is None and size <= KEPT


class Results:
    """The arrays that a run returns, as a tuple. places: their places in the table of the run."""

    def __init__(self, buffers: tuple[Buffer, ...], places: list[int]) -> None:
        self.makers = [partial(np.empty, b.shape, b.dtype) for b in buffers]
        self.looks = [np.zeros(WORDS + 2 * len(b.shape), np.int64) for b in buffers]
        expected = [0, len(buffers), 0, 0]
        for buffer, place, look in zip(buffers, places, self.looks, strict=True):
            expected += [place, 2 * len(buffer.shape), look.ctypes.data]
        self.list = (ctypes.c_int64 * len(expected))(*expected)
        self.address = ctypes.addressof(self.list)
        self.renew()

    def renew(self) -> None:
        """Make new arrays. Ctrl-C never leaves the address of arrays that are gone."""
        arrays = tuple([make() for make in self.makers])
        address = id(arrays)
        self.list[OBJECTS], self.list[NEW], self.arrays = address, 1, arrays


def reused(module: Module) -> str:
    """A function (table, list) that enters the addresses of the results in the table.

    It returns `HELD` if an array is not new and its object has changed, otherwise 0.
    """
    name = "reused"
    if name in module.functions:
        return name
    f = module.function(name, [POINTER, POINTER], "i64")
    table, expected = f.parameters
    changed = f.op(POINTER, "alloca i64, align 8")
    f.store(constant(INDEX, 0), changed)

    def compare(words: Value, count: Value | int, before: Value) -> None:
        """Compare some words with what they were, and note what they are."""
        with f.loop(0, count) as n:
            now, there = f.load(f.at(words, n, "i64"), INDEX), f.at(before, n, "i64")
            differs = f.binary("xor", now, f.load(there, INDEX))
            f.store(f.binary("or", f.load(changed, INDEX), differs), changed)
            f.store(now, there)

    with each(f, table, expected) as (_, array, into, count, look):
        before = f.cast("inttoptr", look, "ptr")
        f.store(word(f, array, ADDRESS), into)
        compare(array, WORDS, before)
        compare(word(f, array, AXES, POINTER), count, f.at(before, WORDS, "i64"))
    new = f.at(expected, NEW, "i64")
    same = f.compare("eq", f.load(changed, INDEX), 0)
    good = f.binary("or", same, f.compare("ne", f.load(new, INDEX), 0))
    f.store(constant(INDEX, 0), new)
    f.do(f"ret {f.select(good, constant(INDEX, 0), constant(INDEX, HELD))}")
    return name
