"""Elementwise calls: NumPy's values, for numbers, infinities and NaN."""

import inspect

import numpy as np
import pytest

pytest.importorskip("llvmlite")

from tests.compiler.native.machine_code import built
from tinygrad_rnn.compiler.backends.native.operations import OPERATIONS, operation
from tinygrad_rnn.compiler.backends.native.text import Vector

VALUES = np.array([-np.inf, -3.5, -1.0, -0.0, 0.0, 0.7, 2.0, np.inf, np.nan])
OF_TRUTHS = {"logical_and", "logical_or", "logical_not", "where"}


@pytest.mark.parametrize("lanes", [1, 8])
@pytest.mark.parametrize("name", sorted(set(OPERATIONS) - OF_TRUTHS - {"copy"}))
def test_of_numbers(name, lanes):
    ufunc = getattr(np, name)
    pairs = np.array(np.meshgrid(VALUES, VALUES)).reshape(2, -1)[:, : 80 - 80 % lanes]
    form = Vector("double", lanes)

    def write(f, a, b, out):
        for n in range(0, pairs.shape[1], lanes):
            args = [f.load(f.at(x, n, "double"), form) for x in (a, b)][: ufunc.nin]
            y = operation(f, name, args)
            y = f.cast("uitofp", y, "double") if y.type.kind == "i1" else y
            f.store(y, f.at(out, n, "double"))

    out = np.empty(pairs.shape[1])
    built(write, 3)(*np.ascontiguousarray(pairs), out)
    with np.errstate(all="ignore"):
        expected = ufunc(*pairs[: ufunc.nin])
    np.testing.assert_allclose(out, expected, rtol=1e-15, atol=0)


def test_of_truth_values():
    a, b = np.array([0, 0, 1, 1], np.int8), np.array([0, 1, 0, 1], np.int8)
    for name in ("logical_and", "logical_or", "logical_not"):
        ufunc = getattr(np, name)

        def write(f, a, b, out, name=name, count=ufunc.nin):
            for n in range(4):
                args = [f.load(f.at(x, n, "i8"), Vector("i8")) for x in (a, b)][:count]
                y = operation(f, name, [f.compare("ne", v, 0) for v in args])
                f.store(f.cast("zext", y, "i8"), f.at(out, n, "i8"))

        out = np.empty(4, np.int8)
        built(write, 3)(a, b, out)
        np.testing.assert_array_equal(out, ufunc(*(a, b)[: ufunc.nin]))


def test_every_operation_takes_what_numpy_takes():
    for name, rule in OPERATIONS.items():
        count = len(inspect.signature(rule).parameters) - 1
        assert count == getattr(getattr(np, name), "nin", {"copy": 1, "where": 3}.get(name))
