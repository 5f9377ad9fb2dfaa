"""Results, parts of rows and parts of gradients are written where they are needed."""

from __future__ import annotations

import numpy as np

from tests.compiler.lowering.programs import functions, lowered, of_cell
from tests.compiler.programs import B, D, H, state
from tinygrad_rnn.compiler.ir import Ref, When
from tinygrad_rnn.compiler.operations import copy


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


def test_parts_of_a_gradient_are_computed_in_their_place() -> None:
    program = lowered("lstm")
    (gates,) = (b for b in program.buffers if b.name == "dgates")
    parts = [i for i in program.backward.loop if i.writes()[0].buffer is gates]
    assert len(parts) == 4 and {i.function for i in parts} == {np.multiply}
