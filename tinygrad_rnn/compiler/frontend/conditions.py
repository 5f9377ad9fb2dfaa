"""Conditions under which a cell has the structure that a walk found, as one Python expression.

The walk over a cell records a condition for each fact that it reads, such as "the attribute W is a
Tensor of this shape". A condition refers to the objects by their paths from the cell and not to the
objects themselves, so it keeps none of them alive. If all conditions hold, a new walk would find
the same key. The expression then gives the Tensors and arrays, in a fraction of the walk's time.
"""

from __future__ import annotations

import itertools
import numbers
import sys
import types
import weakref
from collections.abc import Callable, Iterable
from typing import Any

from tinygrad_rnn.compiler.frontend.code_names import is_of_user, is_operator
from tinygrad_rnn.engine.rules import Pullback, Rule

NOTHING = object()
"""The content of a closure variable that has no value yet."""


def contents(variable: types.CellType) -> Any:
    """The content of a closure variable."""
    try:
        return variable.cell_contents
    except ValueError:
        return NOTHING


def plain(thing: Any) -> tuple[Any, Any]:
    """The description of a plain value, with the sign of a zero."""
    return type(thing), thing or (repr(thing),)


def numeral(thing: Any) -> tuple[Any, Any, str]:
    """The description of an object that stands for a value, such as a Fraction or a date."""
    return type(thing), thing, str(thing) if isinstance(thing, numbers.Number) else ""


def pullbacks_of(function: Any) -> list[Any]:
    """The pull-backs of a function that was entered with `derivative`. They are a part of it."""
    rule = getattr(function, "rule", None)
    pullbacks = [p for _, p in rule.arguments] if type(rule) is Rule else []
    return [p.function for p in pullbacks if isinstance(p, Pullback)]


READERS = {
    "contents": contents,
    "is_operator": is_operator,
    "modules": sys.modules,
    "numeral": numeral,
    "plain": plain,
    "pullbacks_of": pullbacks_of,
    "ref": weakref.ref,
}
"""The names that conditions may use, besides Python's own functions."""

FEW = 8
"""The number of objects up to which each pair is compared, to see that the objects are different.
For more objects a set of their ids takes less time."""

MOST = 4000
"""The number of conditions above which no expression is made: compiling takes too long."""


class Conditions:
    """Conditions as source texts, with placeholders.

    {0} is the subject: the name of a variable, or a path as the tuple (text, subject, *constants).
    The other placeholders are constants.

    >>> cell, found = [1, 2], Conditions()
    >>> found.enter(list, "v0", ("{}", "cell"))
    >>> found.add("len({}) == {}", "v0", 2)
    >>> recognised = found.compiled(["v0"])
    >>> recognised([3, 4]), recognised([5])
    ([[3, 4]], False)
    """

    __slots__ = ("conditions", "variables")

    def __init__(self) -> None:
        self.conditions: list[tuple[Any, ...]] = []
        self.variables: dict[int, list[str]] = {}

    def add(self, text: str, subject: Any, *constants: Any) -> None:
        self.conditions.append((text, subject, *constants))

    def enter(self, kind: Any, variable: str, path: Any) -> None:
        """Let a variable stand for a new object, and add the condition that it has this type."""
        self.variables.setdefault(id(kind), []).append(variable)
        if is_of_user(kind.__module__):
            self.add(f"type({variable} := {{}}) is {{}}()", path, weakref.ref(kind))
        else:
            self.add(f"type({variable} := {{}}) is {{}}", path, kind)

    def named(self, text: str, path: Any, expected: Any) -> str:
        """A new variable for the container at a path. `text` is a condition on it."""
        variable = f"e{len(self.conditions)}"
        self.add(text.replace("NEW", variable), path, expected)
        return variable

    def compiled(self, results: Iterable[str]) -> Callable[[Any], list[Any] | None] | None:
        """The function of a cell that gives the values of the variables in `results` if all
        conditions hold, otherwise something false. It may raise any exception where the cell has
        changed."""
        if len(self.conditions) > MOST:
            return None
        known = dict(READERS)
        lines = [source(condition, known) for condition in self.conditions]
        for same in self.variables.values():  # objects of one type are still different objects
            if len(same) > FEW:
                lines.append(f"len({{*map(id, ({', '.join(same)}))}}) == {len(same)}")
            else:
                lines += map(" is not ".join, itertools.combinations(same, 2))
        lines.append(f"[{', '.join(results)}]")
        return eval(f"lambda cell: {' and '.join(lines)}", known)  # type: ignore[no-any-return]


def source(part: Any, known: dict[str, Any]) -> str:
    """The text of a condition or a path. Its constants get names in `known`."""
    if isinstance(part, str):
        return part
    text, subject, *constants = part
    names = [f"c{len(known) + n}" for n in range(len(constants))]
    known.update(zip(names, constants, strict=True))
    return text.format(source(subject, known), *names)  # type: ignore[no-any-return]
