"""What is copied is computed in its place, if nothing else is there."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import tinygrad_rnn as tg
from tests.compiler.programs import CASES, B, Case, D, H, inputs, program_of, state
from tests.compiler.test_allocate import A, B as B2, C, D as D2, X, program, scratch
from tinygrad_rnn.compiler.coalesce import coalesce
from tinygrad_rnn.compiler.ir import Instr, Program, Ref, Sections, Storage, View, When
from tinygrad_rnn.compiler.operations import copy
from tinygrad_rnn.compiler.views import columns


def functions(instrs: Any) -> list[Any]:
    return [instr.function for instr in instrs]


def coalesced(name: str) -> Program:
    return program_of(CASES[name]()).lowered


def in_loop(*loop: Instr) -> Program:
    """A program that begins with a ← x."""
    return program(Sections(before=(Instr(copy, (Ref(X),), Ref(A)),), loop=loop), X, A, B2, C)


def test_a_value_is_computed_where_it_would_be_copied_to() -> None:
    found = coalesce(
        in_loop(
            Instr(np.add, (Ref(A), Ref(X)), Ref(B2)),
            Instr(np.cos, (Ref(B2),), Ref(C)),
            Instr(copy, (Ref(C),), Ref(A)),
        )
    )
    assert functions(found.forward.loop) == [np.add, np.cos]
    assert found.forward.loop[-1].writes()[0].buffer.name == "a"


def test_but_not_where_the_place_is_still_read() -> None:
    loop = (
        Instr(np.cos, (Ref(A),), Ref(B2)),
        Instr(np.add, (Ref(A), Ref(B2)), Ref(C)),
        Instr(copy, (Ref(B2),), Ref(A)),
        Instr(np.sin, (Ref(C),), Ref(C)),
    )
    found = coalesce(in_loop(*loop))
    assert functions(found.forward.loop) == functions(loop)


def test_a_call_does_not_write_to_a_matrix_that_it_reads() -> None:
    loop = (Instr(np.matmul, (Ref(A), Ref(X)), Ref(B2)), Instr(copy, (Ref(B2),), Ref(A)))
    assert functions(coalesce(in_loop(*loop)).forward.loop) == [np.matmul, copy]
    elementwise = (Instr(np.add, (Ref(A), Ref(X)), Ref(B2)), loop[1])
    assert functions(coalesce(in_loop(*elementwise)).forward.loop) == [np.add]


def test_nor_to_one_that_a_result_is_a_view_of() -> None:
    turned = replace(C, storage=Storage.RESULT)
    loop = (
        Instr(np.flip, (Ref(A),), Ref(turned)),
        Instr(np.add, (Ref(turned), Ref(X)), Ref(B2)),
        Instr(copy, (Ref(B2),), Ref(A)),
    )
    made = program(Sections(before=(Instr(copy, (Ref(X),), Ref(A)),), loop=loop), X, A, B2, turned)
    assert functions(coalesce(made).forward.loop) == [np.flip, np.add, copy]


def test_a_value_goes_into_a_part_of_an_array_if_its_views_allow_it() -> None:
    wide = replace(A, name="wide", shape=(2, 4))
    part = Ref(wide, views=(columns(0, 2, 4),))
    fill, both = Instr(copy, (Ref(B2),), part), Instr(np.sum, (Ref(wide),), Ref(C))
    first = Instr(np.sin, (Ref(X),), Ref(B2))
    found = coalesce(program(Sections(loop=(first, fill, both)), X, wide, B2, C))
    assert functions(found.forward.loop) == [np.sin, np.sum]
    assert found.forward.loop[0].writes()[0].buffer.name == "wide"
    flat = Instr(np.sum, (Ref(B2, views=(View("reshape", (4,)),)),), Ref(C))
    kept = coalesce(program(Sections(loop=(first, fill, both, flat)), X, wide, B2, C))
    assert functions(kept.forward.loop) == [np.sin, copy, np.sum, np.sum]


def test_products_beside_a_gap_are_calls_of_matmul() -> None:
    wide = replace(A, name="wide", shape=(2, 4))
    fill = Instr(copy, (Ref(B2),), Ref(wide, views=(columns(0, 2, 4),)))
    product = Instr(np.dot, (Ref(X), Ref(X)), Ref(B2))
    both = Instr(np.sum, (Ref(wide),), Ref(C))
    found = coalesce(program(Sections(loop=(product, fill, both)), X, wide, B2, C))
    assert functions(found.forward.loop) == [np.matmul, np.sum]


def test_a_copy_for_all_steps_costs_less_than_gaps() -> None:
    each = scratch("each", 0)
    wide = replace(each, name="wide", shape=(2, 4))
    view = View("index", (slice(None), *columns(0, 2, 4).argument))
    before = (
        Instr(np.sin, (Ref(X),), Ref(each, When.ALL)),
        Instr(copy, (Ref(each, When.ALL),), Ref(wide, When.ALL, views=(view,))),
    )
    loop = (Instr(np.sum, (Ref(wide, When.STEP),), Ref(C)),)
    found = coalesce(program(Sections(before=before, loop=loop), X, each, wide, C))
    assert functions(found.forward.before) == [np.sin, copy]


@pytest.mark.parametrize("offset", [0, 1])
def test_an_entry_that_is_read_before_the_copy_is_left_alone(offset: int) -> None:
    """Entry t may be read at the step before, as δ_{t+1} is, but not at step t itself."""
    rows = replace(A, name="rows", time=1)
    before = (
        Instr(np.sin, (Ref(X),), Ref(rows, When.ALL, 0)),
        Instr(np.sin, (Ref(X),), Ref(rows, When.LAST, 1)),
    )
    loop = (
        Instr(np.cos, (Ref(X),), Ref(B2)),
        Instr(np.sin, (Ref(rows, When.STEP, offset),), Ref(C)),
        Instr(copy, (Ref(B2),), Ref(rows, When.STEP, 0)),
    )
    after = (Instr(np.sum, (Ref(rows, When.ALL),), Ref(C)),)
    back = Sections(before=before, loop=loop, after=after)
    found = coalesce(program(Sections(), X, rows, B2, C, backward=back)).backward
    assert (copy in functions(found.loop)) is (offset == 0)


def test_what_is_read_before_a_value_is_computed_does_not_matter() -> None:
    rows = replace(A, name="rows", time=1)
    loop = (
        Instr(np.sin, (Ref(rows, When.STEP),), Ref(C)),
        Instr(np.cos, (Ref(C),), Ref(B2)),
        Instr(copy, (Ref(B2),), Ref(rows, When.STEP)),
    )
    before = (Instr(np.sin, (Ref(X),), Ref(rows, When.ALL)),)
    after = (Instr(np.sum, (Ref(rows, When.ALL),), Ref(C)),)
    sections = Sections(before=before, loop=loop, after=after)
    found = coalesce(program(sections, X, rows, B2, C)).forward
    assert functions(found.loop) == [np.sin, np.cos]


def test_results_are_computed_where_the_states_stand() -> None:
    made = coalesced("lstm")
    written = [instr.writes()[0] for instr in made.forward.loop]
    for ref in made.states:
        assert Ref(ref.buffer, When.STEP, 1) in written
    assert copy not in functions(made.forward.loop)


def test_states_that_are_no_new_value_are_copied() -> None:
    start = (state(B, H), state(B, H, name="g_0"))
    case = Case(lambda x, s: (s[1], np.tanh(s[0] + x)), inputs(width=H), start)
    assert functions(program_of(case).lowered.forward.loop).count(copy) == 1


def test_a_state_is_a_part_of_its_row() -> None:
    made = coalesced("rnn_one_row")
    (h,) = made.states
    assert h.buffer.shape == (1, H + D + 1) and h.buffer.storage is Storage.STATE
    assert functions(made.forward.loop) == [np.dot, np.tanh]
    outs = [instr.writes()[0] for instr in made.setup if instr.args == (1,)]
    assert h.buffer in [out.buffer for out in outs]


def test_parts_of_a_gradient_are_computed_in_their_place() -> None:
    made = coalesced("lstm")
    (gates,) = (b for b in made.buffers if b.name == "dgates")
    parts = [i for i in made.backward.loop if i.writes()[0].buffer is gates]
    assert len(parts) == 4 and {i.function for i in parts} == {np.multiply}


def test_gradients_of_inputs_are_computed_in_the_array_that_the_caller_keeps() -> None:
    cell = tg.RNNCell(D, H, rng=0)
    case = Case(cell, tg.Tensor(inputs(), requires_grad=True), state(B, H))
    made = program_of(case).lowered
    assert copy not in functions(made.backward.after)
    assert made.backward.result[1].buffer.storage is Storage.RETURNED


def test_what_is_moved_keeps_its_place() -> None:
    """b is moved to a. It is read after c has been computed, so c cannot be moved to a as well."""
    loop = (
        Instr(np.sin, (Ref(X),), Ref(B2)),
        Instr(copy, (Ref(B2),), Ref(A)),
        Instr(np.cos, (Ref(X),), Ref(C)),
        Instr(np.sum, (Ref(B2),), Ref(D2)),
        Instr(copy, (Ref(C),), Ref(A)),
        Instr(np.sum, (Ref(A),), Ref(D2)),
    )
    made = program(Sections(loop=loop), X, A, B2, C, D2)
    found = functions(coalesce(made).forward.loop)
    assert found.count(copy) == 1


def test_a_copy_that_converts_or_broadcasts_stays() -> None:
    single = replace(B2, dtype=np.dtype(np.float32))
    row = replace(B2, shape=(1, 2))
    for source in (single, row):
        loop = (
            Instr(np.sin, (Ref(X),), Ref(source)),
            Instr(copy, (Ref(source),), Ref(A)),
            Instr(np.sum, (Ref(A),), Ref(C)),
        )
        found = coalesce(program(Sections(loop=loop), X, A, source, C))
        assert copy in functions(found.forward.loop)


def test_a_copy_within_an_array_stays() -> None:
    turned = Ref(A, views=(View("transpose", (1, 0)),))
    loop = (
        Instr(np.sin, (Ref(X),), Ref(A)),
        Instr(copy, (Ref(A),), turned),
        Instr(np.sum, (Ref(A),), Ref(C)),
    )
    assert copy in functions(coalesce(program(Sections(loop=loop), X, A, C)).forward.loop)


@pytest.mark.parametrize("kept", [True, False])
def test_what_the_caller_keeps_is_computed_there_for_all_steps_only(kept: bool) -> None:
    each = scratch("each", 0)
    if kept:
        each = replace(each, storage=Storage.KEPT)
    dx = replace(each, name="dx", storage=Storage.RETURNED)
    put = Instr(copy, (Ref(each, When.ALL),), Ref(dx, When.ALL))
    at_once = Sections(after=(Instr(np.sin, (Ref(X),), Ref(each, When.ALL)), put))
    found = coalesce(program(Sections(), X, each, dx, backward=at_once)).backward
    assert functions(found.after) == ([np.sin, copy] if kept else [np.sin])
    in_steps = Sections(loop=(Instr(np.sin, (Ref(X),), Ref(each, When.STEP)),), after=(put,))
    found = coalesce(program(Sections(), X, each, dx, backward=in_steps)).backward
    assert functions(found.after) == [copy]
    ahead = Sections(before=(Instr(np.sin, (Ref(X),), Ref(each, When.ALL)),))
    back = Sections(after=(put,))
    found = coalesce(program(ahead, X, each, dx, backward=back)).backward
    assert functions(found.after) == [copy]


def test_a_value_that_outlives_its_step_stays() -> None:
    rows = replace(A, name="rows", time=1)
    put = Instr(copy, (Ref(B2),), Ref(rows, When.STEP))
    whole = Instr(np.sum, (Ref(rows, When.ALL),), Ref(C))
    carried = Sections(loop=(Instr(np.cos, (Ref(B2),), Ref(B2)), put), after=(whole,))
    found = coalesce(program(carried, X, rows, B2, C)).forward
    assert functions(found.loop) == [np.cos, copy]
    made = Instr(np.cos, (Ref(X),), Ref(B2))
    last = Instr(np.sin, (Ref(B2),), Ref(D2))
    outside = Sections(loop=(made, put), after=(whole, last))
    found = coalesce(program(outside, X, rows, B2, C, D2)).forward
    assert functions(found.loop) == [np.cos, copy]


def test_a_value_that_changes_after_the_copy_stays() -> None:
    each, rows = scratch("each", 0), replace(A, name="rows", time=1)
    entry = Ref(each, When.STEP)
    loop = (
        Instr(np.cos, (Ref(X),), entry),
        Instr(copy, (entry,), Ref(rows, When.STEP)),
        Instr(np.sin, (entry,), entry),
    )
    after = (
        Instr(np.sum, (Ref(rows, When.ALL),), Ref(C)),
        Instr(np.sum, (Ref(each, When.ALL),), Ref(D2)),
    )
    found = coalesce(program(Sections(loop=loop, after=after), X, each, rows, C, D2)).forward
    assert functions(found.loop) == [np.cos, copy, np.sin]
    found = coalesce(program(Sections(loop=loop[:2], after=after), X, each, rows, C, D2)).forward
    assert functions(found.loop) == [np.cos]


def test_the_entry_after_a_step_does_not_go_into_the_row_of_the_step() -> None:
    """h_t has one more entry before it: in a row of h_t it would stand before the first row."""
    h = replace(A, name="h", storage=Storage.STATE, time=1)
    rows = replace(A, name="rows", shape=(2, 4), storage=Storage.KEPT, time=1)
    part = Ref(rows, When.STEP, 0, (columns(0, 2, 4),))
    loop = (
        Instr(np.sin, (Ref(h, When.STEP),), Ref(h, When.STEP, 1)),
        Instr(copy, (Ref(h, When.STEP, 1),), part),
    )
    after = (Instr(np.sum, (Ref(rows, When.ALL),), Ref(C)),)
    forward = Sections(loop=loop, after=after, result=(Ref(h, When.ALL, 1),))
    assert copy in functions(coalesce(program(forward, X, h, rows, C)).forward.loop)
    before = (loop[0], Instr(copy, (Ref(h, When.STEP),), part))
    first = (Instr(copy, (Ref(X),), Ref(h, When.FIRST)),)
    forward = Sections((), first, before, after, result=(Ref(h, When.ALL, 1),))
    assert copy not in functions(coalesce(program(forward, X, h, rows, C)).forward.loop)


def test_what_the_setup_writes_stays() -> None:
    wide = replace(A, name="wide", shape=(2, 4), storage=Storage.KEPT)
    left, right = (Ref(wide, views=(columns(n, n + 2, 4),)) for n in (0, 2))
    fill, total = Instr(np.sin, (Ref(X),), Ref(B2)), Instr(np.sum, (Ref(wide),), Ref(C))
    for part, expected in ((left, [np.sin, np.sum]), (right, [np.sin, np.sum, copy])):
        put = Instr(copy, (Ref(B2),), part)
        loop = (fill, put, total) if part is left else (fill, total, put)
        made = program(Sections(loop=loop), X, wide, B2, C)
        setup = (Instr(copy, (1,), right), Instr(copy, (1,), left))
        found = coalesce(replace(made, setup=setup)).forward
        assert functions(found.loop) == expected


def test_an_array_of_all_steps_goes_where_it_has_an_entry_for_each_of_its_own() -> None:
    long, short = replace(A, name="long", time=1), scratch("short", 0)
    other = replace(long, name="other")
    after = (Instr(np.sum, (Ref(other, When.ALL, 1),), Ref(C)),)
    entry = Ref(long, When.STEP, 1)
    loop = (Instr(np.sin, (Ref(X),), entry), Instr(copy, (entry,), Ref(other, When.STEP, 1)))
    found = coalesce(program(Sections(loop=loop, after=after), X, long, other, C)).forward
    assert functions(found.loop) == [np.sin]
    assert found.loop[0].writes()[0].at == (When.STEP, 1, ())
    copied = Ref(short, When.STEP)
    put = (loop[0], Instr(copy, (Ref(long, When.STEP),), copied))
    first = (Instr(copy, (Ref(X),), Ref(long, When.FIRST)),)
    after = (Instr(np.sum, (Ref(short, When.ALL),), Ref(C)),)
    found = coalesce(program(Sections((), first, put, after), X, long, short, C)).forward
    assert functions(found.loop) == [np.sin]
    assert found.loop[0].writes()[0].buffer.name == "long"  # it has one entry more
    put = (*put, Instr(np.cos, (copied,), copied))
    after = (*after, Instr(np.sum, (Ref(long, When.ALL),), Ref(D2)))
    found = coalesce(program(Sections((), first, put, after), X, long, short, C, D2)).forward
    assert functions(found.loop) == [np.sin, copy, np.cos]


def test_only_a_part_of_a_filled_array_takes_a_value() -> None:
    """The set-up has to stay, and it is in the other part."""
    filled = replace(A, name="filled", shape=(2, 4), storage=Storage.KEPT)
    setup = (Instr(copy, (0,), Ref(filled)),)
    part, whole = Ref(filled, views=(columns(0, 2, 4),)), replace(B2, shape=(2, 4))
    after = Instr(np.sum, (Ref(filled),), Ref(C))
    loop = (Instr(np.sin, (Ref(X),), Ref(B2)), Instr(copy, (Ref(B2),), part), after)
    made = replace(program(Sections(loop=loop), X, filled, B2, C), setup=setup)
    assert functions(coalesce(made).forward.loop) == [np.sin, np.sum]
    wide = replace(X, shape=(2, 4))
    first, put = Instr(np.sin, (Ref(wide),), Ref(whole)), Instr(copy, (Ref(whole),), Ref(filled))
    read = Instr(np.sum, (Ref(filled),), Ref(D2))
    made = program(Sections(loop=(first, read, put, after)), wide, filled, whole, C, D2)
    found = coalesce(replace(made, setup=setup)).forward
    assert functions(found.loop) == [np.sin, np.sum, copy, np.sum]


def test_one_entry_for_all_steps_is_copied() -> None:
    each, other = scratch("each", 0), scratch("other", 0)
    before = (Instr(np.sin, (Ref(X),), Ref(each, When.ALL)),)
    loop = (Instr(copy, (Ref(each, When.FIRST),), Ref(other, When.STEP)),)
    after = (
        Instr(np.sum, (Ref(other, When.ALL),), Ref(C)),
        Instr(np.sum, (Ref(each, When.ALL),), Ref(D2)),
    )
    sections = Sections(before=before, loop=loop, after=after)
    found = coalesce(program(sections, X, each, other, C, D2)).forward
    assert len({ref.buffer for instr in found.after for ref in instr.reads()}) == 2


@pytest.mark.parametrize("seeded", [False, True])
def test_what_is_a_seed_for_some_lanes_only_is_copied(seeded: bool) -> None:
    first = Instr(np.add, (Ref(A), Ref(X)), Ref(B2))
    last = Instr(np.cos, (Ref(C),), Ref(A))
    loop = (first, Instr(copy, (Ref(B2, seeded=seeded),), Ref(C)), last)
    found = functions(coalesce(in_loop(*loop)).forward.loop)
    assert found == ([np.add, copy, np.cos] if seeded else [np.add, np.cos])
