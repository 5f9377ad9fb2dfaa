"""LLVM IR as text: constants, vectors and loops mean what they say."""

import numpy as np
import pytest

pytest.importorskip("llvmlite")

from tests.compiler.native.machine_code import built
from tinygrad_rnn.compiler.backends.native.text import INDEX, Vector, constant

FLOAT = Vector("float")


def test_constants_are_exact():
    numbers = [0.1, -0.0, np.inf, np.nan, 1e-45, 3.0]

    def write(f, out):
        for n, number in enumerate(numbers):
            f.store(constant(FLOAT, number), f.at(out, n, "float"))

    out = np.zeros(len(numbers), np.float32)
    built(write)(out)
    np.testing.assert_array_equal(out, np.array(numbers, np.float32))
    assert np.signbit(out[1])


def test_types():
    assert str(Vector("double", 4)) == "<4 x double>" and Vector("double", 4).suffix == "v4f64"
    assert str(FLOAT) == "float" and FLOAT.suffix == "f32" and FLOAT.of("i1").kind == "i1"


@pytest.mark.parametrize(("count", "step"), [(0, 1), (1, 1), (7, 1), (7, 3)])
def test_a_loop_runs_so_often(count, step):
    def write(f, out, n):
        with f.loop(0, n, step) as i:
            f.store(f.binary("add", i, 1), f.at(out, i, "i64"))

    out = np.zeros(8, np.int64)
    built(write, 1, 1)(out, count)
    expected = np.zeros(8, np.int64)
    expected[: count or None : step] = np.arange(1, 9)[: count or None : step] if count else 0
    np.testing.assert_array_equal(out, expected)


def test_lanes_are_taken_padded_and_spread():
    four, two = Vector("float", 4), Vector("float", 2)

    def write(f, given, out):
        values = f.load(given, four)
        f.store(f.lanes(values, 1, 2), out)
        f.store(f.padded(f.load(given, two), 4), f.at(out, 2, "float"))
        f.store(f.spread(f.lanes(values, 3, 1), 4), f.at(out, 6, "float"))
        f.store(f.shuffle(values, values, [7, 0]), f.at(out, 10, "float"))

    given, out = np.array([1, 2, 3, 4], np.float32), np.full(12, np.nan, np.float32)
    built(write, 2)(given, out)
    np.testing.assert_array_equal(out, [2, 3, 1, 2, 0, 0, 4, 4, 4, 4, 4, 1])


def test_comparisons_and_casts():
    def write(f, given, out):
        value = f.load(given, Vector("double"))
        truth = f.compare("ogt", value, 1.5)
        f.store(f.cast("zext", truth, "i64"), out)
        f.store(f.select(truth, constant(INDEX, 5), constant(INDEX, 6)), f.at(out, 1, "i64"))

    for number, expected in ((2.0, [1, 5]), (1.0, [0, 6]), (np.nan, [0, 6])):
        out = np.zeros(2, np.int64)
        built(write, 2)(np.array([number]), out)
        np.testing.assert_array_equal(out, expected)
