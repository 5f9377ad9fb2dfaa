"""Loops over steps and rows: forward and back, and in parts."""

import numpy as np
import pytest

pytest.importorskip("llvmlite")

from tests.compiler.native.machine_code import run_nest
from tests.compiler.native.test_nests import STEPS
from tinygrad_rnn.compiler.backends.native.nests import Nest, Place, Span, Work
from tinygrad_rnn.compiler.ir import Buffer, Storage

ROWS, COLUMNS, T = 29, 19, 5
FLOAT = np.dtype(np.float32)


def buffer(name, *shape, time=0):
    return Buffer(name, shape, FLOAT, Storage.SCRATCH, time=time)


def place(of, step=ROWS * COLUMNS, offset=0):
    return Place(of, Span(0, offset), step, ROWS, COLUMNS, (COLUMNS, 1))


STATES = buffer("states", ROWS, COLUMNS, time=1)
MATRIX = Place(buffer("W", COLUMNS, COLUMNS, time=None), Span(0, 0), 0, COLUMNS, COLUMNS, (19, 1))
PRODUCT = place(buffer("product", ROWS, COLUMNS, time=None), 0)
INPUTS = place(buffer("inputs", ROWS, COLUMNS))
recurrent = Nest(
    STEPS,
    (
        Work("product", (place(STATES), MATRIX, INPUTS), (PRODUCT,), ""),
        Work("tanh", (PRODUCT,), (place(STATES, offset=ROWS * COLUMNS),), ""),
    ),
    False,
)


def arrays(seed=0):
    rng = np.random.default_rng(seed)
    made = {
        STATES: np.zeros((T + 1, ROWS, COLUMNS)),
        MATRIX.root: rng.standard_normal((COLUMNS, COLUMNS)) / 4,
        PRODUCT.root: np.zeros((ROWS, COLUMNS)),
        INPUTS.root: rng.standard_normal((T, ROWS, COLUMNS)),
    }
    return {b: np.ascontiguousarray(a, np.float32) for b, a in made.items()}


def test_a_recurrent_loop():
    given = arrays()
    run_nest(recurrent, given, T)
    h = np.zeros((ROWS, COLUMNS), np.float32)
    for t in range(T):
        h = np.tanh(given[INPUTS.root][t] + h @ given[MATRIX.root])
        np.testing.assert_allclose(given[STATES][t + 1], h, atol=2e-6)


def test_parts_have_the_bits_of_the_whole():
    whole, parts = arrays(), arrays()
    run_nest(recurrent, whole, T)
    for part in range(3):
        run_nest(recurrent, parts, T, (part, 3))
    np.testing.assert_array_equal(parts[STATES], whole[STATES])


def test_the_last_step_first():
    """y_{t} = x_t, where all steps write to one place: the first step's number stays."""
    source, target = place(buffer("x", ROWS, COLUMNS)), PRODUCT
    nest = Nest(STEPS, (Work("copy", (source,), (target,), ""),), False)
    x = np.random.default_rng(1).standard_normal((T, ROWS, COLUMNS)).astype(np.float32)
    out = np.zeros((ROWS, COLUMNS), np.float32)
    for loop, expected in ((nest, x[-1]), (nest.backwards(), x[0])):
        run_nest(loop, {source.root: x, target.root: out}, T)
        np.testing.assert_array_equal(out, expected)


def test_no_steps():
    given = arrays()
    run_nest(recurrent, given, 0)
    assert not given[STATES].any()
