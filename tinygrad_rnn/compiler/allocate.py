"""Buffer allocation: buffers of one form share memory where their lifetimes do not overlap.

An array of all steps that a loop walks through becomes free step by step.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace

from tinygrad_rnn.compiler.ir import Buffer, Program, Storage
from tinygrad_rnn.compiler.liveness import Life, Timeline, outs_of


def allocate(program: Program) -> Program:
    """The same program with fewer arrays. A name with a meaning stays; of the names without one,
    a group of buffers that share their memory keeps one."""
    new = {buffer: buffer for buffer in program.buffers}
    for group in shared(program):
        *others, root = sorted(group.members, key=lambda member: not is_generic(member.name))
        kept = any(member.storage is Storage.KEPT for member in group.members)
        new[root] = replace(root, storage=Storage.KEPT if kept else Storage.SCRATCH)
        names = {stem(root.name): new[root]}
        for other in others:
            name = stem(other.name)
            new[other] = names.setdefault(name, replace(other, shares=new[root]))
    buffers = dict.fromkeys(b for found in new.values() for b in (found.root, found))
    return program.rewritten(tuple(buffers), lambda ref: replace(ref, buffer=new[ref.buffer]))


@dataclass
class Group:
    """Buffers that share one memory. form: what they have in common. life: when it is in use."""

    form: tuple[object, ...]
    life: Life
    members: list[Buffer] = field(default_factory=list)


def shared(program: Program) -> list[Group]:
    """Give each buffer the memory of an earlier one that is free, preferably that of an operand."""
    times = Timeline(program)
    outs = outs_of(use for uses in times.uses.values() for use in uses)
    groups: list[Group] = []
    for buffer in program.buffers:
        uses = times.uses[buffer]
        first = min((use.place for use in uses if use.writes), default=None)
        if first is None or buffer.storage not in (Storage.KEPT, Storage.SCRATCH):
            continue
        # Buffers of one step are not shared by both functions: this would save next to nothing and
        # make the program harder to read.
        ahead = buffer.time is None and first < times.back
        form, life = (buffer.shape, buffer.dtype, buffer.time, ahead), times.life(uses, outs)
        fitting = [g for g in groups if g.form == form and not g.life.meets(life)]
        if not fitting:
            groups.append(Group(form, Life()))
        operands = {ref.buffer for ref in times.instrs[first].reads()}
        home = min(fitting or groups[-1:], key=lambda g: operands.isdisjoint(g.members))
        home.members.append(buffer)
        home.life = home.life.joined(life)
    return groups


def stem(name: str) -> str:
    """A generic name (a, d or w) without its number; any other name as it is."""
    return name[0] if is_generic(name) else name


def is_generic(name: str) -> bool:
    return re.fullmatch(r"[adw]\d*", name) is not None
