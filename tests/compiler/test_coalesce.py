"""What is copied is computed in its place, if nothing else is there."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import tinygrad_rnn as tg
from tests.compiler.programs import CASES, B, Case, D, H, inputs, program_of, state
from tests.compiler.test_allocate import A, B as B2, C, X, program, scratch
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
    loop = (
        Instr(np.sin, (Ref(rows, When.STEP, offset),), Ref(C)),
        Instr(np.cos, (Ref(C),), Ref(B2)),
        Instr(copy, (Ref(B2),), Ref(rows, When.STEP, 0)),
    )
    after = (Instr(np.sum, (Ref(rows, When.ALL),), Ref(C)),)
    back = Sections(loop=loop, after=after)
    found = coalesce(program(Sections(), X, rows, B2, C, backward=back)).backward
    assert (copy in functions(found.loop)) is (offset == 0)


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
    (ones,) = (instr for instr in made.forward.constants if instr.args == (1,))
    assert ones.writes()[0].buffer is h.buffer


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
