"""The recording state of a context: whether it records, and the mark of its nodes.

The state belongs to the context (`contextvars`): each thread and each asyncio task has its own.
A generator has none: it runs in its caller's context. While it is suspended inside a block, the
block holds for the caller too. Blocks may end in any order.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from contextlib import _GeneratorContextManager as ContextManager  # also a decorator


class Mark:
    """The information of the surrounding `with` statements, stored on the nodes recorded inside.

    step: the time step, counted from 0. scope: the names of the scopes, outermost first.
    watch: None, or an observer of everything that is computed inside. While it `is_open`,
    `apply` calls its `value(result, function, args, kwargs)`, and the reverse pass its `passing`.
    back: None, or for nodes recorded by a reverse pass a weak reference to the node that it
    passes.
    A mark is immutable, because nodes share it. (Slots are the fastest fields to read.)
    """

    __slots__ = ("back", "scope", "step", "watch")

    def __init__(
        self,
        step: int | None = None,
        scope: tuple[str, ...] = (),
        watch: Any = None,
        back: weakref.ref[Any] | None = None,
    ) -> None:
        self.step = step
        self.scope = scope
        self.watch = watch
        self.back = back

    def replace(self, **fields: Any) -> Mark:
        """The same mark with other values of some fields."""
        return Mark(**{name: getattr(self, name) for name in self.__slots__} | fields)


UNMARKED = Mark()

_mark: ContextVar[Mark | None] = ContextVar("mark", default=UNMARKED)

current_mark = _mark.get
"""The mark of this context; None if nothing is recorded. It is a built-in method, for speed."""

set_mark = _mark.set
"""Change the mark of this context. The caller restores the mark in its own `finally`."""


depth: ContextVar[int] = ContextVar("depth", default=0)
"""The number of nested functions that this context is differentiating."""


class Block:
    """An open `with` block: the mark before it, and the enclosing block."""

    def __init__(self, before: Mark | None, around: Block | None) -> None:
        self.before, self.around, self.is_closed = before, around, False


_innermost: ContextVar[Block | None] = ContextVar("innermost", default=None)


@contextmanager
def _changed(change: Callable[[Mark | None], Mark | None]) -> Iterator[None]:
    """Inside this block, the mark is `change(mark)`. (For the order, see `interrupts.py`.)"""
    before, around = current_mark(), _innermost.get()
    block = Block(before, around)
    try:
        _innermost.set(block)
        set_mark(change(before))
        yield
    finally:
        block.is_closed = True
        try:
            before, around = without_closed_blocks()
        finally:
            set_mark(before)
            _innermost.set(around)


def without_closed_blocks() -> tuple[Mark | None, Block | None]:
    """The mark and the innermost block, once the innermost blocks that have ended are removed."""
    mark, block = current_mark(), _innermost.get()
    while block is not None and block.is_closed:
        mark, block = block.before, block.around
    return mark, block


def marked(mark: Mark | None) -> ContextManager[None]:
    """Record under this mark; with None, do not record."""
    return _changed(lambda _: mark)


def no_grad() -> ContextManager[None]:
    """Compute without recording: results computed inside need no gradient.

    It applies to the current thread or asyncio task. A task started inside inherits it.

    >>> import tinygrad_rnn as tg
    >>> w = tg.Tensor(2.0, requires_grad=True)
    >>> with tg.no_grad():
    ...     (w * w).requires_grad
    False
    """
    return _changed(lambda _: None)


def step(t: int) -> ContextManager[None]:
    """Mark the nodes recorded inside as part of time step `t`, counted from 0.

    >>> import tinygrad_rnn as tg
    >>> w = tg.Tensor(2.0, requires_grad=True)
    >>> with tg.step(3):
    ...     y = w * w
    >>> y.node.step
    3
    """
    if not isinstance(t, int | np.integer):
        raise TypeError(f"a step must be a whole number, counted from 0, not {t!r}")
    return _changed(lambda mark: mark and mark.replace(step=t))


def scope(name: str) -> ContextManager[None]:
    """Mark the nodes recorded inside as part of the scope `name`; scopes nest.

    >>> import tinygrad_rnn as tg
    >>> w = tg.Tensor(2.0, requires_grad=True)
    >>> with tg.scope("encoder"), tg.scope("cell"):
    ...     y = w * w
    >>> y.node.scope
    ('encoder', 'cell')
    """
    if not isinstance(name, str):
        raise TypeError(f"the name of a scope must be a str, not {name!r}")
    return _changed(lambda mark: mark and mark.replace(scope=(*mark.scope, name)))
