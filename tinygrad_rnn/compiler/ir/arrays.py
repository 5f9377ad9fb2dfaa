"""The arrays of a program, and the places in them that its instructions read and write."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from tinygrad_rnn.engine.graph import Array


class Storage(enum.Enum):
    """The owner of an array, and the lifetime of its numbers.

    GIVEN: an array of the caller. It is never written to. It has any strides, and may be read-only.
    STATE: the states of all steps. The caller may give the array, and reads it.
    KEPT: made once for a block of steps. `backward` reads what `forward` leaves there; or the array
        is set up, and this has to stay.
    SCRATCH: made once, and dead after the call that wrote it. So all blocks of steps can use the
        same array.
    RETURNED: made anew in each call of the function, because the caller keeps it.
    RESULT: no array to write to, but a name for the return value of an instruction, such as the
        gradient of a parameter or the result of a function without `out`. It has no parts.
    LANE: one array for each lane of adjoints, under windows.
    """

    GIVEN = enum.auto()
    STATE = enum.auto()
    KEPT = enum.auto()
    SCRATCH = enum.auto()
    RETURNED = enum.auto()
    RESULT = enum.auto()
    LANE = enum.auto()


OWN = (Storage.STATE, Storage.KEPT, Storage.SCRATCH)
"""The arrays that a program makes once, before its functions are called."""


@dataclass(frozen=True, eq=False)
class Buffer:
    """An array of the program. It is contiguous in C order, unless the caller gives it.

    shape: the shape of one step. time: None for an array without an axis of time. Otherwise the
        first axis has length T + time, where T is the number of steps, known when the buffers are
        made. So an array with `time=0` has the entries 0..T−1. An array with `time=1`, such as that
        of the states, has one more: entry t enters step t, and entry t+1 leaves it.
    shares: another buffer of the same shape, dtype and time, whose memory this buffer uses.
    """

    name: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    storage: Storage
    time: int | None = None
    shares: Buffer | None = None

    @property
    def root(self) -> Buffer:
        """The buffer that owns the memory."""
        return self if self.shares is None else self.shares.root

    def __repr__(self) -> str:
        steps = {None: "", 0: "T, ", 1: "T+1, "}[self.time]
        shape = f"({steps}{', '.join(map(str, self.shape))})"
        return f"{self.name}: {self.dtype} {shape} {self.storage.name.lower()}"


class Known:
    """An argument of an instruction that is known only when the function runs."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __repr__(self) -> str:
        return self.name


T = Known("T")
"""The number of steps."""

STEP = Known("t")
"""The current step of the loop."""

CONTINUED = Known("continued")
"""Whether the steps before are a block of their own (see `Program.backward`)."""


@dataclass(frozen=True)
class View:
    """A view of an array: its numbers are not copied.

    kind: "index", with a basic index (integers, slices of constants, None, Ellipsis); "transpose",
        with the order of all axes; "reshape" and "broadcast", with a shape that may have `T` as its
        first entry, and for "reshape" may be (−1, n): rows.

    What is read may be a copy, where the strides allow no view: rows of a transposed array, or a
    view of a `GIVEN` array. What is written to is a view.

    before: the shape of one step before broadcasting.
    """

    kind: str
    argument: tuple[Any, ...]
    before: tuple[int, ...] = ()

    def __hash__(self) -> int:
        return hash((self.kind, repr(self.argument)))  # before Python 3.12 a slice has none

    def of(self, array: Any, steps: int = 0) -> Any:
        """The view of an array. steps: the number of steps, in the place of `T`."""
        if self.kind == "index":
            return array[self.argument]
        if self.kind == "transpose":
            return array.transpose(self.argument)
        shape = tuple([steps if n is T else n for n in self.argument])
        return array.reshape(shape) if self.kind == "reshape" else np.broadcast_to(array, shape)


class When(enum.Enum):
    """The entries along the axis of time that a reference selects.

    ALWAYS: the buffer has no axis of time. ALL: all T steps as one array, with that axis. STEP: the
    entry of the current step of the loop. FIRST: the entry of step 0. LAST: that of step T−1.
    """

    ALWAYS = enum.auto()
    ALL = enum.auto()
    STEP = enum.auto()
    FIRST = enum.auto()
    LAST = enum.auto()


@dataclass(frozen=True)
class Ref:
    """A place that an instruction reads or writes: a buffer, one of its entries, and views of it.

    offset: added to the step. 0 or, for buffers of T+1 entries, 1: h_{t−1} is (h, offset 0) and h_t
        is (h, offset 1). With `ALL` it is entries offset..offset+T−1; with `FIRST` the entry
        `offset`; with `LAST` the entry offset+T−1.
    views: applied one after the other; with `ALL` to the array with the axis of time, otherwise to
        the array of one step.
    seeded: whether the reference depends on the lane, under windows. In the loop of a lane to which
        the loss at this step does not belong, it means the number 0.
    name: a name for readers of the program.
    """

    buffer: Buffer
    when: When = When.ALWAYS
    offset: int = 0
    views: tuple[View, ...] = ()
    seeded: bool = False
    name: str = field(default="", compare=False)

    @property
    def dtype(self) -> np.dtype[Any]:
        return self.buffer.dtype

    @property
    def at(self) -> tuple[When, int, tuple[View, ...]]:
        """The place in the buffer."""
        return self.when, self.offset, self.views

    def of(self, array: Any, steps: int, t: int = 0) -> Any:
        """The place in an array of the buffer. steps: the number of steps. t: the step."""
        if self.when is When.ALL:
            array = array[self.offset : self.offset + steps]
        elif self.when is not When.ALWAYS:
            entry = {When.STEP: t, When.FIRST: 0, When.LAST: steps - 1}[self.when]
            array = array[entry + self.offset, ...]
        for view in self.views:
            array = view.of(array, steps)
        return array

    def seen(self, steps: int = 1) -> tuple[Array, Array]:
        """An array in place of the entry (of the whole buffer for `ALL`), and the place in it. Not
        for `GIVEN` buffers, whose strides only the caller knows."""
        buffer, whole = self.buffer, self.when is When.ALL
        entries = (steps + (buffer.time or 0),) if whole else ()
        array = np.empty((*entries, *buffer.shape), np.int8)
        return array, (self if whole else replace(self, when=When.ALWAYS)).of(array, steps)

    def strided(self, steps: int = 1) -> tuple[tuple[int, ...], tuple[int, ...], int]:
        """Shape, strides and offset of the place, counted in numbers and not in bytes, from the
        beginning of the entry (of the whole buffer for `ALL`)."""
        array, place = self.seen(steps)
        begin, start = (a.__array_interface__["data"][0] for a in (array, place))
        return place.shape, place.strides, start - begin

    def is_contiguous(self) -> bool:
        """Whether the place is contiguous."""
        known = self.buffer.storage is not Storage.GIVEN
        return known and self.seen()[1].flags.c_contiguous
