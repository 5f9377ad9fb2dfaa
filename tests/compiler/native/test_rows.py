"""Works on one row: reductions and cross-entropies, with widths that fill no vector."""

import numpy as np
import pytest

pytest.importorskip("llvmlite")

from tests.compiler.native.machine_code import run_nest
from tinygrad_rnn.compiler import operations
from tinygrad_rnn.compiler.backends.native.nests import Nest, Place, Span, Work
from tinygrad_rnn.compiler.ir import Buffer, Storage

ONCE = Span(0, 1)


def place(name, array):
    """The place of an array of rows, or of one number for each row."""
    rows, columns = array.shape if array.ndim == 2 else (len(array), 1)
    buffer = Buffer(name, array.shape, array.dtype, Storage.SCRATCH)
    return Place(buffer, Span(0, 0), 0, rows, columns, (columns, int(array.ndim == 2)))


def run(kind, given, outs):
    places = [place(f"given{n}", a) for n, a in enumerate(given)]
    made = [place(f"out{n}", a) for n, a in enumerate(outs)]
    nest = Nest(ONCE, (Work(kind, tuple(places), tuple(made), ""),), False)
    arrays = {p.root: a for p, a in zip([*places, *made], [*given, *outs], strict=True)}
    return run_nest(nest, arrays, 1)


@pytest.mark.parametrize("columns", [1, 5, 16, 37])
@pytest.mark.parametrize("kind", ["sum", "mean", "max"])
def test_reductions(kind, columns):
    rows = np.random.default_rng(columns).standard_normal((3, columns))
    out = np.zeros(3)
    run(kind, [rows], [out])
    np.testing.assert_allclose(out, getattr(np, kind)(rows, axis=1), atol=1e-14)


@pytest.mark.parametrize("apart", [0, 2, -1, 40])
@pytest.mark.parametrize("kind", ["sum", "mean", "max"])
def test_reductions_of_columns_that_are_not_side_by_side(kind, apart):
    """A number for all columns, every other column, columns in reverse, and a transposed array."""
    given, out = np.random.default_rng(0).standard_normal(40 * 37), np.zeros(3)
    root = Buffer("given", given.shape, given.dtype, Storage.SCRATCH)
    start, down = max(0, -36 * apart), 1 if apart == 40 else 100
    of, into = Place(root, Span(0, start), 0, 3, 37, (down, apart)), place("out", out)
    nest = Nest(ONCE, (Work(kind, (of,), (into,), ""),), False)
    run_nest(nest, {root: given, into.root: out}, 1)
    rows = given[start + down * np.arange(3)[:, None] + apart * np.arange(37)]
    np.testing.assert_allclose(out, getattr(np, kind)(rows, axis=1), atol=1e-13)


def test_the_largest_of_a_row_with_nan_is_nan():
    rows = np.zeros((2, 37))
    rows[0, 20] = np.nan
    out = np.zeros(2)
    run("max", [rows], [out])
    np.testing.assert_array_equal(out, [np.nan, 0])


@pytest.mark.parametrize("columns", [2, 21, 64])
def test_cross_entropies(columns):
    rng = np.random.default_rng(columns)
    logits = rng.standard_normal((4, columns)) * 200  # exponentials of the numbers are infinite
    labels = rng.integers(0, columns, 4)
    losses, e, sums, out = np.zeros(4), np.zeros((4, columns)), np.zeros(4), np.zeros((4, columns))
    assert run("cross_entropies", [logits, labels], [losses, e, sums]) == 0
    shifted = logits - logits.max(1, keepdims=True)
    total = np.log(np.exp(shifted).sum(1))
    np.testing.assert_allclose(losses, total - shifted[np.arange(4), labels], rtol=1e-13)
    weights = rng.standard_normal(4)
    run("cross_entropy_gradient", [e, sums, labels, weights], [out])
    softmax = np.exp(shifted - total[:, None])
    softmax[np.arange(4), labels] -= 1
    np.testing.assert_allclose(out, softmax * weights[:, None], atol=1e-14)


@pytest.mark.parametrize("label", [-1, 3, 2**40])
def test_an_invalid_label_is_told(label):
    logits, losses, e, sums = np.zeros((2, 3)), np.zeros(2), np.zeros((2, 3)), np.zeros(2)
    assert run("cross_entropies", [logits, np.array([0, label])], [losses, e, sums]) == 1
    with pytest.raises((IndexError, ValueError)):
        operations.cross_entropies(logits, np.array([0, label]), np.ones(3))


@pytest.mark.parametrize("columns", [1, 5, 37])
def test_truth_values(columns):
    mask = np.random.default_rng(columns).random((3, columns)) < 0.5
    out, numbers = np.zeros_like(mask), np.zeros((3, columns))
    run("logical_not", [mask], [out])
    np.testing.assert_array_equal(out, ~mask)
    run("copy", [mask], [numbers])
    np.testing.assert_array_equal(numbers, mask)


@pytest.mark.parametrize("number", [True, False, 2.0])
def test_truth_values_and_a_number(number):
    mask, x, out = np.arange(111).reshape(3, 37) % 3 == 0, np.ones((3, 37)), np.zeros((3, 37))
    both = np.zeros_like(mask)
    a, b, c, d = (place(n, v) for n, v in (("a", mask), ("b", x), ("c", both), ("d", out)))
    works = Work("logical_and", (a, number), (c,), ""), Work("where", (number, a, b), (d,), "")
    run_nest(Nest(ONCE, works, False), {a.root: mask, b.root: x, c.root: both, d.root: out}, 1)
    np.testing.assert_array_equal(both, np.logical_and(mask, number))
    np.testing.assert_array_equal(out, np.where(number, mask, x))


@pytest.mark.parametrize("columns", [1, 5, 37])
def test_columns_that_stand_apart(columns):
    given = np.random.default_rng(columns).standard_normal((3, columns))
    out = np.zeros((3, 2 * columns))
    apart = Place(Buffer("out", out.shape, out.dtype, Storage.SCRATCH), Span(0, 0), 0, 3, columns,
                  (2 * columns, 2))  # fmt: skip
    a = place("a", given)
    there = Nest(ONCE, (Work("negative", (a,), (apart,), ""),), False)
    run_nest(there, {a.root: given, apart.root: out}, 1)
    np.testing.assert_array_equal(out[:, ::2], -given)
    assert not out[:, 1::2].any()
    back = Nest(ONCE, (Work("negative", (apart,), (a,), ""),), False)
    out *= 2
    run_nest(back, {a.root: given, apart.root: out}, 1)
    np.testing.assert_array_equal(given, -out[:, ::2])
