"""Processes to train with. The calling thread itself sends calls and receives what they return.

A `concurrent.futures.ProcessPoolExecutor` passes each call and each answer through two threads.
That takes longer than sending a shard does.
"""

from __future__ import annotations

import multiprocessing
import os
import pickle
import signal
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError, Executor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, suppress
from multiprocessing.connection import wait
from typing import Any

THREADS = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")
"""What tells a BLAS library its number of threads. It is read when NumPy is imported."""


def process_pool(workers: int | None = None) -> ProcessPool:
    """A pool of processes for `data_parallel`, with one BLAS thread for each.

    workers: the number of processes; by default one for each core that this process may use.

    BLAS threads inside the workers would wait for one another. On Linux the workers are scheduled
    as `SCHED_BATCH`: a worker that gets its shard does not interrupt the calling process, which
    has the next shard to send. If there is one worker for each core, each stays on its core:
    otherwise two of them often compute on the same core for some milliseconds.

    Returns the pool, whose processes have started. It is a `concurrent.futures.Executor`: its
    `submit(function, *args)` sends a call to one of the processes, and the call's `result()` waits
    for the result. The processes import the main module of the program, which therefore must call
    this under `if __name__ == "__main__":`. Ctrl-C does not interrupt them.
    Raises ValueError unless workers is a whole number of at least 1, and `BrokenProcessPool` if the
    workers cannot start.

    >>> import tinygrad_rnn as tg
    >>> with tg.process_pool(2) as pool:
    ...     pool.submit(sum, [1, 2, 3]).result(), list(pool.map(abs, [-1, 2]))
    (6, [1, 2])
    """
    count = len(_cores()) if workers is None else workers
    if not isinstance(count, int) or count < 1:
        raise ValueError(f"workers must be a whole number of at least 1, not {workers!r}")
    return ProcessPool(count)


class ProcessPool(Executor):
    """Processes that compute calls: see `process_pool`.

    It has no thread that waits for answers. So its calls are no `Future`, and
    `concurrent.futures.wait` does not take them.
    """

    def __init__(self, count: int) -> None:
        context = multiprocessing.get_context("spawn")
        cores = _cores() if len(_cores()) == count else [None] * count
        self.waiting: deque[Call] = deque()
        self.lock = threading.RLock()
        self.broken: Exception | None = None
        self.workers: list[Worker] = []
        before = {name: os.environ.get(name) for name in THREADS}
        os.environ.update(dict.fromkeys(THREADS, "1"))
        try:
            for core in cores:
                pipe, other = context.Pipe()
                process = context.Process(target=_serve, args=(other, core), daemon=True)
                process.start()
                other.close()  # so that reading from the pipe ends if the process does
                self.workers.append(Worker(process, pipe))
            for call in [self.submit(os.getpid) for _ in cores]:
                call.result()
        except BaseException:
            self._end()
            raise
        finally:
            for name, value in before.items():
                if value is None:
                    del os.environ[name]
                else:
                    os.environ[name] = value

    def submit(  # type: ignore[override]
        self, function: Callable[..., Any], /, *args: Any, **kwargs: Any
    ) -> Call:
        """Send function(*args, **kwargs) to a process, as soon as one has nothing to do.

        Raises `BrokenProcessPool` if a process has died, RuntimeError after `shutdown`, and what
        pickle raises for a function or arguments that cannot be sent.
        """
        call = Call(self, pickle.dumps((function, args, kwargs), pickle.HIGHEST_PROTOCOL))
        with self.lock:
            self.waiting.append(call)
            self._send()
        return call

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """End the processes after all calls are done.

        wait: has no effect, because the results reach this thread alone.
        cancel_futures: withdraw the calls that no process has yet.
        """
        with self.lock, suppress(BrokenProcessPool):
            for call in [*self.waiting] if cancel_futures else []:
                call.cancel()
            while True:  # in Python 3.12, the jump back to a condition lies outside of the block
                if self.broken is not None or not any(worker.call for worker in self.workers):
                    break
                self.receive()
        self._end()

    def _end(self) -> None:
        self.broken = self.broken or RuntimeError("the pool was shut down: start another one")
        for worker in self.workers:
            worker.pipe.close()
        for worker in self.workers:
            worker.process.join()

    def receive(self, timeout: float | None = None) -> None:
        """Wait until a call is done, for so many seconds; send the next one to its process."""
        self._refuse_if_broken()
        ready = wait([worker.pipe for worker in self.workers], timeout)
        for worker in self.workers:
            if worker.pipe in ready:
                with self._exchange(worker):
                    answer = worker.pipe.recv_bytes()
                    assert worker.call is not None
                    worker.call.answer, worker.call = answer, None
        self._send()

    def _send(self) -> None:
        self._refuse_if_broken()
        for worker in self.workers:
            if worker.call is None and self.waiting:
                with self._exchange(worker):
                    worker.call = self.waiting.popleft()
                    worker.pipe.send_bytes(worker.call.text)

    def _refuse_if_broken(self) -> None:
        if self.broken is not None:
            raise type(self.broken)(*self.broken.args)

    @contextmanager
    def _exchange(self, worker: Worker) -> Iterator[None]:
        """Write to a pipe or read from it. After half a message, all later ones would be wrong."""
        try:
            yield
        except (EOFError, OSError) as problem:
            worker.process.join(1)
            number, code = worker.process.pid, worker.process.exitcode
            self.broken = BrokenProcessPool(f"process {number} ended with exit code {code}")
            raise self.broken from problem
        except BaseException as problem:
            self.broken = BrokenProcessPool(f"{type(problem).__name__} interrupted a message")
            raise


