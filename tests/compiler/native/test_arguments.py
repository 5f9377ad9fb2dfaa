"""Arguments: machine code finds an array of the expected form, and refuses every other object."""

import ctypes

import numpy as np
import pytest

pytest.importorskip("llvmlite")

from tests.compiler.native.machine_code import P
from tinygrad_rnn.compiler.backends.native import objects
from tinygrad_rnn.compiler.backends.native.arguments import OBJECTS, Arguments, taken
from tinygrad_rnn.compiler.backends.native.text import POINTER, Module

FLOAT, LONG = np.dtype(np.float64), np.dtype(np.int64)


class Call:
    """A call with two arrays: the first may be the number 0."""

    def __init__(self):
        module = Module()
        f = module.function("look", [POINTER, POINTER], "i64", public=True)
        table, expected = map(str, f.parameters)
        f.do(f"%found = call i64 @{taken(module)}({table}, {expected})")
        f.do("ret i64 %found")
        assert taken(module) == "taken"  # written once
        self.library = objects.library(str(module))
        self.zeros = np.zeros(3)
        self.arguments = Arguments([2, 0], [FLOAT, LONG], [self.zeros, None])

    def __call__(self, *given):
        """What was found, and the addresses."""
        table = (ctypes.c_size_t * 3)()
        self.arguments.list[OBJECTS] = id(given)
        look = self.library.function("look", P, P)
        found = look(ctypes.addressof(table), self.arguments.address)
        return found, [table[2], table[0]]


@pytest.fixture(scope="module")
def call():
    return Call()


NUMBERS = np.arange(12.0).reshape(3, 4)
LABELS = np.arange(3)


def test_addresses(call):
    for array in (NUMBERS, NUMBERS[1:], NUMBERS[:1, :1], np.array(1.0), np.empty((0, 3))):
        assert call(array, LABELS) == (0, [array.ctypes.data, LABELS.ctypes.data])
    assert call(0, LABELS) == (0, [call.zeros.ctypes.data, LABELS.ctypes.data])


class Heir(np.ndarray):
    pass


REFUSED = {
    "strides": NUMBERS.T,
    "dtype": NUMBERS.astype(np.float32),
    "byte order": NUMBERS.astype(">f8"),
    "metadata": NUMBERS.astype(np.dtype(float, metadata={"a": 1})),
    "alignment": np.zeros(97, np.int8)[1:].view(float).reshape(3, 4),
    "subclass": NUMBERS.view(Heir),
    "list": NUMBERS.tolist(),
    "scalar": NUMBERS[1, 1],
}


@pytest.mark.parametrize("form", REFUSED)
def test_what_is_refused_is_replaced_by_an_equal_array(call, form):
    given = REFUSED[form], LABELS
    failed, _ = call(*given)
    assert failed == -1
    while failed:
        given = call.arguments.accepted(given, failed)
        failed, addresses = call(*given)
    assert given[0].ctypes.data == addresses[0] and given[1] is LABELS
    np.testing.assert_array_equal(given[0].reshape(np.shape(REFUSED[form])), REFUSED[form])


def test_a_number_stands_for_an_array_only_where_it_may(call):
    assert call(NUMBERS, 0)[0] == -2
    assert call(0.0, LABELS)[0] == -1


def test_another_layout_of_arrays_is_told(call):
    """Machine code that refuses what it should accept would be called forever."""
    with pytest.raises(RuntimeError, match="does not know where NumPy"):
        call.arguments.accepted((NUMBERS, LABELS), -2)
