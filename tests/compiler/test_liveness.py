"""When the numbers of a buffer are needed, and which references meet."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from tests.compiler.test_allocate import A, B, C, X, program, scratch
from tinygrad_rnn.compiler.ir import Instr, Ref, Sections, Storage, View, When
from tinygrad_rnn.compiler.liveness import (
    STEPS,
    Life,
    Timeline,
    Turn,
    covers,
    entries,
    is_copy,
    outs_of,
    overlap,
    span,
)
from tinygrad_rnn.compiler.operations import copy
from tinygrad_rnn.compiler.views import columns


def times_of(*loop: Instr, **more: Any) -> Timeline:
    return Timeline(program(Sections(loop=loop, **more), X, A, B, C))


def life_of(times: Timeline, buffer: Any, but: int | None = None) -> Life:
    return times.life(times.uses[buffer], outs_of(times.uses[buffer]), but)


def can_share(times: Timeline, one: Any, other: Any) -> bool:
    uses = times.uses[one], times.uses[other]
    first, second = (times.life(some, outs_of((*uses[0], *uses[1]))) for some in uses)
    return not first.meets(second)


def test_an_instruction_reads_before_it_writes() -> None:
    chain = (Instr(np.sin, (Ref(X),), Ref(A)), Instr(np.cos, (Ref(A),), Ref(B)))
    times = Timeline(program(Sections(before=chain), X, A, B))
    assert span(2, 4) == 0b11100 and span(2, 2) == 0b100 and span(3, 2) == 0
    life = life_of(times, A)
    assert life.needed & 0b1111 == 0b0110 and life.written & 0b1111 == 0b0010
    assert can_share(times, A, B) and not life.lost
    assert life_of(times, A, but=0).written == 0


def test_an_instruction_reads_until_it_writes_unless_it_goes_number_by_number() -> None:
    made = Instr(np.sin, (Ref(X),), Ref(A))
    for function, shares in ((np.add, True), (np.matmul, False), (copy, True)):
        args = (Ref(A),) if function is copy else (Ref(A), Ref(X))
        assert can_share(times_of(made, Instr(function, args, Ref(B))), A, B) is shares
    turned = Ref(A, views=(View("transpose", (1, 0)),))
    assert not can_share(times_of(made, Instr(np.cos, (turned,), Ref(B))), A, B)


def test_what_a_loop_carries_is_live_in_all_of_it() -> None:
    add, put = Instr(np.add, (Ref(A), Ref(X)), Ref(B)), Instr(copy, (Ref(B),), Ref(A))
    times = times_of(add, put, before=(Instr(copy, (Ref(X),), Ref(A)),))
    assert times.loop_of(times.loops[0].start) == times.loops[0] and times.loop_of(0) is None
    assert len(times.turns[0]) == 4 and [n.t for n in times.turns[1]] == [0, 0, 0, 1, 2, 0, 1, 2]
    assert can_share(times, A, B)
    held = times_of(add, put, Instr(np.sin, (Ref(A),), Ref(C)), Instr(np.cos, (Ref(B),), Ref(C)))
    assert not can_share(held, A, B)


def test_loops_go_forward_and_back() -> None:
    turn = Instr(np.sin, (Ref(X),), Ref(A))
    back = Sections(loop=(turn,))
    times = Timeline(program(Sections(loop=(turn,)), X, A, B, C, backward=back))
    ahead, behind = ([n.t for n in times.turns[loop.start]] for loop in times.loops)
    assert ahead == [0, 0, 0, 1, 2, 0, 1, 2] and behind == [0, 0, 2, 1, 0, 2, 1, 0]


def test_what_backward_reads_is_needed_until_it_is_called_again() -> None:
    ahead = Sections(before=(Instr(np.sin, (Ref(X),), Ref(A)),))
    back = Sections(before=(Instr(np.cos, (Ref(A),), Ref(B)), Instr(np.sin, (Ref(B),), Ref(C))))
    times = Timeline(program(ahead, X, A, B, C, backward=back))
    assert not can_share(times, A, C) and can_share(times, B, C)


def test_what_the_caller_keeps_is_needed_to_the_end() -> None:
    h = replace(A, name="h", storage=Storage.STATE, time=1)
    rows = replace(h, name="rows", storage=Storage.KEPT)
    ahead = Sections(
        loop=(Instr(np.sin, (Ref(X),), Ref(h, When.STEP, 1)),), result=(Ref(h, When.ALL, 1),)
    )
    back = Sections(after=(Instr(np.sin, (Ref(X),), Ref(rows, When.ALL, 1)),))
    assert not can_share(Timeline(program(ahead, X, h, rows, backward=back)), h, rows)


def test_a_base_is_needed_while_its_view_is() -> None:
    turned = replace(C, storage=Storage.RESULT)
    times = times_of(
        Instr(np.sin, (Ref(X),), Ref(A)),
        Instr(np.flip, (Ref(A),), Ref(turned)),
        Instr(np.add, (Ref(turned), Ref(X)), Ref(B)),
    )
    found = [(use.place, use.is_direct) for use in times.uses[A] if not use.writes]
    assert found == [(1, True), (2, False)]
    assert not can_share(times, A, B)  # the sum reads `a` in another order


def test_references_that_meet() -> None:
    rows = replace(A, name="rows", shape=(2, 8), time=1)
    left, right = (Ref(rows, When.STEP, 0, (columns(start, start + 4, 8),)) for start in (0, 4))
    assert not overlap(left, right) and overlap(left, Ref(rows, When.ALL, 1))
    first, last = Ref(rows, When.FIRST), Ref(rows, When.LAST, 1)
    assert overlap(first, last)  # in an entry that is both
    every_other = Ref(B, views=(View("index", (slice(None, None, 2),)),))
    assert not overlap(every_other, Ref(B, views=(View("index", (slice(1, None, 2),)),)))
    assert covers(first, left) and covers(left, left) and not covers(left, first)
    assert covers(Ref(rows, When.STEP, 0, (View("reshape", (16,)),)), left)


def test_a_view_that_is_a_copy_reads_the_whole_array() -> None:
    array, one = np.zeros((2, 3), np.int8), np.zeros((2, 1), np.int8)
    assert is_copy(array.T.reshape(-1), array) and is_copy(one[1].copy(), one)
    assert not any(is_copy(view, array) for view in (array, array.T, array[:0], array[1, 2:]))
    matrix = replace(A, shape=(2, 3))
    rows = Ref(matrix, views=(View("transpose", (1, 0)), View("reshape", (-1,))))
    last = Ref(matrix, views=(View("index", (1,)),))
    assert overlap(rows, rows) and overlap(rows, last) and overlap(last, rows)


def test_views_of_an_array_with_one_entry_a_step() -> None:
    each = scratch("each", 0)
    flat, row = (Ref(each, When.STEP, 0, (View("reshape", shape),)) for shape in ((4,), (1, 4)))
    left, right = (replace(row, views=(*row.views, columns(n, n + 2, 4))) for n in (0, 2))
    assert overlap(flat, left) and not overlap(left, right)
    assert covers(flat, row) and not covers(left, row)


def test_the_first_entry_and_the_last() -> None:
    """Of T+1 entries, the last one leaves the last step."""
    for steps in STEPS:
        moments = Turn(0, steps, steps - 1)
        for offset in (0, 1):
            first, step, last = (
                entries(Ref(scratch("rows", 1), when, offset), moments)
                for when in (When.FIRST, When.STEP, When.LAST)
            )
            assert list(first) == [offset] and list(last) == list(step) == [steps - 1 + offset]


def test_what_nobody_reads_is_not_needed() -> None:
    """And nobody misses the numbers of the other part."""
    rows = replace(A, name="rows", time=1)
    left = Ref(rows, When.FIRST, 0, (columns(0, 1, 2),))
    written = Instr(np.sin, (Ref(X),), left), Instr(np.sin, (Ref(X),), Ref(rows, When.LAST, 1))
    times = Timeline(program(Sections(before=written), X, rows))
    life = life_of(times, rows)
    assert life.needed == 0 and life.written > 0 and not life.lost


def test_an_array_written_part_by_part_is_renewed_by_its_parts() -> None:
    left, right = (Ref(B, views=(columns(n, n + 1, 2),)) for n in (0, 1))
    halves = Instr(np.sin, (Ref(X),), left), Instr(np.cos, (Ref(X),), right)
    total = Instr(np.sum, (Ref(B),), Ref(C))
    fresh = times_of(
        Instr(np.sin, (Ref(X),), Ref(A)), Instr(np.cos, (Ref(A),), Ref(C)), *halves, total
    )
    assert can_share(fresh, A, B)
    carried = times_of(
        total, Instr(np.sin, (Ref(X),), Ref(A)), Instr(np.cos, (Ref(A),), Ref(A)), *halves
    )
    assert life_of(carried, B).lost
    assert can_share(carried, A, B)  # between the sum and the next halves
    late = times_of(halves[0], Instr(np.sin, (Ref(X),), Ref(A)), halves[1], total)
    assert not can_share(late, A, B)


def test_entries_are_free_step_by_step() -> None:
    """An entry of T+1 is used at two steps. A step of windows has several lanes."""
    each, rows = (replace(A, name=f"rows{time}", time=time) for time in (0, 1))
    for windows in (False, True):
        before = (
            Instr(np.sin, (Ref(X),), Ref(each, When.ALL)),
            Instr(np.sin, (Ref(X),), Ref(rows, When.FIRST)),
        )
        loop = (
            Instr(np.sin, (Ref(each, When.STEP),), Ref(C)),
            Instr(np.cos, (Ref(C),), Ref(rows, When.STEP, 1)),
        )
        after = (Instr(np.sum, (Ref(rows, When.ALL),), Ref(C)),)
        back = Sections(before=before, loop=loop, after=after)
        made = replace(program(Sections(), X, each, rows, C, backward=back), windows=windows)
        times = Timeline(made)
        needed = life_of(times, each).needed
        last, second, first = (
            needed >> n * times.length & (1 << times.length) - 1 for n in (2, 1, 0)
        )
        assert 0 < last.bit_length() < second.bit_length() < first.bit_length()
        assert life_of(times, rows).written >> 3 * times.length > 0
        assert len(times.turns[times.loops[1].start]) == (16 if windows else 8)


def test_each_lane_has_its_own_link() -> None:
    loop = (Instr(np.sin, (Ref(A),), Ref(B)), Instr(np.cos, (Ref(B),), Ref(A)))
    made = program(Sections(), X, A, B, backward=Sections(loop=loop))
    times = Timeline(replace(made, windows=True))
    assert can_share(times, A, B)


def test_lives_are_joined() -> None:
    one, other = Life(0b110, 0b010), Life(0b11000, 0b01000)
    assert not one.meets(other) and one.joined(other) == Life(0b11110, 0b01010)
    assert one.meets(Life(0b100, 0b100)) and Life(0b100, 0b100).meets(one)
