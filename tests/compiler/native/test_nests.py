"""Nests: which places overlap at which steps, and what may therefore be one loop."""

import numpy as np

from tinygrad_rnn.compiler.backends.native.nests import Memory, Nest, Place, Span, Work, fused
from tinygrad_rnn.compiler.ir import Buffer, Storage

ROWS, COLUMNS = 3, 4
STEPS = Span(1, 0)


def buffer(name, *shape):
    return Buffer(name, shape, np.dtype(np.float32), Storage.SCRATCH, time=0)


def place(of, rows=ROWS, columns=COLUMNS, strides=(COLUMNS, 1)):
    return Place(of, Span(0, 0), int(np.prod(of.shape)), rows, columns, strides)


def copied(source, target):
    return Work("copy", (source,), (target,), "")


A, B, C = (buffer(name, ROWS, COLUMNS) for name in "ABC")
free = Nest(STEPS, (copied(place(A), place(B)),), True)
"""B = A at every step, in any order."""


def test_a_value_is_read_in_the_loop_that_makes_it():
    reader = Nest(STEPS, (copied(place(B), place(C)),), False)
    assert fused(free, reader, Memory()).works == (*free.works, *reader.works)


def test_a_loop_that_needs_no_order_is_turned():
    """The backward loop begins at the last step, and so does what it reads."""
    reader = Nest(STEPS, (copied(place(B), place(C)),), False).backwards()
    made = fused(free, reader, Memory())
    assert made.works[0].outs == made.works[1].args and made.works[0].outs[0].step < 0


def test_one_number_of_a_step_for_all_its_rows():
    """The reader sees the number as rows and columns. It is the same step's number all the same."""
    numbers = buffer("numbers")
    one = place(numbers, 1, 1, (0, 0))
    maker = Nest(STEPS, (copied(one, one._replace(root=buffer("other"))),), True)
    maker = Nest(STEPS, (copied(place(A, 1, 1, (0, 0)), one), *maker.works), True)
    reader = Nest(STEPS, (copied(place(numbers, strides=(0, 0)), place(C)),), False)
    assert fused(maker, reader, Memory()) is not None
    turned = fused(maker, reader.backwards(), Memory())
    assert turned.works[0] is not maker.works[0] and turned.works[0].outs[0].step < 0


def test_a_step_that_reads_another_step_stays_apart():
    states = Buffer("states", (ROWS, COLUMNS), np.dtype(np.float32), Storage.STATE, time=1)
    entering = place(states)
    leaving = entering._replace(offset=Span(0, ROWS * COLUMNS))
    for written, read in ((entering, leaving), (leaving, entering)):
        maker = Nest(STEPS, (copied(place(A), written),), True)
        reader = Nest(STEPS, (copied(read, place(C)),), False)
        assert fused(maker, reader, Memory()) is None
        assert fused(maker, reader.backwards(), Memory()) is None


def test_one_buffer_of_all_steps():
    """Its number is that of the last step, so no step may take it from another loop."""
    carried = place(B)._replace(step=0)
    loop = Nest(STEPS, (copied(place(A), carried),), False)
    assert fused(loop, Nest(STEPS, (copied(carried, place(C)),), True), Memory()) is None
