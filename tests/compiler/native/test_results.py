"""Results: used again when nobody has them any more, and never written while somebody does."""

import ctypes
import weakref

import numpy as np
import pytest

pytest.importorskip("llvmlite")

import tinygrad_rnn as tg
from tests.compiler.programs import B, D, H, inputs
from tinygrad_rnn.compiler.backends.native import results
from tinygrad_rnn.compiler.backends.native.arguments import AXES, OBJECTS
from tinygrad_rnn.compiler.backends.native.results import KEPT, is_kept
from tinygrad_rnn.compiler.ir import Buffer, Storage


class Training:
    """Steps of one model, whose gradients are W_hh's alone."""

    def __init__(self, **options):
        self.cell = tg.RNNCell(D, H, rng=0)
        self.native, self.numpy = (
            tg.BPTT(self.cell, tg.mse, backend=b, **o)
            for b, o in (("native", options), ("numpy", {}))
        )
        self.calls = 0

    def gradient(self, bptt=None):
        """The gradient of the next inputs, which nobody else has."""
        self.calls += bptt is not self.numpy
        xs = inputs(B) * self.calls
        (bptt or self.native)(xs, np.ones((len(xs), B, H)))
        found = self.cell.W_hh.grad
        for parameter in self.cell.parameters().values():
            parameter.grad = None
        return found

    def check(self, found):
        assert found.shape == (H, H) and found.flags.writeable and found.dtype == float
        np.testing.assert_allclose(found, self.gradient(self.numpy), atol=1e-14)


@pytest.mark.parametrize("options", [{}, {"threads": 2}])
def test_they_are_used_again(options):
    train = Training(**options)
    first = id(train.gradient())
    for _ in range(3):
        found = train.gradient()
        assert id(found) == first
        train.check(found)
        del found


HOLDERS = {
    "the array": lambda a: a,
    "a view": lambda a: a[1:].T,
    "a memoryview": lambda a: memoryview(a)[1:],
    "a pointer": lambda a: a.ctypes,
    "another array of the memory": lambda a: np.frombuffer(a),
    "a list": lambda a: [[a]],
}


@pytest.mark.parametrize("holder", HOLDERS)
def test_what_somebody_has_is_not_written(holder):
    train = Training()
    for _ in range(3):
        found = train.gradient()
        before, address, held = found.copy(), found.ctypes.data, HOLDERS[holder](found)
        del found
        after = train.gradient()
        assert after.ctypes.data != address
        train.check(after)
        there = np.ctypeslib.as_array((ctypes.c_double * H * H).from_address(address))
        np.testing.assert_array_equal(there, before)
        del held, after


def test_a_weak_reference_does_not_see_other_numbers():
    train = Training()
    seen = weakref.ref(train.gradient())
    train.check(train.gradient())
    assert seen() is None


def reshaped_in_place(a):
    """Another shape at the address of the old one, where NumPy may put it."""
    axes = ctypes.c_size_t.from_address(id(a) + 8 * AXES).value
    (ctypes.c_int64 * 2).from_address(axes)[:] = 1, a.size
    assert a.shape == (1, a.size)


CHANGES = {
    "shape": lambda a: a.resize((a.size,), refcheck=False),
    "shape in place": reshaped_in_place,
    "flags": lambda a: a.setflags(write=False),
    "memory": lambda a: a.resize((100, 100), refcheck=False),
}


@pytest.mark.parametrize("change", CHANGES)
def test_an_array_that_was_changed_is_not_used_again(change):
    train = Training()
    for _ in range(2):
        CHANGES[change](train.gradient())
        train.check(train.gradient())


def result(entries, time=None):
    return Buffer("dW", (entries,), np.dtype(np.float64), Storage.RESULT, time=time)


def test_an_interrupt_leaves_no_address_of_arrays_that_are_gone(monkeypatch):
    made = results.Results((result(3),), [0])

    def interrupted(thing):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(results, "id", interrupted, raising=False)
        with pytest.raises(KeyboardInterrupt):
            made.renew()
    assert made.list[OBJECTS] == id(made.arrays)


def test_large_arrays_and_arrays_of_all_steps_are_made_anew():
    assert is_kept(result(KEPT // 8))
    assert not is_kept(result(KEPT // 8 + 1)) and not is_kept(result(1, time=0))
