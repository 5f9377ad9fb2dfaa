"""Buffer allocation: buffers of one form share memory where their lifetimes do not overlap.

An array of all steps that a loop walks through becomes free step by step.
"""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass, field, replace

from tinygrad_rnn.compiler.ir import Buffer, Program, Storage
from tinygrad_rnn.compiler.liveness import Timeline


def allocate(program: Program) -> Program:
    """The same program with fewer arrays. A name with a meaning stays; of the names without one,
    a group of buffers that share their memory keeps one."""
    groups = shared(program)
    new: dict[Buffer, Buffer] = {}
    buffers: dict[Buffer, None] = {}
    for buffer in program.buffers:
        group = groups.get(buffer)
        if group is None:
            new[buffer] = buffer
        else:
            root, name = group.root, stem(buffer.name)
            if name not in group.names:
                group.names[name] = replace(buffer, storage=root.storage, shares=root)
            new[buffer] = group.names[name]
            buffers[root] = None
        buffers[new[buffer]] = None
    return program.rewritten(tuple(buffers), lambda ref: replace(ref, buffer=new[ref.buffer]))


@dataclass(eq=False)
class Group:
    """Buffers that share one memory.

    moments: the moments at which the memory is in use, as the bits of a number. ways: the functions
    that write to it, of the two. names: the buffers that are left.
    """

    members: list[Buffer]
    moments: int
    ways: set[bool]
    names: dict[str, Buffer] = field(default_factory=dict)

    @property
    def form(self) -> tuple[object, ...]:
        first = self.members[0]
        return first.shape, first.dtype, first.time

    @functools.cached_property
    def root(self) -> Buffer:
        """The buffer that owns the memory. It has the last name with a meaning."""
        named = [m for m in self.members if not is_generic(m.name)] or self.members
        link = next((m for m in self.members if m.storage is Storage.LANE), None)
        base, kept = link or named[-1], any(m.storage is Storage.KEPT for m in self.members)
        root = replace(base, storage=Storage.KEPT if kept else base.storage)
        of_root = self.members if link else [base]
        self.names |= dict.fromkeys([stem(member.name) for member in of_root], root)
        return root


def shared(program: Program) -> dict[Buffer, Group]:
    """Give each buffer the memory of an earlier buffer that is free, preferably that of an
    operand."""
    times = Timeline(program)
    clashes = times.clashes()
    first: dict[Buffer, int] = {}
    groups = []
    for buffer in program.buffers:
        uses = times.uses.get(buffer, ())
        places = [use.place for use in uses if use.writes]
        own = buffer.storage in (Storage.KEPT, Storage.SCRATCH) and buffer.fill is None
        if places and (buffer in program.links or (own and buffer not in times.fixed)):
            first[buffer] = min(places)
            ways = {place < times.back for place in places}
            groups.append(Group([buffer], times.moments(uses, buffer.time), ways))

    def fit(group: Group, other: Group) -> bool:
        (buffer,) = group.members
        # Buffers of one step are not shared by both functions: this would save next to nothing and
        # make the program harder to read.
        return (
            group.form == other.form
            and not group.moments & other.moments
            and (buffer.time is not None or group.ways == other.ways)
            and buffer.storage is not Storage.LANE
            and (buffer.storage is Storage.SCRATCH or not is_lane(other))
            and not any(frozenset((buffer, member)) in clashes for member in other.members)
        )

    found: dict[Buffer, Group] = {}
    done: list[Group] = []
    for group in sorted(groups, key=lambda g: (g.moments & -g.moments).bit_length()):
        (buffer,) = group.members
        operands = {ref.buffer for ref in times.instrs[first[buffer]].reads()}
        fitting = [other for other in done if fit(group, other)]
        home = min(fitting, key=lambda g: operands.isdisjoint(g.members), default=None)
        if home is None:
            done.append(group)
            home = group
        else:
            home.members.append(buffer)
            home.moments |= group.moments
            home.ways |= group.ways
        found[buffer] = home
    return found


def is_lane(group: Group) -> bool:
    return any(member.storage is Storage.LANE for member in group.members)


def stem(name: str) -> str:
    """A generic name (a, d or w) without its number; any other name as it is."""
    return name[0] if is_generic(name) else name


def is_generic(name: str) -> bool:
    return re.fullmatch(r"[adw]\d*", name) is not None
