"""Packed matrices: panels one after the other, padded with zeros."""

import numpy as np
import pytest

pytest.importorskip("llvmlite")

from tests.compiler.native.machine_code import built
from tinygrad_rnn.compiler.backends.native import objects
from tinygrad_rnn.compiler.backends.native.packing import pack, packed_size, panels, transposed
from tinygrad_rnn.compiler.backends.native.text import Vector

MACHINE = objects.machine()
LANES = MACHINE.lanes("float")


@pytest.mark.parametrize(
    "columns", [1, LANES - 1, LANES, 2 * LANES, 2 * LANES + 3, 5 * LANES, 9 * LANES - 2]
)
@pytest.mark.parametrize("order", ["C", "F"])
def test_packed(columns, order):
    depth = LANES + 3  # one square block to transpose, and some rows
    matrix = np.random.default_rng(columns).standard_normal((depth, columns)).astype(np.float32)
    matrix = np.array(matrix, order=order)
    strides = tuple(s // 4 for s in matrix.strides)

    def write(f, source, target):
        name = pack(f.module, "float", MACHINE, matrix.shape, strides)
        f.do(f"call void @{name}({source}, {target})")

    packed = np.full(packed_size(depth, columns, LANES), np.nan, np.float32)
    built(write, 2)(matrix, packed)
    start, first = 0, 0
    for group in panels(columns, LANES, MACHINE.vectors):
        width = len(group) * LANES
        panel = packed[start : start + depth * width].reshape(depth, width)
        count = sum(group)
        np.testing.assert_array_equal(panel[:, :count], matrix[:, first : first + count])
        assert not panel[:, count:].any()
        start, first = start + panel.size, first + count
    assert start == packed.size and first == columns


def test_a_square_block_is_transposed_in_registers():
    form = Vector("float", 4)

    def write(f, source, target):
        rows = [f.load(f.at(source, 4 * n, "float"), form) for n in range(4)]
        for n, row in enumerate(transposed(f, rows)):
            f.store(row, f.at(target, 4 * n, "float"))

    square, found = np.arange(16, dtype=np.float32).reshape(4, 4), np.zeros((4, 4), np.float32)
    built(write, 2)(square, found)
    np.testing.assert_array_equal(found, square.T)
