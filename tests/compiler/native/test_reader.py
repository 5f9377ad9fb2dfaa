"""The reader: instructions as works on rows and columns, or the reason why not."""

import numpy as np
import pytest

from tinygrad_rnn.compiler import operations
from tinygrad_rnn.compiler.backends.native.nests import Memory, Span
from tinygrad_rnn.compiler.backends.native.reader import UnknownError, nest_of, placed, work
from tinygrad_rnn.compiler.ir import Buffer, Instr, Ref, Storage, View, When

B, H, Q = 3, 4, 5


def buffer(name, *shape, time=None, dtype=np.float32):
    return Buffer(name, shape, np.dtype(dtype), Storage.SCRATCH, time)


def ref(name, *shape, when=When.ALWAYS, offset=0, views=(), **kind):
    time = None if when is When.ALWAYS else kind.pop("time", 0)
    return Ref(buffer(name, *shape, time=time, **kind), when, offset, views)


def of(function, args, out, **kwargs):
    return work(Instr(function, args, out, kwargs=kwargs), "", {})


def test_the_entry_of_a_step():
    h = ref("h", B, H, when=When.STEP, offset=1, time=1)
    place, count = placed(h, {})
    assert (place.offset, place.step, count) == (Span(0, B * H), B * H, Span(0, 1))
    assert (place.rows, place.columns, place.strides) == (B, H, (H, 1))


def test_all_steps_are_a_loop():
    place, count = placed(ref("h", B, H, when=When.ALL, offset=1, time=1), {})
    assert (place.offset, place.step, count) == (Span(0, B * H), B * H, Span(1, 0))


def test_the_last_entry():
    place, count = placed(ref("h", B, H, when=When.LAST, offset=1, time=1), {})
    assert (place.offset, place.step, count) == (Span(B * H, 0), 0, Span(0, 1))


def test_views():
    half = View("index", (Ellipsis, slice(2, 4)))
    place, _ = placed(ref("gates", B, H, views=(half,)), {})
    assert (place.offset, place.columns, place.strides) == (Span(0, 2), 2, (H, 1))
    turned, _ = placed(ref("W", H, Q, views=(View("transpose", (1, 0)),)), {})
    assert (turned.rows, turned.columns, turned.strides) == (Q, H, (1, Q))


def test_what_is_broadcast_has_no_stride():
    done, _ = of(np.add, (ref("a", B, H), ref("b", H)), ref("c", B, H))
    assert [a.strides for a in done.args] == [(H, 1), (0, 1)]


def test_products():
    done, _ = of(np.matmul, (ref("h", B, H), ref("W", H, Q)), ref("y", B, Q))
    assert (done.kind, done.rows, done.columns) == ("product", B, Q)
    done, _ = of(np.matmul, (ref("W", Q, H), ref("h", H)), ref("y", Q))
    assert (done.kind, done.rows, done.columns) == ("product", 1, Q)  # hᵀ Wᵀ
    assert done.args[1].strides == (1, H)


def test_a_reshaped_array_is_copied_row_by_row():
    done, _ = of(np.reshape, (ref("a", B, H), (H, B)), ref("b", H, B))
    assert (done.kind, done.rows, done.columns) == ("copy", H, B)
    done, _ = of(np.reshape, (ref("a", B, H), B * H), ref("b", B * H))
    assert (done.kind, done.rows, done.columns) == ("copy", 1, B * H)
    with pytest.raises(UnknownError, match="reshape is none of its functions"):
        of(np.reshape, (ref("a", B, H), (H, B), "F"), ref("b", H, B))


def test_a_sum_of_each_row():
    done, _ = of(np.sum, (ref("a", B, H), -1), ref("b", B))
    assert (done.kind, done.outs[0].rows, done.outs[0].columns) == ("sum", B, 1)


def test_a_sum_of_a_vector():
    done, _ = of(np.sum, (ref("a", B),), ref("b"))
    assert (done.kind, done.args[0].columns, done.columns) == ("sum", B, 1)
    with pytest.raises(UnknownError, match="another axis than the last"):
        of(np.sum, (ref("a", B, H),), ref("b"))


@pytest.mark.parametrize("shape", [(0, H), (B, 0)])
def test_arrays_without_entries_are_numpy_s(shape):
    with pytest.raises(UnknownError, match="an array without entries"):
        of(np.add, (ref("a", *shape), 1.0), ref("b", *shape))


def test_a_cross_entropy():
    done, _ = of(*crossed())
    assert (done.kind, done.rows, done.reads()[0].columns) == ("cross_entropies", B, Q)


def test_a_sum_over_the_steps():
    rows = View("reshape", (-1, H))
    left = ref("x", B, H, when=When.ALL, views=(rows, View("transpose", (1, 0))))
    right = ref("d", B, Q, when=When.ALL, views=(View("reshape", (-1, Q)),))
    nest = nest_of(Instr(np.matmul, (left, right), ref("dW", H, Q)), "", Memory(), {})
    (done,) = nest.works
    assert (done.kind, done.rows, done.columns, nest.count) == ("time_sum", H, Q, Span(1, 0))
    assert [a.rows for a in done.reads()] == [B, B] and not nest.free


