"""Where the array of a value is: a buffer, an entry of it along the axis of time, and views."""

from __future__ import annotations

from dataclasses import dataclass, replace

from tinygrad_rnn.compiler.ir import Buffer, Ref, Storage, View, When
from tinygrad_rnn.compiler.views import of_all_steps


@dataclass(frozen=True)
class Place:
    """Where the array of a value is.

    offset: the offset of the entry, added to the step. views: the views of one step's array.
    """

    buffer: Buffer
    offset: int = 0
    views: tuple[View, ...] = ()
    name: str = ""

    def seen(self, view: View, name: str = "") -> Place:
        return replace(self, views=(*self.views, view), name=name or self.name)

    def step(self) -> Ref:
        when = When.ALWAYS if self.buffer.time is None else When.STEP
        return Ref(self.buffer, when, self.offset, self.views, name=self.name)

    def at(self, when: When, offset: int) -> Ref:
        return Ref(self.buffer, when, offset, self.views, name=self.name)

    def whole(self, *more: View) -> Ref:
        if self.buffer.time is None:
            return Ref(self.buffer, When.ALWAYS, 0, (*self.views, *more), name=self.name)
        views = [part for view in self.views for part in of_all_steps(view)]
        return Ref(self.buffer, When.ALL, self.offset, (*views, *more), name=self.name)


def is_contiguous(ref: Ref) -> bool:
    """Whether the place is contiguous. An axis of length one makes no gap."""
    if ref.buffer.storage is Storage.GIVEN:
        return False
    shape, strides, _ = ref.strided()
    expected = 1
    for length, stride in zip(reversed(shape), reversed(strides), strict=True):
        if length != 1 and stride != expected:
            return False
        expected *= length
    return True
