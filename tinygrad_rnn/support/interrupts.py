"""Keep state consistent when Ctrl-C interrupts a computation.

Python raises KeyboardInterrupt after a call and at the end of a loop iteration. It does not raise
it inside a C function or between two steps without a call. Hence the rules of this package: State
is changed inside the `try` whose `finally` restores it. The `finally` begins with the one call that
restores the state. Values that belong together are written by one call.

Python 3.12 and 3.13 do not protect some jumps inside a `try`: those of a comprehension with a
condition, and of a loop that ends with an `if`. Ctrl-C at such a jump skips the `finally`. So this
package has neither of them in a `try` or a `with`, but in a function of its own.

An interrupt inside a `__del__` or a weak reference callback is lost: Python prints it and goes on
(`sys.unraisablehook`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

all_of: Callable[[Iterable[None]], bool] = any
"""Exhaust a `map` of a C function that returns None, in one call."""


def setter(cls: type, slot: str) -> Callable[[Any, Any], None]:
    """A C function `(object, value)` that writes into a slot."""
    write: Callable[[Any, Any], None] = vars(cls)[slot].__set__
    return write