class Worker:
    """A process, the pipe to it, and the call that it computes."""

    def __init__(self, process: Any, pipe: Any) -> None:
        self.process, self.pipe = process, pipe
        self.call: Call | None = None


class Call:
    """A call that a process computes, like a future.

    text: the pickled function and its arguments. answer: the pickled result; None until it is
    there. kept: an object that must live until then.
    """

    def __init__(self, pool: ProcessPool, text: bytes) -> None:
        self.pool, self.text = pool, text
        self.answer: bytes | None = None
        self.kept: Any = None

    def result(self, timeout: float | None = None) -> Any:
        """Wait for the result. An exception of the function is raised here.

        timeout: in seconds; TimeoutError after it. It takes longer if another thread is waiting.
        """
        end = None if timeout is None else time.monotonic() + timeout
        while self.answer is None:
            left = None if end is None else max(0, end - time.monotonic())
            with self.pool.lock:
                if self.answer is None:
                    self.pool.receive(left)
            if left == 0 and self.answer is None:
                raise TimeoutError(f"there is no result after {timeout} s")
        found, problem = pickle.loads(self.answer)
        if problem is not None:
            raise problem
        return found

    def done(self) -> bool:
        """Whether the result is there."""
        return self.answer is not None

    def cancel(self) -> bool:
        """Withdraw the call if no process has it yet. Returns whether this was so."""
        with self.pool.lock:
            if self not in self.pool.waiting:
                return False
            self.pool.waiting.remove(self)
            self.answer = pickle.dumps((None, CancelledError("the call was withdrawn")))
            return True


def _cores() -> list[int]:
    """The cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))


# In a worker ------------------------------------------------------------------------------------


def _serve(pipe: Any, core: int | None) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if hasattr(os, "SCHED_BATCH"):  # pragma: no branch (other systems than Linux have none)
        os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))
        if core is not None:
            os.sched_setaffinity(0, {core})
    try:
        while True:
            pipe.send_bytes(_answer(pipe.recv_bytes()))
    except (EOFError, OSError):
        """The other process has closed the pipe, or has ended."""


def _answer(text: bytes) -> bytes:
    try:
        function, args, kwargs = pickle.loads(text)
        return pickle.dumps((function(*args, **kwargs), None), pickle.HIGHEST_PROTOCOL)
    except Exception as problem:
        problem.add_note(f"in a worker:\n{traceback.format_exc()}")
        try:
            return pickle.dumps((None, problem))
        except Exception:
            return pickle.dumps((None, RuntimeError(traceback.format_exc())))
