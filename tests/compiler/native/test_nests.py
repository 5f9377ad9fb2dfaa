"""Nests: which places overlap at which steps, and what may therefore be one loop."""

import numpy as np

from tinygrad_rnn.compiler.backends.native.nests import (
    Memory,
    Nest,
    Place,
    Span,
    Work,
    accumulated,
    fused,
    shares,
)
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


def test_sums_over_the_steps_with_the_same_right_factor_are_one_loop():
    def summed(left, right):
        out = Buffer(
            f"sum of {left.name}", (COLUMNS, COLUMNS), np.dtype(np.float32), Storage.RESULT
        )
        args = place(left), place(right)
        return Nest(STEPS, (Work("time_sum", args, (place(out, rows=COLUMNS),), ""),), False)

    one, same, other = summed(A, C), summed(B, C), summed(A, B)
    assert fused(one, same, Memory()).works == (*one.works, *same.works)
    assert fused(one, other, Memory()) is None
    assert fused(one, free, Memory()) is None


def test_one_buffer_of_all_steps():
    """Its number is that of the last step, so no step may take it from another loop."""
    carried = place(B)._replace(step=0)
    loop = Nest(STEPS, (copied(place(A), carried),), False)
    assert fused(loop, Nest(STEPS, (copied(carried, place(C)),), True), Memory()) is None


def test_views_that_overlap():
    array = np.zeros(12)
    assert shares(array[:7], array[6:]) and not shares(array[::2], array[1::2])
    assert not shares(array, array[12:])  # nothing is in no array


def test_views_that_are_too_hard_to_tell_apart_may_overlap():
    """The example in NumPy's documentation of `shares_memory`."""
    memory = np.zeros(192_163_377, np.int8)  # which no page is made for
    view = np.lib.stride_tricks.as_strided
    one = view(memory, (1049, 1049, 1049), (36674, 61119, 85569))
    other = view(memory[64023025:], (1049, 1049, 1), (12223, 12224, 1))
    assert shares(one, other)


def test_a_product_starts_from_what_is_added_to_it():
    h, W, y, b, z = (place(buffer(name, ROWS, COLUMNS)) for name in "hWybz")
    product = Work("product", (h, W), (y,), "y")

    def after(*added, then=()):
        add = Work("add", added, (z,), "z")
        return [w.kind for w in accumulated([product, *then, add], Memory(), lambda p: False)]

    assert after(y, b) == after(b, y) == ["product"]
    assert after(y, y) == after(y, 2.0) == ["product", "add"]
    turned = b._replace(strides=(1, ROWS))
    assert after(y, turned) == ["product", "add"]
    changed = Work("copy", (b,), (h,), "h")
    assert after(y, b, then=(changed,)) == ["product", "copy", "add"]
    assert [w.kind for w in accumulated([product], Memory(), lambda p: True)] == ["product"]
