"""Tiles: every row is in one tile, and the sums stay in the registers of each kind of processor."""

import re

import numpy as np
import pytest

pytest.importorskip("llvmlite")

import llvmlite.binding as llvm

from tests.compiler.native.machine_code import built
from tinygrad_rnn.compiler.backends.native import objects
from tinygrad_rnn.compiler.backends.native.text import INDEX, Module, constant
from tinygrad_rnn.compiler.backends.native.tiles import in_tiles, tile

PROCESSORS = {
    "avx512": (
        "x86_64-unknown-linux-gnu",
        objects.Machine("x86-64-v4", "-prefer-256-bit", 64, 8, 3),
    ),
    "avx2": ("x86_64-unknown-linux-gnu", objects.Machine("x86-64-v3", "", 32, 6, 2)),
    "neon": ("aarch64-unknown-linux-gnu", objects.Machine("generic", "+neon", 16, 6, 4)),
}
MULTIPLIED = {"avx512": r"vfmadd\S+\s.*zmm", "avx2": r"vfmadd\S+\s.*ymm", "neon": r"fmla"}
STACK = r"\((%rsp|%rbp)\)|\[sp"


@pytest.mark.parametrize("rows", [0, 1, 3, 8, 23])
def test_every_row_is_in_one_tile(rows):
    def write(f, seen, count):
        def tiles(row, height):
            for r in range(height):
                at = f.at(f.at(seen, row, "i64"), r, "i64")
                f.store(f.binary("add", f.load(at, INDEX), 1), at)

        in_tiles(f, objects.machine(), count, tiles)

    seen = np.zeros(32, np.int64)
    built(write, 1, 1)(seen, rows)
    assert (seen[:rows] == 1).all() and not seen[rows:].any()


@pytest.mark.parametrize("depth", [1, 7, 8, 50])
@pytest.mark.parametrize("rows", [1, 4])
def test_one_tile(rows, depth):
    """A single row has several sums for each entry, and a depth that is no multiple of them."""
    lanes = objects.machine().lanes("double")
    columns = lanes + 1

    def write(f, left, right, out):
        name = tile(f.module, "double", lanes, rows, [lanes, 1], adds=False)
        n = [constant(INDEX, k) for k in (depth, 1, 2 * lanes, columns)]
        given = [left, n[0], n[1], right, n[2], out, n[3], out, n[3], n[0]]
        f.do(f"call void @{name}({', '.join(map(str, given))})")

    rng = np.random.default_rng(depth)
    left, right = rng.standard_normal((rows, depth)), rng.standard_normal((depth, 2 * lanes))
    out = np.full((rows + 1, columns), np.nan)
    built(write, 3)(left, right, out)
    np.testing.assert_allclose(out[:rows], left @ right[:, :columns], atol=1e-13)
    assert np.isnan(out[rows]).all()


@pytest.mark.parametrize("kind", PROCESSORS)
def test_sums_stay_in_registers(kind):
    """Assembly for the processor, whichever this one is: as many multiplications as the tile has
    sums, and nothing goes to the stack."""
    triple, machine = PROCESSORS[kind]
    llvm.initialize_all_targets()
    llvm.initialize_all_asmprinters()
    try:
        target = llvm.Target.from_triple(triple)
    except RuntimeError:
        pytest.skip(f"this llvmlite does not know {triple}")
    lanes = machine.lanes("float")
    module = Module()
    name = tile(module, "float", lanes, machine.rows, [lanes] * machine.vectors)
    text = re.sub("define internal", "define", str(module))
    with target.create_target_machine(cpu=machine.name, features=machine.features, opt=2) as into:
        assembly = into.emit_assembly(llvm.parse_assembly(text))
    body = assembly.partition(f"{name}:")[2]
    multiplied = [line for line in body.splitlines() if re.search(MULTIPLIED[kind], line)]
    assert len(multiplied) == machine.vectors * machine.rows
    inside = body[body.index(multiplied[0]) : body.index(multiplied[-1])]
    assert not re.search(STACK, inside)
