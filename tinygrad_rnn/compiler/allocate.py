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
                group.names[name] = replace(buffer, shares=root)
            new[buffer] = group.names[name]
            buffers[root] = None
        buffers[new[buffer]] = None
    return program.rewritten(tuple(buffers), lambda ref: replace(ref, buffer=new[ref.buffer]))


@dataclass(eq=False)
class Group:
    """Buffers that share one memory.

    form: what they have in common. moments: the moments at which the memory is in use, as the bits
    of a number. names: the buffers that are left.
    """

    form: tuple[object, ...]
    members: list[Buffer] = field(default_factory=list)
    moments: int = 0
    names: dict[str, Buffer] = field(default_factory=dict)

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
    """Give each buffer the memory of an earlier one that is free, preferably that of an operand."""
    times = Timeline(program)
    clashes = times.clashes()
    found: dict[Buffer, Group] = {}
    for buffer in program.buffers:
        uses = times.uses.get(buffer, ())
        first = min((use.place for use in uses if use.writes), default=None)
        own = buffer.storage in (Storage.KEPT, Storage.SCRATCH) and buffer.fill is None
        if first is None or not (buffer in program.links or (own and buffer not in times.fixed)):
            continue
        moments = times.moments(uses, buffer.time)
        # Buffers of one step are not shared by both functions: this would save next to nothing and
        # make the program harder to read.
        ahead = buffer.time is None and first < times.back
        form = buffer.shape, buffer.dtype, buffer.time, ahead
        fitting = [
            group
            for group in dict.fromkeys(found.values())
            if group.form == form
            and not group.moments & moments
            and buffer.storage is not Storage.LANE
            and not any(frozenset((buffer, member)) in clashes for member in group.members)
        ]
        operands = {ref.buffer for ref in times.instrs[first].reads()}
        home = min(fitting, key=lambda g: operands.isdisjoint(g.members), default=Group(form))
        home.members.append(buffer)
        home.moments |= moments
        found[buffer] = home
    return found


def stem(name: str) -> str:
    """A generic name (a, d or w) without its number; any other name as it is."""
    return name[0] if is_generic(name) else name


def is_generic(name: str) -> bool:
    return re.fullmatch(r"[adw]\d*", name) is not None
