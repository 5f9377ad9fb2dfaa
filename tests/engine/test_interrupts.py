"""Ctrl-C at any moment leaves recording, collector, locks, gradients and Tensors as they were.

Real signals, from a timer, at random moments: Python raises them where it would raise Ctrl-C.
"""

import ast
import dis
import gc
import random
import signal
import threading
import time
import types
from pathlib import Path

import numpy as np
import pytest

import tinygrad_rnn as tg
from tinygrad_rnn.engine.recording import UNMARKED, _innermost, current_mark, depth
from tinygrad_rnn.engine.substitution import contents_lock, substituted
from tinygrad_rnn.support.collector import AT_REST, without_collection

pytestmark = pytest.mark.skipif(
    not hasattr(signal, "setitimer"), reason="this system has no timer that sends signals"
)


class Stop(KeyboardInterrupt):
    pass


def interrupted(work, within):
    """Run `work` and interrupt it at a random moment; whether that came in time."""
    armed = True

    def handler(*_):
        if armed:
            raise Stop

    before = signal.signal(signal.SIGALRM, handler)
    try:
        signal.setitimer(signal.ITIMER_REAL, max(1e-6, random.random() * within))
        work()
        armed = False
        return False
    except Stop:
        return True
    finally:
        armed = False
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def duration(work):
    work()
    times = []
    for _ in range(10):
        begin = time.perf_counter()
        work()
        times.append(time.perf_counter() - begin)
    return sorted(times)[5]


cell, xs = tg.RNNCell(2, 3, rng=0), np.ones((3, 1, 2))
parameters = list(cell.parameters().values())
many = [tg.Tensor(np.full(2, 1.0), requires_grad=True) for _ in range(40)]
others = [tg.Tensor(np.full(2, 2.0), requires_grad=True) for _ in range(40)]


def train():
    np.sum(tg.unroll(cell, xs)[1]).backward()


def train_compiled():
    np.sum(tg.scan(cell, xs)[1]).backward()


def watched():
    with tg.anomaly():
        train()


def blocks():
    for t in range(20):
        with tg.step(t), tg.scope("x"), tg.no_grad():
            pass


def exchange():
    with substituted(many, others):
        pass


def many_gradients():
    sum(np.sum(w) for w in many).backward()


def hessian():
    tg.hvp(lambda w: np.sum(np.tanh(w) ** 2), np.ones(2), np.ones(2))


WORK = [train, train_compiled, watched, blocks, exchange, many_gradients, hessian]


def is_free(lock):
    taken = []

    def take():
        taken.append(lock.acquire(blocking=False))
        if taken[0]:
            lock.release()

    thread = threading.Thread(target=take)
    thread.start()
    thread.join()
    return taken[0]


# In a weak reference's callback or in __del__ Python prints the exception, and goes on.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("work", WORK)
def test_everything_is_as_it_was(work):
    within, nodes = duration(work), [tensor._node for tensor in (*many, *parameters)]
    hits = 0
    random.seed(0)
    threshold = gc.get_threshold()
    errors = np.geterr()
    deadline = time.monotonic() + 20
    while hits < 120 and time.monotonic() < deadline:
        for tensor in (*many, *parameters):
            tensor.grad = None
        if not interrupted(work, within):
            continue
        hits += 1
        assert gc.isenabled() and gc.get_threshold() == threshold
        assert current_mark() is UNMARKED and depth.get() == 0
        assert _innermost.get() is None or _innermost.get().is_closed
        assert np.geterr() == errors
        assert all(t._node is n for t, n in zip((*many, *parameters), nodes, strict=True))
        assert all(t.data[0] == 1.0 for t in many)
        for group in (many, parameters):
            assert len({tensor.grad is None for tensor in group}) == 1  # all of them, or none
        if hits % 40 == 0:
            assert is_free(contents_lock)
    assert hits
    work()


def test_what_others_set_meanwhile_stays():
    before = gc.get_threshold()
    try:
        without_collection(gc.disable)
        assert not gc.isenabled()
        without_collection(gc.set_threshold, 5, 6, 7)
        assert gc.get_threshold()[0] == 5
    finally:
        gc.enable()
        gc.set_threshold(*before)


def test_the_collector_rests_only_inside():
    before, inside = gc.get_threshold(), []
    without_collection(lambda: without_collection(lambda: inside.append(gc.get_threshold()[0])))
    assert inside == [AT_REST] and gc.get_threshold() == before


def test_gradients_stay_when_a_rule_fails():
    def broken(g):
        raise RuntimeError("broken")

    bad = tg.derivative(lambda x: x * 1.0, broken)
    first, second = (tg.Tensor(1.0, requires_grad=True) for _ in range(2))
    with pytest.raises(RuntimeError, match="broken"):
        (bad(first) + second).backward()
    assert first.grad is None and second.grad is None


def codes_in(code):
    yield code
    for part in code.co_consts:
        if isinstance(part, types.CodeType):
            yield from codes_in(part)


def jumps_outside(source):
    """The lines within a `try ... finally` or a `with` whose jump back no handler covers."""
    bodies = [
        range(node.body[0].lineno, node.body[-1].end_lineno + 1)
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.With) or (isinstance(node, ast.Try) and node.finalbody)
    ]
    for code in codes_in(compile(source, "source", "exec")):
        if "genexpr" in code.co_name:  # its exception arises again where it is used
            continue
        found = dis.Bytecode(code)
        for step in found:
            covered = any(e.start <= step.offset < e.end for e in found.exception_entries)
            if step.opname == "JUMP_BACKWARD" and not covered:
                inside = [body for body in bodies if step.positions.lineno in body]
                if any(code.co_firstlineno < body.start for body in inside):
                    yield step.positions.lineno


PACKAGE = Path(tg.__file__).parent


@pytest.mark.parametrize(
    "path", sorted(PACKAGE.rglob("*.py")), ids=lambda path: str(path.relative_to(PACKAGE))
)
def test_ctrl_c_at_a_jump_does_not_pass_the_finally_by(path):
    assert list(jumps_outside(path.read_text())) == []
