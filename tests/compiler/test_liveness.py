"""When the numbers of a buffer are needed, and which references meet."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from tests.compiler.test_allocate import A, B, C, X, program
from tinygrad_rnn.compiler.ir import Instr, Ref, Sections, Storage, View, When
from tinygrad_rnn.compiler.liveness import Timeline, overlap, span
from tinygrad_rnn.compiler.operations import copy
from tinygrad_rnn.compiler.views import columns


def times_of(*loop: Instr, **more: Any) -> Timeline:
    return Timeline(program(Sections(loop=loop, **more), X, A, B, C))


def moments(times: Timeline, buffer: Any) -> int:
    return times.moments(times.uses[buffer], buffer.time)


def test_an_instruction_reads_before_it_writes() -> None:
    chain = (Instr(np.sin, (Ref(X),), Ref(A)), Instr(np.cos, (Ref(A),), Ref(B)))
    times = Timeline(program(Sections(before=chain), X, A, B))
    assert span(2, 4) == 0b11100
    assert moments(times, A) == span(1, 2) and moments(times, B) == span(3, 3)
    assert times.writes(times.uses[B]) == 0b1000


def test_what_a_loop_carries_is_live_in_all_of_it() -> None:
    add, put = Instr(np.add, (Ref(A), Ref(X)), Ref(B)), Instr(copy, (Ref(B),), Ref(A))
    times = times_of(add, put, before=(Instr(copy, (Ref(X),), Ref(A)),))
    loop = times.loops[0]
    assert times.loop_of(loop.start) == loop and times.loop_of(0) is None
    assert times.places == [0, 1, 2, 1, 2]  # two turns
    assert moments(times, A) & moments(times, B) == 0
    held = times_of(add, put, Instr(np.sin, (Ref(A),), Ref(C)), Instr(np.cos, (Ref(B),), Ref(C)))
    assert moments(held, A) & moments(held, B)


def test_what_backward_reads_is_needed_to_the_end() -> None:
    ahead = Sections(before=(Instr(np.sin, (Ref(X),), Ref(A)),))
    back = Sections(before=(Instr(np.cos, (Ref(A),), Ref(B)), Instr(np.sin, (Ref(B),), Ref(C))))
    times = Timeline(program(ahead, X, A, B, C, backward=back))
    assert moments(times, A) & moments(times, C)


def test_a_base_is_needed_while_its_view_is() -> None:
    turned = replace(C, storage=Storage.RESULT)
    times = times_of(
        Instr(np.flip, (Ref(A),), Ref(turned)), Instr(np.add, (Ref(turned), Ref(X)), Ref(B))
    )
    assert [(use.place, use.is_direct) for use in times.uses[A]] == [(0, True), (1, False)]
    assert frozenset((A, B)) in times.clashes()  # the sum reads `a` in another order
    in_place = times_of(Instr(np.add, (Ref(A), Ref(X)), Ref(B)))
    assert frozenset((A, B)) not in in_place.clashes()


def test_references_that_meet() -> None:
    rows = replace(A, name="rows", shape=(2, 8), time=1)
    left, right = (Ref(rows, When.STEP, 0, (columns(start, start + 4, 8),)) for start in (0, 4))
    assert not overlap(left, right) and overlap(left, Ref(rows, When.ALL, 1))
    assert overlap(left, replace(left, offset=1))  # at another step
    first, last = Ref(rows, When.FIRST), Ref(rows, When.LAST, 1)
    assert not overlap(first, last) and not overlap(first, replace(left, offset=1))
    every_other = Ref(B, views=(View("index", (slice(None, None, 2),)),))
    assert not overlap(every_other, Ref(B, views=(View("index", (slice(1, None, 2),)),)))


def test_an_array_written_part_by_part_is_renewed_by_the_first_part() -> None:
    left, right = (Ref(B, views=(columns(n, n + 1, 2),)) for n in (0, 1))
    halves = Instr(np.sin, (Ref(X),), left), Instr(np.cos, (Ref(X),), right)
    total = Instr(np.sum, (Ref(B),), Ref(C))
    fresh = times_of(*halves, total)
    assert fresh.places == [0, 1, 2, 0, 1, 2]
    assert moments(fresh, B) == sum(span(2 * n + 1, 2 * n + 4) for n in (0, 3))
    carried = times_of(total, *halves)  # the sum reads what the turn before has written
    assert moments(carried, B) & span(0, 6) == span(0, 6)


def test_a_loop_may_have_no_turn() -> None:
    """Then what was there before it is read after it."""
    before, loop = Instr(copy, (Ref(X),), Ref(A)), Instr(np.sin, (Ref(X),), Ref(A))
    after = Instr(np.sum, (Ref(A),), Ref(B))
    times = times_of(loop, before=(before,), after=(after,))
    assert times.places == [0, 1, 1, 2]
    assert moments(times, A) & span(1, 3) == span(1, 3)


def test_an_array_of_all_steps_is_needed_in_the_whole_loop_if_its_entries_overlap() -> None:
    """An entry of T+1 is used at two steps. A step of windows has several lanes."""
    each, rows = (replace(A, name=f"rows{time}", time=time) for time in (0, 1))
    for buffer, windows in ((each, False), (rows, False), (each, True)):
        loop = (
            Instr(np.sin, (Ref(X),), Ref(B)),
            Instr(np.cos, (Ref(B),), Ref(buffer, When.STEP)),
            Instr(np.sum, (Ref(B),), Ref(C)),
        )
        before = (Instr(np.sin, (Ref(X),), Ref(C)),)
        back = Sections(before=before, loop=loop)
        made = program(Sections(), X, buffer, B, C, backward=back)
        times = Timeline(replace(made, windows=windows))
        whole = windows or buffer.time == 1
        assert moments(times, buffer) == (span(2, 7) if whole else span(5, 5))
