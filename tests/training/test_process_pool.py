"""The pool for training: one BLAS thread for each worker, and the same answers."""

import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import CancelledError, Executor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

import numpy as np
import pytest

import tinygrad_rnn as tg
from tinygrad_rnn.training import process_pool
from tinygrad_rnn.training.process_pool import THREADS


def own(*_):
    policy = os.sched_getscheduler(0) if hasattr(os, "sched_getscheduler") else None
    cores = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else None
    return os.getpid(), cores, policy, [os.environ.get(name) for name in THREADS]


def twice(number):
    return 2 * number


def leave(code):
    os._exit(code)


def failing(problem):
    raise problem


class TiedError(Exception):
    """It cannot be sent."""

    def __reduce__(self):
        raise TypeError("not this one")


def tied():
    raise TiedError


@pytest.fixture(scope="module")
def pool():
    with tg.process_pool(2) as pool:
        yield pool


def results(calls):
    return [call.result() for call in calls]


def test_all_workers_have_one_thread_and_compute_in_batch(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    monkeypatch.delenv("MKL_NUM_THREADS", raising=False)
    with tg.process_pool(2) as pool:
        assert os.environ["OMP_NUM_THREADS"] == "7"
        assert "MKL_NUM_THREADS" not in os.environ
        (first, *_, policy, threads), (second, *_) = results([pool.submit(own) for _ in range(2)])
    assert first != second
    assert (policy, threads) == (getattr(os, "SCHED_BATCH", None), ["1"] * len(THREADS))


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="Linux places processes on cores")
def test_each_worker_has_its_core_if_there_is_one_for_each(monkeypatch):
    cores = os.sched_getaffinity(0)
    with tg.process_pool() as pool:
        seen = [placed for _, placed, *_ in results([pool.submit(own) for _ in cores])]
        assert seen == [{core} for core in sorted(cores)]
    with tg.process_pool(len(cores) + 1) as pool:
        assert pool.submit(own).result()[1] == cores
    assert os.sched_getaffinity(0) == cores


def test_where_a_process_cannot_ask_for_its_cores_it_has_all(monkeypatch):
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    assert process_pool._cores() == list(range(os.cpu_count()))


def test_calls_wait_for_a_process_and_results_for_their_reader(pool):
    calls = [pool.submit(twice, n) for n in range(9)]
    assert results(reversed(calls)) == [2 * n for n in reversed(range(9))]
    assert results(calls) == [2 * n for n in range(9)]
    assert pool.submit(sorted, [1, 3, 2], reverse=True).result() == [3, 2, 1]
    big = bytes(10**7)  # more than a pipe holds
    assert results([pool.submit(twice, big) for _ in range(5)]) == [2 * big] * 5


def test_it_is_an_executor(pool):
    assert isinstance(pool, Executor)
    numbers = pool.map(twice, range(9), timeout=60)
    assert list(numbers) == [2 * n for n in range(9)]
    slow = pool.submit(time.sleep, 0.3)
    for timeout in (0, 0.01):
        with pytest.raises(TimeoutError, match=f"^there is no result after {timeout} s$"):
            slow.result(timeout)
    assert slow.result(60) is None


