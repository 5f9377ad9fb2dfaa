"""Buffers share memory if and only if their lifetimes allow it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from tests.compiler.programs import CASES, program_of
from tinygrad_rnn.compiler.allocate import allocate, stem
from tinygrad_rnn.compiler.ir import Buffer, Instr, Program, Ref, Sections, Storage, When
from tinygrad_rnn.compiler.operations import copy

SHAPE, FLOAT = (2, 2), np.dtype(float)


def scratch(name: str, time: int | None = None, **more: Any) -> Buffer:
    return Buffer(name, SHAPE, FLOAT, Storage.SCRATCH, time, **more)


def program(forward: Sections, *buffers: Buffer, backward: Sections | None = None) -> Program:
    nothing = Sections()
    return Program("", buffers, (), forward, backward or nothing, (), (), (), (), (), ())


X = Buffer("x", SHAPE, FLOAT, Storage.GIVEN)
A, B, C, D = scratch("a"), scratch("a2"), scratch("a3"), scratch("a4")


def memories(found: Program) -> int:
    return len({buffer.root for buffer in found.buffers if buffer.storage is not Storage.GIVEN})


def test_a_result_takes_the_place_of_an_operand_that_is_read_no_more() -> None:
    chain = (
        Instr(np.sin, (Ref(X),), Ref(A)),
        Instr(np.cos, (Ref(A),), Ref(B)),
        Instr(np.exp, (Ref(B),), Ref(C)),
    )
    assert memories(allocate(program(Sections(before=chain), X, A, B, C))) == 1


def test_but_not_of_one_that_is_read_again() -> None:
    chain = (
        Instr(np.sin, (Ref(X),), Ref(A)),
        Instr(np.cos, (Ref(A),), Ref(B)),
        Instr(np.add, (Ref(A), Ref(B)), Ref(C)),
    )
    assert memories(allocate(program(Sections(before=chain), X, A, B, C))) == 2


def test_nor_where_the_call_does_not_go_number_by_number() -> None:
    chain = (
        Instr(np.sin, (Ref(X),), Ref(A)),
        Instr(np.matmul, (Ref(A), Ref(A)), Ref(B)),
        Instr(np.exp, (Ref(B),), Ref(C)),
    )
    found = allocate(program(Sections(before=chain), X, A, B, C))
    sin, product, _ = found.forward.before
    assert sin.writes()[0].buffer.root is not product.writes()[0].buffer.root
    assert memories(found) == 2


def test_what_a_loop_carries_stays() -> None:
    """a goes from step to step, so b and c cannot stand there while it does."""
    loop = (
        Instr(np.sin, (Ref(X),), Ref(B)),
        Instr(np.add, (Ref(A), Ref(B)), Ref(C)),
        Instr(np.cos, (Ref(C),), Ref(A)),
    )
    sections = Sections(before=(Instr(copy, (Ref(X),), Ref(A)),), loop=loop)
    found = allocate(program(sections, X, A, B, C))
    first, total, last = (instr.writes()[0].buffer.root for instr in found.forward.loop)
    assert first is not last and total in (first, last)


def test_what_going_back_reads_is_kept_for_going_back_again() -> None:
    ahead = Sections(before=(Instr(np.sin, (Ref(X),), Ref(A)),))
    back = Sections(before=(Instr(np.cos, (Ref(A),), Ref(B)), Instr(np.exp, (Ref(B),), Ref(C))))
    found = allocate(program(ahead, X, A, B, C, backward=back))
    first = found.forward.before[0].writes()[0].buffer.root
    assert first not in {instr.writes()[0].buffer.root for instr in found.backward.before}


def test_arrays_of_all_steps_are_free_step_by_step() -> None:
    a, b = scratch("given", 0), scratch("b", 0)
    loop = (Instr(np.sin, (Ref(a, When.STEP),), Ref(b, When.STEP)),)
    after = (Instr(np.sum, (Ref(b, When.ALL),), Ref(A)),)
    before = (Instr(copy, (Ref(X),), Ref(a, When.ALL)),)
    found = allocate(program(Sections((), before, loop, after), X, a, b, A))
    names = {buffer.name: buffer for buffer in found.buffers}
    assert names["given"].shares is names["b"]  # a name that says something stays


def test_memory_that_one_of_its_buffers_keeps_is_kept() -> None:
    """Blocks of steps share what nobody keeps."""
    given, kept = scratch("given", 0), replace(scratch("a5", 0), storage=Storage.KEPT)
    total = Instr(np.sum, (Ref(given, When.ALL),), Ref(C))
    before = (Instr(copy, (Ref(X),), Ref(given, When.ALL)), total)
    loop = (Instr(np.sin, (Ref(X),), Ref(kept, When.STEP)),)
    back = Sections(after=(Instr(np.sum, (Ref(kept, When.ALL),), Ref(A)),))
    found = allocate(program(Sections((), before, loop), X, given, kept, A, C, backward=back))
    root = found.forward.before[0].writes()[0].buffer.root
    assert root.storage is Storage.KEPT and root is found.forward.loop[0].writes()[0].buffer.root


def test_what_is_asked_for_at_the_end_is_not_given_away() -> None:
    """The gradient of the first state is read behind everything else."""
    out = replace(C, name="dh_0", storage=Storage.RESULT)
    after = (Instr(np.sin, (Ref(X),), Ref(B)), Instr(np.cos, (Ref(B),), Ref(B)))
    back = Sections(loop=(Instr(np.sin, (Ref(X),), Ref(A)),), after=after)
    made = program(Sections(), X, A, B, out, backward=back)
    for entry in ((), (Instr(np.copy, (Ref(A),), Ref(out)),)):
        found = allocate(replace(made, links=(A,), backward=replace(back, after=(*after, *entry))))
        (link,), (other,) = (i.writes() for i in (*found.backward.loop, found.backward.after[0]))
        assert (link.buffer.root is other.buffer.root) is not bool(entry)


def test_the_link_of_a_lane_is_no_place_for_other_values() -> None:
    link = replace(D, name="dh_link", storage=Storage.LANE)
    loop = (Instr(np.sin, (Ref(link),), Ref(A)), Instr(np.cos, (Ref(A),), Ref(link)))
    made = program(Sections(), X, link, A, backward=Sections(loop=loop))
    inside, written = allocate(replace(made, links=(link,), windows=True)).backward.loop
    assert inside.writes()[0].buffer.root is not written.writes()[0].buffer.root


def test_what_has_to_stay_is_not_given_away() -> None:
    chain = (
        Instr(np.sin, (Ref(A),), Ref(B)),
        Instr(np.exp, (Ref(B),), Ref(C)),
    )
    made = replace(program(Sections(before=chain), A, B, C), setup=(Instr(copy, (0,), Ref(A)),))
    found = allocate(made)
    first, second = (instr.writes()[0].buffer.root for instr in found.forward.before)
    assert first is second is not found.setup[0].writes()[0].buffer.root


def test_programs_need_less_memory() -> None:
    for name in ("lstm", "gru", "loss_alone_lstm"):
        made = program_of(CASES[name]())
        assert made.program.step_bytes() < made.lowered.step_bytes()
        assert not any(i.function is copy for i in made.program.backward.loop)


def test_names() -> None:
    assert stem("a12") == stem("a") == "a" and stem("gates2") == "gates2"
