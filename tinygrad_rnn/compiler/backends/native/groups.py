"""Grouping: works that run together, in one loop over vectors or some rows at a time."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

from tinygrad_rnn.compiler.backends.native.nests import Memory, Place, Work


class Group(NamedTuple):
    """Works that form one loop. stored: the results that are read from memory later."""

    works: tuple[Work, ...]
    stored: frozenset[Place]

    @property
    def rows(self) -> int:
        return self.works[0].rows

    def touched(self) -> list[Place]:
        """The places in memory that are read or written, except matrices, which are packed."""
        found: dict[Place, None] = {}
        made: set[Place] = set()
        for work in self.works:
            found |= {p: None for p in work.reads() if p not in made and p is not work.matrix}
            found |= {p: None for p in work.outs if p in self.stored}
            made |= set(work.outs) if work.elementwise else set()
        return list(found)


def steps_as_rows(group: Group) -> Group:
    """The same group for a nest whose steps of one row each have become rows."""

    def turned(place: Place) -> Place:
        return place._replace(strides=(place.step, place.strides[1]))

    works = []
    for work in group.works:
        args = tuple(
            turned(a) if isinstance(a, Place) and a is not work.matrix else a for a in work.args
        )
        works.append(replace(work, args=args, outs=tuple(map(turned, work.outs))))
    return Group(tuple(works), frozenset(map(turned, group.stored)))


def grouped(works: list[Work], memory: Memory, read_elsewhere: Callable[..., bool]) -> list[Group]:
    """The works of a step in groups. An elementwise work joins the last group that it fits, if no
    work after that group has to come before it."""
    groups: list[list[Work]] = []
    for work in works:
        for group in reversed(groups) if work.elementwise else ():
            if fits(work, group, memory):
                group.append(work)
                break
            if any(memory.conflict(other, work) for other in group):
                groups.append([work])
                break
        else:
            groups.append([work])
    return [Group(tuple(g), stored_by(g, works, memory, read_elsewhere)) for g in groups]


def fits(work: Work, group: list[Work], memory: Memory) -> bool:
    """Whether a work can run entry by entry with the works of a group."""
    return (
        group[0].elementwise
        and (group[0].rows, group[0].columns) == (work.rows, work.columns)
        and all(
            p == q or not memory.overlap(p, q, 1)
            for other in group
            for (p, written), (q, also) in itertools.product(other.places(), work.places())
            if written or also
        )
    )


def stored_by(
    group: list[Work], step: list[Work], memory: Memory, read_elsewhere: Callable[..., bool]
) -> frozenset[Place]:
    """The results of a group that are read from memory: by other groups, or by the group itself at
    the next step."""
    stored = set()
    for n, work in enumerate(group):
        for out in work.outs:
            inside = group[n + 1 :]
            outside = [w for w in step if w not in inside]
            if (
                not work.elementwise
                or read_elsewhere(out)
                or any(memory.overlap(p, out) for w in outside for p in w.reads())
                or any(memory.overlap(p, out) and p != out for w in inside for p in w.reads())
            ):
                stored.add(out)
    return frozenset(stored)


def chunks(groups: list[Group], memory: Memory, most: int) -> list[list[Group]]:
    """Chunks of groups that can run together, some rows at a time."""
    found: list[list[Group]] = []
    for group in groups:
        if (
            found
            and found[-1][0].rows == group.rows
            and all(
                together(v, w, memory, most)
                for other in found[-1]
                for v in other.works
                for w in group.works
            )
        ):
            found[-1].append(group)
        else:
            found.append([group])
    return found


def together(a: Work, b: Work, memory: Memory, most: int) -> bool:
    """Whether a work on some rows may run before another work has finished the other rows."""
    boundaries = range(most, a.rows, most)
    # Places are evenly spaced. A condition that holds at the ends and in the middle holds
    # everywhere.
    some = {*boundaries[:1], *boundaries[len(boundaries) // 2 :][:1], *boundaries[-1:]}
    return all(memory.apart(a, b, row) for row in some)


def divisible(works: list[Work], memory: Memory, most: int) -> bool:
    """Whether the rows of all works can be divided into parts that run through all steps
    independently."""
    rows = works[0].rows
    return (
        rows > most
        and all(work.rows == rows for work in works)
        and all(together(a, b, memory, most) for a, b in itertools.product(works, works))
    )
