"""Contraction: which arrays of all steps may be of one step."""

from tests.compiler.native.test_nests import COLUMNS, ROWS, STEPS, buffer, copied, place
from tinygrad_rnn.compiler.backends.native.contraction import contracted
from tinygrad_rnn.compiler.backends.native.nests import Memory, Nest, Span

A, B, C = (buffer(name, ROWS, COLUMNS) for name in "ABC")
chain = Nest(STEPS, (copied(place(A), place(B)), copied(place(B), place(C))), True)
"""C = B = A at every step."""


def roots(nest):
    return [p.root for work in nest.works for p, _ in work.places()]


def test_a_value_of_the_step_alone():
    for nest in (chain, chain.backwards()):
        (made,) = contracted([nest], {A, C}, Memory())
        first, second = made.works
        (small,) = first.outs
        assert small.root.time is None and small.root.shape == B.shape and small.step == 0
        assert small == second.args[0] and small.offset == Span(0, 0)
        assert roots(made)[::3] == [A, C]


def test_what_others_use_stays():
    other = Nest(STEPS, (copied(place(B), place(buffer("D", ROWS, COLUMNS))),), False)
    assert B in roots(contracted([chain, other], {A, C}, Memory())[0])
    assert B in roots(contracted([chain], {A, B, C}, Memory())[0])


def test_what_another_step_reads_stays():
    first = place(B)._replace(step=0)
    loop = Nest(STEPS, (copied(place(A), place(B)), copied(first, place(C))), False)
    assert B in roots(contracted([loop], {A, C}, Memory())[0])


def test_the_rows_of_all_steps_stay():
    """Steps of one row each run at once, as the rows of one step."""
    one, two, three = (buffer(name, COLUMNS) for name in "abc")
    places = [place(b, 1, COLUMNS, (0, 1)) for b in (one, two, three)]
    works = (copied(places[0], places[1]), copied(places[1], places[2]))
    assert two in roots(contracted([Nest(STEPS, works, True)], {one, three}, Memory())[0])
