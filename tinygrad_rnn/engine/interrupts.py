"""What Ctrl-C must not divide.

Python raises KeyboardInterrupt after a call or at the turn of a loop, never within a function of
C, and never between two steps that call nothing. So a state that has to be restored is changed
inside a `try`, its `finally` begins with the one call that restores it, and what belongs together
is written by one call.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

all_of: Callable[[Iterable[Any]], Any] = partial(deque, maxlen=0)
"""Go through an iterator, such as a `map` of a function of C, in one call."""


def setter(cls: type, slot: str) -> Callable[[Any, Any], None]:
    """`(object, value)` written into a slot, as a function of C."""
    write: Callable[[Any, Any], None] = vars(cls)[slot].__set__
    return write
