"""Recognise the structure of a cell that was walked before, without a new walk.

A cell that was walked twice alike gets an expression that checks the conditions of the walk. The
conditions are about paths from the cell, so whatever the expression recognises has this structure.
"""

from __future__ import annotations

import types
from collections.abc import Callable
from typing import Any

from tinygrad_rnn.compiler.frontend.captures import CellKey


class Known:
    """What the last walk over a cell found, without the cell and its arrays.

    find: the function of a cell that gives its Tensors and arrays if it has this structure. None
        before the second walk.
    """

    __slots__ = ("find", "generators", "key", "labels", "names_read")

    def __init__(self, walked: CellKey, find: Callable[[Any], Any] | None) -> None:
        self.key, self.labels, self.find = walked.key, walked.labels, find
        self.generators, self.names_read = walked.generators, walked.names_read

    def recognised(self, cell: Any) -> CellKey | None:
        """What a walk would find in this cell if it has this structure."""
        try:
            arrays = self.find and self.find(cell)
        except Exception:  # a path leads nowhere now
            return None
        if type(arrays) is not list:
            return None
        found = CellKey.__new__(CellKey)
        found.cell, found.arrays, found.key, found.labels = cell, arrays, self.key, self.labels
        found.generators, found.names_read = self.generators, self.names_read
        return found


KNOWN: dict[Any, Known] = {}
"""The structures by the ids of the cells. An id may belong to another cell later. This is harmless,
because each cell is checked."""

MOST = 256
"""The number of structures that are kept. The oldest is dropped first."""


def captured_by(cell: Any) -> CellKey:
    """The structure of a cell and the Tensors and arrays in it, by a walk only if it is new."""
    is_method = type(cell) is types.MethodType  # made anew whenever it is read
    place: Any = (id(cell.__self__), id(cell.__func__)) if is_method else id(cell)
    known = KNOWN.get(place)
    found = None if known is None else known.recognised(cell)
    if found is None:
        found = CellKey(cell)
        again = known is not None and known.key == found.key
        find = found.conditions.compiled(found.labels) if again else None
        if known is None and len(KNOWN) >= MOST:
            del KNOWN[next(iter(KNOWN))]
        KNOWN[place] = Known(found, find)
    return found
