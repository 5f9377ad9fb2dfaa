"""The timeline: the rows of the values, read from the steps marked on the tape."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property

from viz.labels import Name
from viz.scopes import part_of
from viz.snapshot import Input, Value

Span = tuple[int, int]


class Timeline:
    """The rows of the values.

    spans: the first and the last row of each value; None for a value without rows. A value recorded
        outside any step belongs to the rows of the values from which it was computed. So the loss
        at t, computed after the unrolling, is in row t, and the sum of the losses in all rows.
    """

    def __init__(self, values: Sequence[Value]) -> None:
        steps = sorted({v.step for v in values if v.step is not None and not v.parameter})
        self.count = max(1, len(steps))
        self._values = values
        self._row = {step: row for row, step in enumerate(steps)}
        self._users: dict[int, list[int]] = defaultdict(list)
        for i, value in enumerate(values):
            for use in value.inputs:
                self._users[use.source].append(i)
        self._by_row: dict[tuple[str | None, int], list[int]] = defaultdict(list)
        for i, value in enumerate(values):
            if value.step is not None and not value.given:
                self._by_row[part_of(value), self._row[value.step]].append(i)
        self.spans = self._forward()
        self._place_given()

    def _forward(self) -> list[Span | None]:
        spans: list[Span | None] = []
        for value in self._values:
            if value.step is not None and not value.parameter:
                row = self._row[value.step]
                spans.append((row, row))
            else:
                spans.append(_union(spans[use.source] for use in value.inputs))
        return spans

    def _place_given(self) -> None:
        """Place a given value beside its first use. It stands below the rows if many rows use it,
        and a constant if two rows do. An input has the number of its step."""
        for i, value in enumerate(self._values):
            if value.parameter or not value.given:
                continue
            uses = [span for user in self._users[i] if (span := self.spans[user])]
            single = {span for span in uses if span[0] == span[1]}
            constant = value.step is None and Name.parse(value.name or "").step is None
            if len(single) > (1 if constant else 2):
                self.spans[i] = None
            elif self.spans[i] is None:
                self.spans[i] = min(single) if single else _union(uses) or (0, 0)
        for i, value in enumerate(self._values):
            if not value.given and self.spans[i] is None:
                self.spans[i] = (0, 0)

    def union(self, members: Iterable[int]) -> Span:
        return _union(self.spans[i] for i in members) or (0, 0)

    def begins(self, i: int) -> int | None:
        """The value of the first step that replaces value i later, if i is an initial state: the
        next step reads it where the first step reads i. The next step is the one above or, where a
        part runs backwards, the one below. For a single step the names decide: h_0 begins h_1."""
        value = self._values[i]
        spans = (self.spans[user] for user in self._users[i])
        rows = {span[0] for span in spans if span and span[0] == span[1]}
        if value.step is not None or len(rows) != 1:
            return None
        (row,) = rows
        for part in {part_of(self._values[user]) for user in self._users[i]}:
            computed = self._by_row.get((part, row), [])
            for following in (row + 1, row - 1):
                then = self._by_row.get((part, following), [])
                for a, b in self._counterparts(computed, then):
                    if a.source == i and b.source in computed:
                        return b.source
        name = Name.parse(value.name or "")
        if row or (value.parameter and name.step != 0):
            return None
        return next((k for k in self._first if self._role(k) == name.role), None)

    def _counterparts(self, now: list[int], then: list[int]) -> Iterator[tuple[Input, Input]]:
        for a, b in zip(now, then, strict=False):
            yield from zip(self._values[a].inputs, self._values[b].inputs, strict=False)

    @cached_property
    def _first(self) -> list[int]:
        """The values that the first step computed."""
        of_first = (found for (_, row), found in self._by_row.items() if row == 0)
        return sorted(i for found in of_first for i in found if self.spans[i] == (0, 0))

    def _role(self, i: int) -> str | None:
        name = self._values[i].name
        return Name.parse(name).role if name else None


def _union(spans: Iterable[Span | None]) -> Span | None:
    known = [span for span in spans if span]
    return (min(a for a, _ in known), max(b for _, b in known)) if known else None