def test_threads_may_share_a_pool(pool):
    found = {}

    def work(n):
        found[n] = [pool.submit(twice, n + 100 * i).result() for i in range(30)]

    threads = [threading.Thread(target=work, args=(n,)) for n in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == {n: [2 * (n + 100 * i) for i in range(30)] for n in range(5)}


def test_what_a_call_raises_is_raised_with_its_place(pool):
    with pytest.raises(KeyError, match="gone") as caught:
        pool.submit(failing, KeyError("gone")).result()
    assert "in failing\n    raise problem" in caught.value.__notes__[0]
    with pytest.raises(TypeError, match="not this one"):
        pool.submit(failing, TiedError()).result()
    with pytest.raises(RuntimeError, match=r"in tied\n    raise TiedError"):
        pool.submit(tied).result()
    with pytest.raises(TypeError, match="cannot pickle"):
        pool.submit(twice, threading.Lock())
    with pytest.raises(TypeError, match="cannot pickle"):
        pool.submit(threading.Lock).result()
    assert pool.submit(twice, 1).result() == 2


def test_a_call_that_no_process_has_can_be_withdrawn(pool):
    calls = [pool.submit(time.sleep, 0.1) for _ in range(2)] + [pool.submit(twice, 1)]
    assert [call.cancel() for call in calls] == [False, False, True]
    assert [call.done() for call in calls] == [False, False, True]
    assert results(calls[:2]) == [None, None]
    with pytest.raises(CancelledError, match="withdrawn"):
        calls[2].result()


@pytest.mark.parametrize("idle", [False, True])
def test_a_process_that_dies_is_named(idle):
    with tg.process_pool(2) as pool:
        done = pool.submit(twice, 1)
        done.result()
        process, *_ = pool.submit(own).result()
        if idle:
            os.kill(process, signal.SIGTERM)
        else:
            pool.submit(leave, 3)
        sentence = r"^process \d+ ended with exit code " + ("-15" if idle else "3") + "$"
        with pytest.raises(BrokenProcessPool, match=sentence):
            results([pool.submit(time.sleep, 0.5) for _ in range(2)])
        with pytest.raises(BrokenProcessPool, match=sentence):
            pool.submit(twice, 1)
        assert done.result() == 2
    with pytest.raises(BrokenProcessPool, match=sentence):
        pool.submit(twice, 1)


@pytest.mark.parametrize("cancel", [False, True])
def test_after_it_was_shut_down(cancel):
    with tg.process_pool(1) as pool:
        calls = [pool.submit(time.sleep, 0.01) for _ in range(3)]
        if cancel:
            pool.shutdown(cancel_futures=True)
    assert not any(worker.process.is_alive() for worker in pool.workers)
    assert calls[0].result() is None
    for call in calls[1:]:
        if cancel:
            with pytest.raises(CancelledError):
                call.result()
        else:
            assert call.result() is None
    with pytest.raises(RuntimeError, match=r"^the pool was shut down: start another one$"):
        pool.submit(twice, 1)


def test_a_process_may_die_while_the_pool_shuts_down():
    with tg.process_pool(1) as pool:
        calls = [pool.submit(leave, 3), pool.submit(twice, 1)]
    for call in calls:
        with pytest.raises(BrokenProcessPool, match="exit code 3"):
            call.result()


def test_half_a_message_is_never_read_on(pool, monkeypatch):
    """An interrupt while the pool waits changes nothing; one within a message ends the pool."""

    def interrupted(*_):
        raise KeyboardInterrupt

    call = pool.submit(twice, 1)
    with monkeypatch.context() as patch:
        patch.setattr(process_pool, "wait", interrupted)
        with pytest.raises(KeyboardInterrupt):
            call.result()
    assert call.result() == 2
    with tg.process_pool(1) as other:
        call = other.submit(twice, 1)
        pipe = other.workers[0].pipe
        with monkeypatch.context() as patch:
            patch.setattr(type(pipe), "recv_bytes", interrupted)
            with pytest.raises(KeyboardInterrupt):
                call.result()
        with pytest.raises(BrokenProcessPool, match="KeyboardInterrupt interrupted a message"):
            call.result()


PROGRAM = """
import os, signal, sys
import tinygrad_rnn as tg
{guard}
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell may ignore it in a job
    pool = tg.process_pool(1)
    print(pool.submit(os.getpid).result(), flush=True)
    sys.stdin.read()
"""


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
def test_ctrl_c_ends_the_program_and_not_a_call(tmp_path):
    """The workers end with the program, also if it is killed, and print nothing."""
    path = tmp_path / "program.py"
    path.write_text(PROGRAM.format(guard='if __name__ == "__main__":'))
    for number in (signal.SIGINT, signal.SIGKILL):
        with subprocess.Popen(
            [sys.executable, path],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
            env={**os.environ, "PYTHONPATH": str(Path(tg.__file__).parents[1])},
        ) as program:
            worker = int(program.stdout.readline())
            if number == signal.SIGINT:
                os.killpg(program.pid, number)  # as a terminal does
            else:
                program.kill()
            _, errors = program.communicate(timeout=30)
        assert errors.count("Traceback") == (number == signal.SIGINT)
        assert program.returncode != 0
        for _ in range(100):
            if not Path(f"/proc/{worker}").exists():
                break
            time.sleep(0.05)
        else:
            pytest.fail("the worker is still there")


def test_a_program_without_a_guard_is_told(tmp_path):
    path = tmp_path / "program.py"
    path.write_text(PROGRAM.format(guard="if True:"))
    program = subprocess.run(
        [sys.executable, path],
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        timeout=60,
        env={**os.environ, "PYTHONPATH": str(Path(tg.__file__).parents[1])},
    )
    assert program.returncode == 1 and "freeze_support" in program.stderr
    assert "BrokenProcessPool: process" in program.stderr


def test_the_result_is_that_of_one_process():
    rng = np.random.default_rng(0)
    cell = tg.RNNCell(3, 4, rng=0)
    bptt = tg.BPTT(cell, tg.mse)
    xs, targets = rng.normal(size=(5, 6, 3)), rng.normal(size=(5, 6, 4))
    expected, _ = bptt(xs, targets)
    gradient, cell.W_hh.grad = cell.W_hh.grad, None
    with tg.process_pool(2) as pool:
        loss, _ = tg.data_parallel(bptt, tg.split_batch(2, xs, targets), pool)
    np.testing.assert_allclose(loss, expected, rtol=1e-13)
    np.testing.assert_allclose(cell.W_hh.grad, gradient, rtol=1e-12)


@pytest.mark.parametrize("workers", [0, 1.5, "2"])
def test_a_pool_of_no_workers_is_refused(workers):
    sentence = f"workers must be a whole number of at least 1, not {workers!r}"
    with pytest.raises(ValueError, match=sentence):
        tg.process_pool(workers)
