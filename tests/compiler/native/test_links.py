"""Links: addresses are looked up for arrays that are new, and threads divide what they can."""

import os
import signal
import threading
import time

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


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="needs a signal at a given time")
def test_ctrl_c_waits_for_every_part():
    """Whoever is interrupted may free the arrays that the other parts still use."""
    done = []

    def function(table, part, parts):
        if part:
            time.sleep(0.2)
            done.append(part)
        return 0

    def interrupt(*_):
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.05)
        with pytest.raises(KeyboardInterrupt):
            Divided([(function, Form.DIVIDED)], 2)(0)
        assert done == [1]
    finally:
        signal.signal(signal.SIGALRM, before)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_a_forked_process_has_threads_of_its_own():
    divided = Divided([(lambda table, part, parts: part, Form.DIVIDED)], 2)
    assert divided(0) == 1
    child = os.fork()
    if not child:
        os._exit(divided(0))
    for _ in range(100):
        found, status = os.waitpid(child, os.WNOHANG)
        if found:
            break
        time.sleep(0.1)
    else:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        raise AssertionError("the child waits for a thread that it does not have")
    assert os.waitstatus_to_exitcode(status) == 1


W, V = (tg.Tensor(np.ones((H, n)), requires_grad=True) for n in (3, 9))
LOSSES = {
    "one": lambda h, y: tg.cross_entropy(h @ W, y[..., 0]),
    "two": lambda h, y: tg.cross_entropy(h @ W, y[..., 0]) + tg.cross_entropy(h @ V, y[..., 1]),
    "ignoring": lambda h, y: tg.cross_entropy(h @ V, y[..., 1], ignore_index=-1),
}


@pytest.mark.parametrize(("loss", "part"), [("one", 0), ("two", 0), ("two", 1), ("ignoring", 1)])
def test_labels_are_complained_about_as_in_numpy(loss, part):
    labels = np.zeros((len(inputs(B)), B, 2), int)
    labels[..., 1] = 5
    said = []
    for backend in ("numpy", "native"):
        bptt = tg.BPTT(tg.RNNCell(D, H, rng=0), LOSSES[loss], backend=backend)
        bptt(inputs(B), labels)
        wrong = labels.copy()
        wrong[1, 1, part] = 11
        with pytest.raises(ValueError, match="the labels must lie in") as error:
            bptt(inputs(B), wrong)
        said.append(str(error.value))
    assert said[0] == said[1]


@pytest.mark.parametrize("in_python", [False, True])
def test_labels_of_a_step_are_complained_about(in_python):
    """Also where NumPy does a part of each step, and machine code the rest."""
    U = tg.Tensor(np.ones((H, H)), requires_grad=True)

    def cell(x, state):
        h, total = state
        h = np.tanh(np.einsum("ij,jk->ik", h, U) if in_python else h @ U)
        return h, total * 0.5 + tg.cross_entropy(h @ W + total[:, None], x)

    labels, start = np.zeros((len(inputs(B)), B), int), (np.ones((B, H)), np.zeros(B))
    source = tg.scan_source(cell, labels, start, backend="native")
    assert ("step_forward_1(" in source) == in_python
    labels[2, 1] = 3
    said = []
    for backend in ("numpy", "native"):
        with pytest.raises(ValueError, match=r"must lie in 0\.\.2") as error:
            tg.scan(cell, labels, start, backend=backend)
        said.append(str(error.value))
    assert in_python <= (said[0] == said[1])  # a whole loop tells of the first wrong step, too
