"""Links: addresses are looked up for arrays that are new, and threads divide what they can."""

import threading

import numpy as np
import pytest

pytest.importorskip("llvmlite")

import tinygrad_rnn as tg
from tests.compiler.programs import B, D, H, inputs
from tinygrad_rnn.compiler.backends.native.links import Divided
from tinygrad_rnn.compiler.backends.native.loops import Form


def test_parts_run_one_after_the_other_and_in_parallel():
    done, lock = [], threading.Lock()

    def function(name, failed=0):
        def run(table, part=0, parts=1):
            with lock:
                done.append((name, part, parts))
            return failed

        return run

    parts = [(function("pack"), Form.WHOLE), (function("loop", 2), Form.DIVIDED)]
    parts.append((function("end", 1), Form.WHOLE))
    assert Divided(parts, 3)(0) == 3  # what failed anywhere
    assert done[0] == ("pack", 0, 1) and done[-1] == ("end", 0, 1)
    assert sorted(done[1:-1]) == [("loop", n, 3) for n in range(3)]
    done.clear()
    assert Divided([(function("pack", -2), Form.WHOLE), *parts], 3)(0) == -2
    assert done == [("pack", 0, 1)]  # the addresses are not known


FORMS = {
    "fresh": np.array,
    "transposed": np.asfortranarray,
    "in another order": lambda xs: xs[::-1, :, ::-1],
    "the same": lambda xs: xs,
}


@pytest.mark.parametrize("form", FORMS)
def test_arrays_of_every_call(form):
    """The address of an array is kept, so another array, or one that has to be copied, must not be
    taken for it."""
    cell, xs = tg.RNNCell(D, H, rng=0), inputs(B)
    for _ in range(3):
        xs *= 1.5
        cell.W_hh.data = cell.W_hh.data * 0.9
        given = FORMS[form](xs)
        found, expected = (tg.scan(cell, given, backend=b)[0].data for b in ("native", None))
        np.testing.assert_allclose(found, expected, atol=1e-14)


def test_labels_are_complained_about():
    cell, W = tg.RNNCell(D, H, rng=0), tg.Tensor(np.ones((H, 3)), requires_grad=True)
    bptt = tg.BPTT(cell, lambda h, y: tg.cross_entropy(h @ W, y), backend="native")
    labels = np.zeros((len(inputs(B)), B), int)
    bptt(inputs(B), labels)
    labels[1, 1] = 3
    with pytest.raises((IndexError, ValueError), match="3"):
        bptt(inputs(B), labels)
