"""Groups: which works form one loop over vectors, and which may run some rows at a time."""

from tests.compiler.native.test_nests import COLUMNS, ROWS, buffer, copied, place
from tinygrad_rnn.compiler.backends.native.groups import chunks, divisible, grouped
from tinygrad_rnn.compiler.backends.native.nests import Memory, Work

A, B, C, D, W = (place(buffer(n, ROWS, COLUMNS)) for n in "ABCDW")
COLUMN = place(buffer("column", ROWS, 1), columns=1, strides=(1, 0))
nothing_else = lambda p: False  # noqa: E731


def times(left, out):
    return Work("product", (left, W), (out,), "")


def test_elementwise_works_are_one_group():
    (group,) = grouped([copied(A, B), copied(B, C)], Memory(), nothing_else)
    assert group.stored == frozenset()  # nothing reads C, and B is read in a register


def test_what_another_group_reads_is_stored():
    first, second = grouped([copied(A, B), times(B, C)], Memory(), nothing_else)
    assert (first.stored, second.stored) == ({B}, {C})


def test_a_work_joins_an_earlier_group():
    groups = grouped([copied(A, B), times(B, C), copied(B, D)], Memory(), nothing_else)
    assert [[w.outs[0] for w in group.works] for group in groups] == [[B, D], [C]]


def test_it_does_not_pass_what_it_needs():
    groups = grouped([copied(A, B), times(B, C), copied(C, D)], Memory(), nothing_else)
    assert [[w.outs[0] for w in group.works] for group in groups] == [[B], [C], [D]]
    groups = grouped([copied(A, B), times(B, C), copied(D, B)], Memory(), nothing_else)
    assert len(groups) == 3  # the product reads B before it is written again


def test_other_columns_are_another_group():
    assert len(grouped([copied(A, B), copied(COLUMN, COLUMN)], Memory(), nothing_else)) == 2


def test_rows_run_apart_unless_one_needs_the_others():
    groups = grouped([copied(A, B), times(B, C)], Memory(), nothing_else)
    assert len(chunks(groups, Memory(), most=2)) == 1
    turned = A._replace(rows=COLUMNS, columns=ROWS, strides=(1, COLUMNS))
    works = [copied(D, A), times(turned, place(buffer("E", COLUMNS, COLUMNS), COLUMNS))]
    assert len(chunks(grouped(works, Memory(), nothing_else), Memory(), most=2)) == 2


def test_rows_are_divided_among_threads():
    works = [copied(A, B), times(B, C)]
    assert divisible(works, Memory(), most=2)
    assert not divisible(works, Memory(), most=ROWS)
    assert not divisible([*works, Work("sum", (C,), (COLUMN._replace(rows=1),), "")], Memory(), 2)
