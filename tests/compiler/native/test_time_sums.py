"""Sums over all steps, for sizes that fill the tiles and blocks and sizes that do not."""

import ctypes

import numpy as np
import pytest

pytest.importorskip("llvmlite")

from tinygrad_rnn.compiler.backends.native import objects, time_sums
from tinygrad_rnn.compiler.backends.native.text import KINDS, Module

P, N = ctypes.c_void_p, ctypes.c_int64
SIZES = [(1, 1, 1), (5, 1, 300), (300, 2, 40), (129, 17, 33), (70, 40, 65), (260, 23, 16)]
"""Steps, rows and columns of the result."""


def sums(dtype, sizes, machine=None):
    """The functions for some sizes. Each computes two sums, of the left factor and of ones."""
    kind, machine = KINDS[np.dtype(dtype)], machine or objects.machine()
    module = Module()
    for _, rows, columns in sizes:
        inner = time_sums.time_sum(module, kind, machine, (rows, 1), columns)
        types = [p.type for p in module.functions[inner].parameters]
        f = module.function(f"sum_{rows}_{columns}", types, "i64", public=True)
        f.do(f"call void @{inner}({', '.join(map(str, f.parameters))})")
        f.do("ret i64 0")
    library = objects.library(str(module))
    types = (P, N, N, P, N, P, N, N, P, N, P, N, N)

    def result(left, right, first=0, stop=None):
        """Some rows of leftᵀ @ right, and NaN around them; and the sum of the rows of right."""
        rows, columns = left.shape[1], right.shape[1]
        stop = rows if stop is None else stop
        out = np.full((rows + 2, columns + 40), np.nan, dtype)
        ones, total = np.ones(len(left), dtype), np.full(columns, np.nan, dtype)
        size = np.dtype(dtype).itemsize
        library.function(f"sum_{rows}_{columns}", *types)(
            *(right.ctypes.data, right.strides[0] // size, len(left)),
            *(left[:, first:].ctypes.data, left.strides[0] // size),
            *(out[1 + first :, 20:].ctypes.data, out.shape[1], stop - first),
            *(ones.ctypes.data, 1, total.ctypes.data, columns, 1),
        )
        return out, total

    return result


def factors(dtype, steps, rows, columns):
    """Both factors, as columns of wider arrays that hold NaN beside them."""
    rng = np.random.default_rng(steps + rows + columns)
    wide = np.full((2, steps, max(rows, columns) + 9), np.nan, dtype)
    left, right = wide[0, :, :rows], wide[1, :, 3 : 3 + columns]
    left[...], right[...] = (rng.standard_normal(a.shape) for a in (left, right))
    return left, right


def check(dtype, sizes, machine=None):
    result = sums(dtype, sizes, machine)
    for size in sizes:
        left, right = factors(dtype, *size)
        out, total = result(left, right)
        exact = left.T.astype(np.longdouble) @ right
        tolerance = 1e-6 if dtype is np.float32 else 1e-14
        sums_of_rows = right.astype(np.longdouble).sum(axis=0)
        within = tolerance * np.abs(right).sum(axis=0).max()
        np.testing.assert_allclose(total, sums_of_rows, rtol=0, atol=within)
        inner = out[1:-1, 20 : 20 + size[2]]
        np.testing.assert_allclose(inner, exact, rtol=0, atol=tolerance * np.abs(exact).max())
        assert np.isnan(out).sum() == out.size - inner.size, "written beside the result"


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_sums(dtype):
    check(dtype, SIZES)


@pytest.mark.parametrize(("register", "tile"), [(32, 6), (16, 6)])
def test_other_registers_and_tiles(register, tile):
    check(np.float32, SIZES[2:], objects.machine()._replace(bytes=register, rows=tile, vectors=2))


def test_a_part_of_the_rows_has_the_same_bits():
    left, right = factors(np.float32, 150, 24, 40)
    result = sums(np.float32, [(150, 24, 40)])
    rows = objects.machine().rows
    whole, upper, lower = (
        result(left, right)[0],
        result(left, right, 0, rows)[0],
        result(left, right, rows)[0],
    )
    assert np.array_equal(upper[1 : 1 + rows], whole[1 : 1 + rows], equal_nan=True)
    assert np.array_equal(lower[1 + rows :], whole[1 + rows :], equal_nan=True)
    assert np.isnan(upper[1 + rows :]).all() and np.isnan(lower[: 1 + rows]).all()
