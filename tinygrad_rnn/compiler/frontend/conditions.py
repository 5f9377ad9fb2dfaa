"""Conditions under which a cell's program is still valid, compiled to one Python expression.

The walk over a cell records a condition for each place that it visits, such as "the attribute W is
this Tensor". All conditions together form one expression. It is evaluated at every call of a
`BPTT`, and takes about a fifth of the time of loops over the places.
"""

from __future__ import annotations

import operator
import sys
import types
from typing import Any

NOTHING = object()
"""The content of a closure variable that has no value yet."""


def contents(variable: types.CellType) -> Any:
    """The content of a closure variable."""
    try:
        return variable.cell_contents
    except ValueError:
        return NOTHING


KNOWN = {
    "contents": contents,
    "is_": operator.is_,
    "modules": sys.modules,
    "NOTHING": NOTHING,
}
"""The names that conditions may use, besides Python's own functions."""


class Conditions:
    """Conditions as source texts, with placeholders for the objects that they refer to.

    >>> numbers, found = [1, 2], Conditions()
    >>> found.add("len({}) == {}", numbers, 2)
    >>> found.hold()
    True
    >>> numbers.append(3)
    >>> found.hold()
    False
    """

    __slots__ = ("conditions", "expression")

    def __init__(self) -> None:
        self.conditions: list[tuple[str, tuple[Any, ...]]] = []
        self.expression: Any = None

    def add(self, text: str, *things: Any) -> None:
        """Add a condition. A condition that raises an exception does not hold."""
        self.conditions.append((text, things))

    def add_entry(self, entries: Any, key: Any) -> None:
        """Add the condition that a dict has the same value under this key, or still has none."""
        if key in entries:
            self.add("{}[{}] is {}", entries, key, entries[key])
        else:
            self.add("{} not in {}", key, entries)

    def hold(self) -> bool:
        """Whether all conditions hold."""
        if self.expression is None:
            self.expression = self._compiled()
        try:
            return bool(self.expression())
        except (AttributeError, LookupError, TypeError, ValueError):
            return False

    def _compiled(self) -> Any:
        names = dict(KNOWN)
        lines = []
        for text, things in self.conditions:
            given = []
            for thing in things:
                given.append(f"_{len(names)}")
                names[given[-1]] = thing
            lines.append(text.format(*given))
        return eval(f"lambda: ({' and '.join(lines) or True})", names)
