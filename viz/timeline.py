"""When each value belongs: the rows of the picture, read from the steps marked on the tape."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from functools import cached_property

from viz.labels import Name
from viz.snapshot import Value

Span = tuple[int, int]


class Timeline:
    """The rows of the values.

    spans: per value, the first and the last row it belongs to; None for what belongs to no row.
    What was recorded outside any step belongs to the rows of what it was computed from, so the
    loss at t, computed after the unrolling, stands in row t, and the sum of them in all rows.
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
        self._by_row: dict[int, list[int]] = defaultdict(list)
        for i, value in enumerate(values):
            if value.step is not None and not value.given:
                self._by_row[self._row[value.step]].append(i)
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
        """A given value stands beside what uses it first; below the rows, if many rows use it, and
        a constant if two do: an input has the number of its step."""
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
        """The value of the first step that takes the place of value i later on, if i is an
        initial state: where the next step reads what this one computed. Of a single step, names
        tell: h_0 begins h_1."""
        value = self._values[i]
        if value.step is not None or self.spans[i] != (0, 0):
            return None
        for now, then in zip(self._by_row[0], self._by_row[1], strict=False):
            for a, b in zip(self._values[now].inputs, self._values[then].inputs, strict=False):
                if a.source == i and b.source in self._computed_first:
                    return b.source
        role = Name.parse(value.name or "").role
        alike = [k for k in self._computed_first if self._role(k) == role]
        return alike[0] if alike else None

    @cached_property
    def _computed_first(self) -> dict[int, None]:
        """What the first step computed."""
        return {i: None for i in self._by_row[0] if self.spans[i] == (0, 0)}

    def _role(self, i: int) -> str | None:
        name = self._values[i].name
        return Name.parse(name).role if name else None


def _union(spans: Iterable[Span | None]) -> Span | None:
    known = [span for span in spans if span]
    return (min(a for a, _ in known), max(b for _, b in known)) if known else None
