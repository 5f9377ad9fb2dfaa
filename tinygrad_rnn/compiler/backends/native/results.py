"""Results: the arrays that a call returns. They are used again when nobody has them any more.

Then the memory of the Python objects is as it was when nobody had them yet: the reference count,
the shape, the flags and everything else. `reused` is the function in machine code that compares it.
New arrays would cost more than the rest of a call, and are not in the cache.
"""

from __future__ import annotations

import ctypes
from functools import partial

import numpy as np

from tinygrad_rnn.compiler.backends.native.arguments import ADDRESS, AXES, ITEMS
from tinygrad_rnn.compiler.backends.native.text import INDEX, POINTER, Module, Value
from tinygrad_rnn.compiler.ir import Buffer

LARGEST = 1 << 16
"""The size in bytes up to which an array is kept. The making of a larger one is a small part of a
call, and its memory would be missed."""

WORDS = np.ndarray.__basicsize__ // 8
"""The size of an array object, without its entries and its axes."""

HELD = -(1 << 62)
"""What a function returns if somebody may still have an array."""

OBJECTS, NEW, COUNT, FIRST = range(4)
"""The entries of a list: the tuple of the arrays, whether they are new, their number, and the first
array. Each array has as many entries as `EACH`: its place in the table, the number of words for
its shape and strides, and the address of what its object looked like."""

EACH = 3


def is_kept(buffer: Buffer) -> bool:
    """Whether a result is used again."""
    size = int(np.prod(buffer.shape)) * buffer.dtype.itemsize
    return buffer.time is None and size <= LARGEST


class Results:
    """The arrays that a run returns, as a tuple. places: their places in the table of the run."""

    def __init__(self, buffers: tuple[Buffer, ...], places: list[int]) -> None:
        self.makers = [partial(np.empty, b.shape, b.dtype) for b in buffers]
        self.looks = [np.zeros(WORDS + 2 * len(b.shape), np.int64) for b in buffers]
        expected = [0, 0, len(buffers)]
        for buffer, place, look in zip(buffers, places, self.looks, strict=True):
            expected += [place, 2 * len(buffer.shape), look.ctypes.data]
        self.list = (ctypes.c_int64 * len(expected))(*expected)
        self.address = ctypes.addressof(self.list)
        self.renew()

    def renew(self) -> None:
        """Make new arrays."""
        self.arrays = tuple([make() for make in self.makers])
        self.list[OBJECTS], self.list[NEW] = id(self.arrays), 1


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
    f.store(Value(INDEX, "0"), changed)

    def compare(words: Value, count: Value | int, before: Value) -> None:
        """Compare some words with what they were, and note what they are."""
        with f.loop(0, count) as n:
            word, there = f.load(f.at(words, n, "i64"), INDEX), f.at(before, n, "i64")
            differs = f.binary("xor", word, f.load(there, INDEX))
            f.store(f.binary("or", f.load(changed, INDEX), differs), changed)
            f.store(word, there)

    items = f.at(f.load(f.at(expected, OBJECTS, "i64"), POINTER), ITEMS, "i8")
    with f.loop(0, f.load(f.at(expected, COUNT, "i64"), INDEX)) as n:
        entry = f.at(f.at(expected, f.binary("mul", n, EACH), "i64"), FIRST, "i64")
        place, count = f.load(entry, INDEX), f.load(f.at(entry, 1, "i64"), INDEX)
        before = f.load(f.at(entry, 2, "i64"), POINTER)
        array = f.load(f.at(items, n, "ptr"), POINTER)
        f.store(f.load(f.at(array, ADDRESS, "i8"), POINTER), f.at(table, place, "ptr"))
        compare(array, WORDS, before)
        axes = f.load(f.at(array, AXES, "i8"), POINTER)
        compare(axes, count, f.at(before, WORDS, "i64"))
    new = f.at(expected, NEW, "i64")
    held = f.binary(
        "and",
        f.compare("ne", f.load(changed, INDEX), 0),
        f.compare("eq", f.load(new, INDEX), 0),
    )
    f.store(Value(INDEX, "0"), new)
    f.do(f"ret i64 {f.select(held, Value(INDEX, str(HELD)), Value(INDEX, '0')).name}")
    return name
