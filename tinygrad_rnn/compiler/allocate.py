"""Buffer allocation: buffers of one form share memory where their lifetimes do not overlap.

An array of all steps that a loop walks through becomes free step by step.
"""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass, field, replace

from tinygrad_rnn.compiler.ir import Buffer, Program, Storage
from tinygrad_rnn.compiler.liveness import Life, Timeline

DEAD = Life()


def allocate(program: Program) -> Program:
    """The same program with fewer arrays. A name with a meaning stays; of the names without one,
    a group of buffers that share their memory keeps one."""
    groups = shared(program)
    new = {b: groups[b].named(b) if b in groups else b for b in program.buffers}
    buffers = dict.fromkeys(b for found in new.values() for b in (found.root, found))
    return program.rewritten(tuple(buffers), lambda ref: replace(ref, buffer=new[ref.buffer]))


@dataclass(eq=False)
class Group:
    """Buffers that share one memory.

    form: what they have in common. by_lane: whether each lane has its own. life: when the memory is
    in use. names: the buffers that are left.
    """

    form: tuple[object, ...]
    by_lane: bool
    life: Life = DEAD
    members: list[Buffer] = field(default_factory=list)
    names: dict[str, Buffer] = field(default_factory=dict)

    @functools.cached_property
    def root(self) -> Buffer:
        """The buffer that owns the memory. It has the last name with a meaning."""
        named = [m for m in self.members if not is_generic(m.name)] or self.members
        base = self.members[0] if self.by_lane else named[-1]
        kept = any(member.storage is Storage.KEPT for member in self.members)
        root = replace(base, storage=Storage.KEPT if kept else base.storage)
        of_root = self.members if self.by_lane else [base]
        self.names |= dict.fromkeys([stem(member.name) for member in of_root], root)
        return root

    def named(self, member: Buffer) -> Buffer:
        """The buffer that a member becomes."""
        root = self.root
        return self.names.setdefault(stem(member.name), replace(member, shares=root))


def shared(program: Program) -> dict[Buffer, Group]:
    """Give each buffer the memory of an earlier one that is free, preferably that of an operand."""
    times = Timeline(program)
    every = [use for uses in times.uses.values() for use in uses]
    found: dict[Buffer, Group] = {}
    for buffer in program.buffers:
        uses, is_lane = times.uses[buffer], buffer.storage is Storage.LANE
        first = min((use.place for use in uses if use.writes), default=None)
        own = buffer.storage in (Storage.KEPT, Storage.SCRATCH)
        if first is None or not (own or buffer in program.links):
            continue
        # Buffers of one step are not shared by both functions: this would save next to nothing and
        # make the program harder to read.
        ahead = buffer.time is None and first < times.back
        form = buffer.shape, buffer.dtype, buffer.time, ahead
        in_loop = all(use.place in times.loops[1] for use in uses)
        life = times.life(uses, every)
        fitting = [
            group
            for group in dict.fromkeys(found.values())
            if group.form == form
            and not is_lane
            and (in_loop or not group.by_lane)
            and not group.life.meets(life)
        ]
        operands = {ref.buffer for ref in times.instrs[first].reads()}
        other = Group(form, is_lane)
        home = min(fitting, key=lambda g: operands.isdisjoint(g.members), default=other)
        home.members.append(buffer)
        home.life = home.life.joined(life)
        found[buffer] = home
    return found


def stem(name: str) -> str:
    """A generic name (a, d or w) without its number; any other name as it is."""
    return name[0] if is_generic(name) else name


def is_generic(name: str) -> bool:
    return re.fullmatch(r"[adw]\d*", name) is not None
