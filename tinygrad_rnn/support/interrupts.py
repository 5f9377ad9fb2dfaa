"""State that stays consistent when Ctrl-C strikes.

Python raises KeyboardInterrupt after a call and at the end of a loop's round, but neither inside a
function written in C nor between two steps that call nothing. Hence the rules of this package:
state is changed inside the `try` whose `finally` restores it; the `finally` begins with the one
call that restores; values that belong together are written by one call.

Python 3.12 and 3.13 leave some jumps out of the `try` that they stand in: those of a comprehension
with a condition, and of a loop that ends with an `if`. Ctrl-C at such a jump passes the `finally`
by. So neither stands in a `try` or a `with` of this package; it is a function of its own.

An interrupt inside of a `__del__` or of the callback of a weak reference never arrives: Python
prints it and goes on (`sys.unraisablehook`).
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
