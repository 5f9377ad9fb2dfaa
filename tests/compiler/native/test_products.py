"""Products with packed matrices, for sizes that fill the tiles and sizes that do not."""

import ctypes
import itertools

import numpy as np
import pytest

pytest.importorskip("llvmlite")

from tinygrad_rnn.compiler.backends.native import objects, packing, products
from tinygrad_rnn.compiler.backends.native.text import KINDS, Module

P, N = ctypes.c_void_p, ctypes.c_int64
SIZES = [(1, 1, 1), (1, 61, 33), (2, 5, 16), (7, 17, 65), (9, 32, 32), (13, 3, 100), (24, 40, 28)]


def compiled(dtype, sizes, machine=None):
    """For each (depth, columns): the functions that pack, multiply, and multiply and add."""
    kind, machine = KINDS[np.dtype(dtype)], machine or objects.machine()
    module = Module()
    for depth, columns in sizes:
        made = {
            **{
                order: packing.pack(module, kind, machine, (depth, columns), strides)
                for order, strides in orders(depth, columns).items()
            },
            "multiply": products.product(module, kind, machine, depth, columns, False),
            "add": products.product(module, kind, machine, depth, columns, True),
        }
        for what, inner in made.items():
            types = [p.type for p in module.functions[inner].parameters]
            f = module.function(f"{what}_{depth}_{columns}", types, "i64", public=True)
            f.do(f"call void @{inner}({', '.join(map(str, f.parameters))})")
            f.do("ret i64 0")
    library = objects.library(str(module))

    def function(what, depth, columns):
        types = (P, N, P, P, N, P, N, N) if what in ("multiply", "add") else (P, P)
        return library.function(f"{what}_{depth}_{columns}", *types)

    function.library = library
    return function


def orders(depth, columns):
    """In which order the entries of a matrix may stand, and its strides then."""
    return {"rows": (columns, 1), "columns": (1, depth), "neither": (2 * columns, 2)}


def guarded(shape, dtype, more=0):
    """An array in the middle of NaNs, rows so much longer than its columns; and the whole."""
    rows, columns = shape
    whole = np.full((rows + 2, columns + more + 32), np.nan, dtype)
    return whole[1:-1, 16 : 16 + columns], whole


def check(dtype, function, rows, depth, columns, lanes, order):
    rng = np.random.default_rng(rows * depth + columns)
    size = np.dtype(dtype).itemsize
    left, _ = guarded((rows, depth), dtype)
    left[...] = rng.standard_normal((rows, depth))
    strides = [s * size for s in orders(depth, columns)[order]]
    memory = np.full(2 * depth * columns, np.nan, dtype)
    matrix = np.lib.stride_tricks.as_strided(memory, (depth, columns), strides)
    matrix[...] = rng.standard_normal((depth, columns))
    added, _ = guarded((rows, columns), dtype, 3)
    added[...] = rng.standard_normal((rows, columns))
    packed = np.full(packing.packed_size(depth, columns, lanes) + 16, np.nan, dtype)
    function(order, depth, columns)(matrix.ctypes.data, packed.ctypes.data)
    assert np.isnan(packed[-16:]).all() and not np.isnan(packed[:-16]).any()
    for what in ("multiply", "add"):
        out, whole = guarded((rows, columns), dtype, 5)
        function(what, depth, columns)(
            *(left.ctypes.data, left.strides[0] // size, packed.ctypes.data),
            *(out.ctypes.data, out.strides[0] // size),
            *(added.ctypes.data, added.strides[0] // size, rows),
        )
        exact = left.astype(np.longdouble) @ matrix
        exact += added if what == "add" else 0
        tolerance = 1e-6 if dtype is np.float32 else 1e-14
        np.testing.assert_allclose(out, exact, rtol=0, atol=tolerance * np.abs(exact).max())
        assert np.isnan(whole).sum() == whole.size - out.size, "written beside the result"


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_products(dtype):
    function = compiled(dtype, {size[1:] for size in SIZES})
    lanes = objects.machine().lanes(KINDS[np.dtype(dtype)])
    for (rows, depth, columns), order in itertools.product(SIZES, orders(1, 1)):
        check(dtype, function, rows, depth, columns, lanes, order)


def test_what_is_fetched_ahead_changes_no_number(monkeypatch):
    monkeypatch.setattr(products, "FAR", 0)
    test_products(np.float32)


@pytest.mark.parametrize(("register", "tile"), [(32, 6), (16, 6)])
def test_other_registers_and_tiles(register, tile):
    """Those of AVX2 and of NEON, as far as this processor can run them."""
    machine = objects.machine()._replace(bytes=register, rows=tile, vectors=2)
    function = compiled(np.float32, {size[1:] for size in SIZES[3:]}, machine)
    for size in SIZES[3:]:
        check(np.float32, function, *size, machine.lanes("float"), "columns")
