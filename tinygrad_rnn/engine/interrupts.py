"""State that stays consistent when Ctrl-C strikes.

Python raises KeyboardInterrupt after a call and at the end of a loop's round, but neither inside a
function written in C nor between two steps that call nothing. Hence the rules of this package:
state is changed inside the `try` whose `finally` restores it; the `finally` begins with the one
call that restores; values that belong together are written by one call.
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
