"""What must still hold of a cell for its program to serve: a Python expression, compiled.

The walk over a cell notes a condition for each place that it looks into, such as "the attribute W
is this Tensor". All of them together are one expression, which is asked at every call of a `BPTT`
and takes about a fifth of the time that loops over the places take.
"""

from __future__ import annotations

import operator
import sys
import types
from typing import Any

NOTHING = object()
"""What a variable holds that a function closes over and that has no value yet."""


def contents(variable: types.CellType) -> Any:
    """What a variable that a function closes over holds."""
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
"""What conditions may name, besides Python's own functions."""


class Conditions:
    """Texts with a place for each of the things that they are about.

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
        """Note one. An exception is an answer, too: it does not hold."""
        self.conditions.append((text, things))

    def add_entry(self, entries: Any, key: Any) -> None:
        """A dict has the same value under this key, or none as before."""
        if key in entries:
            self.add("{}[{}] is {}", entries, key, entries[key])
        else:
            self.add("{} not in {}", key, entries)

    def add_elements(self, container: Any) -> None:
        """A container has the same elements in the same order; a dict, the same keys."""
        self.add("len({}) == {}", container, len(container))
        self.add("all(map(is_, {}, {}))", container, [*container])

    def hold(self) -> bool:
        """Whether all of them hold."""
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
