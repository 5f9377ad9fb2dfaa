"""Arrays in memory that the processes of one machine share.

A pipe copies an array several times, for each worker. In shared memory an array is written once,
and each worker reads it in place.
"""

from __future__ import annotations

import mmap
import os
import secrets
import weakref
from collections import OrderedDict
from collections.abc import Callable, Iterable
from concurrent.futures import Executor
from operator import sub
from typing import Any, NamedTuple

import numpy as np

from tinygrad_rnn.training.pickling import pickled, unpickled
from tinygrad_rnn.training.process_pool import ProcessPool

AVAILABLE = hasattr(os, "memfd_create") and os.path.exists("/proc/self/fd")
"""Whether there are anonymous files in memory, as on Linux. The kernel frees such a file when no
process uses it any more, also if processes were killed."""

ALIGNED = 64
"""The alignment of arrays, in bytes."""

MAPPED = 4
"""The largest number of blocks that stay mapped in a worker."""


class Asked(NamedTuple):
    """Calls submitted to workers. read: from the result of a call to what the work returned.
    close: to be called after the last result is read."""

    calls: list[Any]
    read: Callable[[Any], Any] = lambda result: result
    close: Callable[[], None] = lambda: None


def ask(executor: Executor, work: Callable[..., Any], common: Any, each: Iterable[Any]) -> Asked:
    """Submit work(common, one) to an executor, for each `one` of `each`.

    With a `ProcessPool`, the arrays in the arguments are in shared memory. Each is copied once for
    all workers, and no worker can write into it. The results of a call get as much memory as its
    arguments. Other executors send arrays in their own way.
    """
    if not hasattr(executor, "submit"):
        raise TypeError(
            f"executor must be a tg.process_pool or a concurrent.futures.Executor, but its type is "
            f"{type(executor).__name__}"
        )
    if not isinstance(executor, ProcessPool) or not AVAILABLE:
        return Asked([executor.submit(work, common, one) for one in each])
    layout = Layout()
    first = layout.pickled(common, "the model")
    others, ends = [], [layout.end]
    for one in each:
        others.append(layout.pickled(one, "a shard"))
        ends.append(layout.end)
    room = ends[0] + max(map(sub, ends[1:], ends), default=0)
    free = _free.setdefault(executor, [])
    block = _block(free, layout.end + room * len(others))
    block.write(first.arrays)
    calls = []
    for n, one in enumerate(others):
        block.write(one.arrays)
        start = layout.end + n * room
        texts = first.text, one.text
        call = executor.submit(_with_shared, block.place, (start, start + room), work, texts)
        call.kept = block
        calls.append(call)

    def close() -> None:
        if all(call.done() for call in calls):
            free.append(block)

    return Asked(calls, block.read, close)


class Pickled(NamedTuple):
    """An object pickled without its arrays, and these arrays with their offsets."""

    text: bytes
    arrays: list[tuple[int, Any]]


class Layout:
    """The offset of each array in a block. An array that occurs twice has one offset.

    end: the end of the last array. limit: an array that would end after it is not placed.
    """

    def __init__(self, start: int = 0, limit: float = float("inf")) -> None:
        self.end, self.limit = start, limit
        self.places: dict[int, int] = {}

    def pickled(self, thing: Any, what: str) -> Pickled:
        arrays: list[tuple[int, Any]] = []

        def reference(part: Any) -> Any:
            if type(part) not in (np.ndarray, np.memmap) or part.dtype.kind not in "biufc":
                return None
            if id(part) not in self.places:
                end = self.end + -(-part.nbytes // ALIGNED) * ALIGNED
                if end > self.limit:
                    return None
                self.places[id(part)], self.end = self.end, end
                arrays.append((self.places[id(part)], part))
            return self.places[id(part)], part.dtype.str, part.shape

        return Pickled(pickled(thing, reference, what), arrays)


class Place(NamedTuple):
    """The address of a block for another process. key: unique to the block."""

    path: str
    key: str


class Block:
    """Memory that other processes of this machine can map as well."""

    def __init__(self, size: int) -> None:
        file = os.memfd_create("tinygrad_rnn")  # type: ignore[attr-defined, unused-ignore]
        weakref.finalize(self, os.close, file)
        os.ftruncate(file, size)
        self.memory = mmap.mmap(file, size)
        self.place = Place(f"/proc/{os.getpid()}/fd/{file}", secrets.token_hex(8))

    def write(self, arrays: list[tuple[int, Any]]) -> None:
        _write(self.memory, arrays)

    def read(self, text: bytes) -> Any:
        """An object that a worker has pickled, with copies of its arrays."""
        return unpickled(text, lambda place: _array(self.memory, place).copy())


_free: weakref.WeakKeyDictionary[ProcessPool, list[Block]] = weakref.WeakKeyDictionary()
"""For each pool, the blocks that are no longer in use."""


def _block(free: list[Block], size: int) -> Block:
    """A block of at least this size. A free one is preferred: its pages are already allocated."""
    block = free.pop() if free else None
    return block if block and len(block.memory) >= size else Block(max(size, 1))


def _write(memory: mmap.mmap, arrays: list[tuple[int, Any]]) -> None:
    for offset, array in arrays:
        np.copyto(np.ndarray(array.shape, array.dtype, memory, offset), array)


def _array(memory: mmap.mmap, place: tuple[int, str, tuple[int, ...]]) -> Any:
    offset, dtype, shape = place
    return np.ndarray(shape, dtype, memory, offset)


# In a worker ------------------------------------------------------------------------------------

_mapped: OrderedDict[str, mmap.mmap] = OrderedDict()


def _with_shared(
    place: Place, room: tuple[int, int], work: Callable[..., Any], texts: tuple[bytes, ...]
) -> bytes:
    memory = _memory(place)

    def referred(place: Any) -> Any:
        array = _array(memory, place)
        array.flags.writeable = False
        return array

    found = work(*(unpickled(text, referred) for text in texts))
    answer = Layout(*room).pickled(found, "what a worker found")
    _write(memory, answer.arrays)
    return answer.text


def _memory(place: Place) -> mmap.mmap:
    if place.key not in _mapped:
        with open(place.path, "r+b") as file:
            _mapped[place.key] = mmap.mmap(file.fileno(), 0)
        while len(_mapped) > MAPPED:
            _mapped.popitem(last=False)
    _mapped.move_to_end(place.key)
    return _mapped[place.key]
