"""What the source calls the arrays that its instructions read and write."""

from __future__ import annotations

import numpy as np

from tests.compiler.backends.test_numpy_source import counting
from tinygrad_rnn.compiler.backends.references import References, Walk
from tinygrad_rnn.compiler.ir import Buffer, Ref, Storage, View, When

ROWS = Buffer("rows", (2, 8), np.dtype(float), Storage.KEPT, 1)
COLUMNS = View("index", (Ellipsis, slice(2, None)))


def test_a_view_is_made_once() -> None:
    at = References(counting())
    part = Ref(ROWS, When.ALL, 1, (COLUMNS,), name="seen")
    assert at.ref(part) == at.ref(part) == "seen"
    assert at.factory == ["rows_after = rows[1:]", "seen = rows_after[..., 2:]"]
    assert at.ref(Ref(ROWS, When.ALL, 0)) == "rows_before"
    assert at.ref(Ref(ROWS, When.LAST, 0)) == "rows[-2]"  # of T + 1 entries
    assert at.ref(Ref(ROWS, When.FIRST, 1)) == "rows[1]"


def test_rows_and_transposes_are_written_where_they_are_read() -> None:
    at = References(counting())
    under_one_another = Ref(ROWS, When.ALL, 0, (View("reshape", (-1, 8)),))
    assert at.ref(under_one_another) == "rows(rows_before)"
    turned = Ref(ROWS, When.ALL, 0, (*under_one_another.views, View("transpose", (1, 0))))
    assert at.ref(turned) == "rows(rows_before).T"


def test_a_loop_walks_through_each_array_once() -> None:
    program = counting()
    h, (x,) = program.states[0].buffer, program.inputs
    at = References(program)
    at.walk = walk = Walk()
    assert at.ref(Ref(h, When.STEP)) == "h_prev" and at.ref(Ref(h, When.STEP, 1)) == "h_t"
    assert at.ref(Ref(x, When.STEP)) == "x_t" == at.ref(Ref(x, When.STEP))
    assert at.ref(Ref(x, When.STEP, seeded=True)) == "x_t if seeded else 0"
    assert list(walk.own.values()) == ["h_prev", "h_t"] and list(walk.given.values()) == ["x_t"]
    assert list(walk.own) == ["numbers(h_before)", "numbers(h_after)"]
    assert list(walk.given) == ["numbers(x)"]
    assert at.number_of_step() == "t" == walk.given["range(T)"]


def test_two_names_for_one_memory_are_one_array() -> None:
    second = Buffer("second", ROWS.shape, ROWS.dtype, ROWS.storage, 1, shares=ROWS)
    at = References(counting())
    at.walk = Walk()
    assert at.ref(Ref(second, When.STEP)) == at.ref(Ref(ROWS, When.STEP))
    assert len(at.walk.own) == 1
