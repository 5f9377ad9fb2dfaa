"""Where values stand, and which instructions are written for them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tinygrad_rnn as tg
from tests.compiler.programs import CASES, B, Case, D, H, inputs, program_of, state, weight
from tinygrad_rnn.compiler.ir import Buffer, Instr, Program, Ref, Storage, View, When
from tinygrad_rnn.compiler.lowering.names import Names
from tinygrad_rnn.compiler.lowering.places import Place, columns, first_axis, is_contiguous
from tinygrad_rnn.compiler.operations import copy, over_lanes, with_end


def lowered(name: str) -> Program:
    found = program_of(CASES[name]()).lowered
    assert isinstance(found, Program)
    return found


def of_cell(cell: Any, xs: Any = None, start: Any = None) -> Program:
    xs = inputs(width=H) if xs is None else xs
    made = program_of(Case(cell, xs, state(B, H) if start is None else start))
    assert isinstance(made.lowered, Program)
    return made.lowered


def functions(instrs: Any) -> list[Any]:
    return [instr.function for instr in instrs]


# Names and places -----------------------------------------------------------------------------


def test_each_name_is_given_once() -> None:
    names = Names()
    assert [names.fresh(n) for n in ("h", "h", "", "2x", "a b", "lambda", "tanh", "T")] == [
        *("h", "h2", "a", "_2x", "a_b", "lambda2", "tanh2", "T2")
    ]


def test_places() -> None:
    h = Buffer("h", (2, 8), np.dtype(float), Storage.STATE, 1)
    place = Place(h, 1).seen(columns(2, 8, 8), "g")
    assert place.step() == Ref(h, When.STEP, 1, (View("index", (Ellipsis, slice(2, None))),))
    whole = place.whole(View("reshape", (-1, 6)))
    assert whole.when is When.ALL and whole.strided(3)[0] == (6, 6)
    assert not is_contiguous(place.step()) and is_contiguous(Place(h).step())
    one = Buffer("h", (1, 8), np.dtype(float), Storage.STATE, 1)
    assert is_contiguous(Place(one).seen(columns(2, 8, 8)).step())  # one row has no gaps
    assert not is_contiguous(Place(Buffer("x", (2,), np.dtype(float), Storage.GIVEN)).step())
    assert first_axis(0, 3, 3).argument == (slice(None, None),)


# The forward loop -----------------------------------------------------------------------------


def test_results_are_computed_where_the_states_stand() -> None:
    program = lowered("lstm")
    h, c = program.states
    written = [instr.writes()[0] for instr in program.forward.loop]
    assert Ref(h, When.STEP, 1) in written and Ref(c, When.STEP, 1) in written
    assert copy not in functions(program.forward.loop)


def test_states_that_are_no_new_value_are_copied() -> None:
    program = of_cell(
        lambda x, s: (s[1], np.tanh(s[0] + x)), start=(state(B, H), state(B, H, name="g_0"))
    )
    assert functions(program.forward.loop).count(copy) == 1


def test_a_row_has_its_parts_in_place() -> None:
    program = lowered("rnn_one_row")
    (rows,) = program.states
    assert rows.shape == (1, H + D + 1) and program.layouts[0].stop == H
    assert functions(program.forward.loop) == [np.dot, np.tanh]
    ones = program.setup[0]
    assert ones.args == (1,) and ones.writes()[0].buffer is rows


def test_numbers_and_rows_are_arrays_made_beforehand() -> None:
    b = weight(H, name="b")
    program = of_cell(lambda x, h: np.tanh(0.5 * h + x) * (h + b))
    for instr in program.forward.loop:
        assert not any(isinstance(arg, float) for arg in instr.args)
    (spread,) = (b for b in program.buffers if b.name == "b_spread")
    assert spread.shape == (B, H)


def test_a_call_without_out_is_bound_or_copied() -> None:
    W = weight(H, H)
    program = of_cell(lambda x, h: np.tanh(np.cumsum(h @ W, axis=-1) + x))
    (bound,) = (i for i in program.forward.loop if i.function is np.cumsum)
    assert bound.binds() and bound.writes()[0].buffer.storage is Storage.RESULT
    number = of_cell(lambda x, h: np.tanh(h * np.linalg.norm(x)))
    assert not any(i.binds() for i in number.forward.loop)  # an array without axes, to look at


# Back -----------------------------------------------------------------------------------------


def test_what_a_step_takes_from_the_loss_and_from_the_link() -> None:
    program = lowered("rnn")
    first = program.backward.loop[0]
    (link,) = program.links
    assert first.function is np.add and first.args[0] == Ref(link)
    assert program.backward.loop[-1].function is copy
    assert program.backward.loop[-1].writes() == (Ref(link),)


def test_parts_of_a_gradient_are_computed_in_their_place() -> None:
    program = lowered("lstm")
    (gates,) = (b for b in program.buffers if b.name == "dgates")
    parts = [i for i in program.backward.loop if i.writes()[0].buffer is gates]
    assert len(parts) == 4 and {i.function for i in parts} == {np.multiply}


def test_outputs_get_what_comes_from_behind_the_last_step() -> None:
    program = lowered("output_layer")
    assert with_end in functions(program.backward.before)
    assert program.outputs == {1} and program.output_grads == {0}


def test_entries() -> None:
    assert functions(lowered("rnn").entry) == [np.copy]
    assert functions(lowered("window").entry) == [over_lanes]
    assert functions(lowered("rnn_one_row").entry) == [np.matmul]
    alone = lowered("loss_alone_one_row")
    assert functions(alone.entry) == [np.matmul] and functions(alone.block_entry) == [np.copy]


def test_windows_have_lanes() -> None:
    program = lowered("window_lstm")
    assert all(b is not None and b.storage is Storage.LANE for b in program.links)
    seeded = [ref for i in program.backward.loop for ref in i.reads() if ref.seeded]
    assert {ref.buffer.name for ref in seeded} == {"dL_dh_here", "dL_dc_here"}


# Sums -----------------------------------------------------------------------------------------


def of_sum(cell: Any, xs: Any = None) -> list[Instr]:
    return list(of_cell(cell, xs).backward.after)


def test_ways_to_sum_over_the_steps() -> None:
    W, b, E = weight(H, H, name="W"), weight(H, name="b"), weight(7, H, name="E")
    tokens = np.zeros((6, B), int)
    ways: dict[Any, list[Instr]] = {
        np.matmul: of_sum(lambda x, h: h @ W + x),
        np.dot: of_sum(lambda x, h: np.tanh(h + b + x)),
        np.add: of_sum(lambda x, h: np.tanh(x @ W) + h @ W),
        np.zeros: of_sum(lambda i, h: np.tanh(E[i] + h), tokens),
    }
    for function, instrs in ways.items():
        assert function in functions(instrs), function
    assert [i.comment for i in ways[np.matmul]] == ["Σ_t h_{t−1}ᵀ dh_t"]
    einsum = of_cell(lambda x, h: np.einsum("bi,ij->bj", h, W) + x)
    assert einsum.backward.after == () and np.zeros in functions(einsum.backward.before)


def test_equal_gradients_are_arrays_of_their_own() -> None:
    a, b = weight(H, name="a"), weight(H, name="b")
    instrs = of_sum(lambda x, h: np.tanh(h + a + b + x))
    assert functions(instrs)[-1] is np.copy


@pytest.mark.parametrize("needs", [True, False])
def test_gradients_of_inputs_are_the_callers(needs: bool) -> None:
    cell = tg.RNNCell(D, H, rng=0)
    program = of_cell(cell, tg.Tensor(inputs(), requires_grad=needs))
    found = program.backward.result[1]
    assert (found is not None) is needs
    assert found is None or found.buffer.storage is Storage.RETURNED