def test_a_copy_is_read_where_it_came_from():
    original, copy = ref("W", H, Q), ref("copy", H, Q)
    done, _ = work(Instr(np.negative, (copy,), ref("y", H, Q)), "", {copy.buffer: original})
    assert done.args[0].root is original.buffer


ROWS, ACROSS = View("reshape", (-1, H)), View("transpose", (1, 0))
LATER, HALF = View("index", (slice(1, None),)), View("index", (Ellipsis, slice(None, None, 2)))


TRUTHS = ref("truths", H, dtype=np.bool)


def crossed(**other):
    """A cross-entropy with another argument or result."""
    usual = {"logits": ref("o", B, Q), "labels": ref("y", B, dtype=np.int64), "ones": ref("1", Q)}
    usual |= {"losses": ref("l", B), "e": ref("e", B, Q), "sums": ref("s", B)}
    every = list((usual | other).values())
    return operations.cross_entropies, tuple(every[:3]), tuple(every[3:])


def every(*views):
    """An array of all steps."""
    return ref("a", *([B] if ROWS in views else []), H, when=When.ALL, views=views)


@pytest.mark.parametrize(
    ("function", "args", "out", "reason"),
    [
        (np.arctan, (ref("a", H),), ref("b", H), "arctan is none of its functions"),
        (np.add, (ref("a", H), ref("b", H, dtype=np.float64)), ref("c", H), "a mixture of types"),
        (np.add, (ref("a", H, dtype=np.int64), 1), ref("c", H, dtype=np.int64), "mixture of types"),
        (np.negative, (ref("a", H, dtype=np.complex64),), ref("b", H), "entries of type complex64"),
        (np.sum, (ref("a", B, H), 0), ref("b", H), "along another axis than the last"),
        (np.matmul, (ref("a", 2, B, H), ref("W", 2, H, Q)), ref("y", 2, B, Q), "of stacks"),
        (np.matmul, (ref("a", B, H), ref("W", H, Q, when=When.STEP)), ref("y", B, Q), "to step"),
        (np.matmul, (ref("a", B, H), every()), ref("y", B, H), "a product over the steps"),
        (np.add, (ref("a", H), "text"), ref("b", H), "an argument 'text'"),
        (np.add, (ref("a", H, when=When.STEP), every()), every(), "all steps within one step"),
        (np.negative, (every(ROWS, LATER),), every(ROWS, LATER), "no multiple of the steps"),
        (np.negative, (every(ACROSS),), every(ACROSS), "an axis of steps that is not the first"),
        (np.negative, (ref("a", 2, B, H),), ref("b", B, H), "more axes than the result has"),
        (np.add, (ref("a", B, H), ref("b", B, Q)), ref("c", B, H), "that do not broadcast"),
        (np.sum, (ref("a", B, H), -1), ref("b", B, 2), "a reduction of another form"),
        (np.matmul, (every(ROWS, ACROSS), every(ROWS)), ref("w", H, Q), "steps of another form"),
        (
            *(np.matmul, (every(ROWS, HALF, ACROSS), every(ROWS)), ref("w", H // 2, H)),
            "a sum over the steps of what is not in rows",
        ),
        (np.negative, (ref("a", B, H, views=(ACROSS, ROWS)),), ref("b", B, H), "that is a copy"),
        (np.divmod, (ref("a", H), ref("b", H)), (ref("c", H), ref("d", H)), "several results"),
        (np.where, (ref("a", H), ref("b", H), 0.0), ref("c", H), "that is no truth value"),
        (np.add, (ref("a", H), ref("b", H)), TRUTHS, "a result of another type"),
        (np.logical_and, (ref("a", H), ref("b", H)), TRUTHS, "a mixture of types"),
        (operations.copy, (ref("a", H),), TRUTHS, "a mixture of types"),
        (np.matmul, (ref("a", B, H), 2.0), ref("b", B, H), "a product with a constant"),
        (
            *(np.matmul, (ref("a", B, H), ref("W", H, Q, dtype=np.float64)), ref("y", B, Q)),
            "a product of several types",
        ),
        (
            *(np.matmul, (ref("a", B, H, views=(HALF,)), ref("W", H // 2, Q)), ref("y", B, Q)),
            "arrays that are not in rows",
        ),
        (np.sum, (1.0,), ref("b"), "a reduction of another kind"),
        (*crossed(labels=3), "a cross-entropy of another form"),
        (*crossed(logits=ref("o", B, Q, dtype=np.int64)), "a cross-entropy of another form"),
        (*crossed(losses=ref("l", B + 1)), "a cross-entropy of another form"),
        (*crossed(labels=ref("y", B, dtype=np.int32)), "a cross-entropy of another type"),
        (*crossed(e=ref("e", B, Q + 1)), "a cross-entropy of another form"),
    ],
)
def test_reasons(function, args, out, reason):
    with pytest.raises(UnknownError, match=reason):
        of(function, args, out)


def test_steps_that_depend_on_one_another():
    before, after = (ref("h", H, when=When.ALL, offset=n, time=1) for n in (0, 1))
    after = Ref(before.buffer, When.ALL, 1)
    with pytest.raises(UnknownError, match="steps that depend on one another"):
        nest_of(Instr(np.negative, (before,), after), "", Memory(), {})
