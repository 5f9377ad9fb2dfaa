"""Processes to train with: each worker has a core of its own and one thread for its products."""

from __future__ import annotations

import multiprocessing
import os
from concurrent.futures import ProcessPoolExecutor
from multiprocessing.sharedctypes import Synchronized

THREADS = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")
"""What tells a BLAS library its number of threads. It is read when NumPy is imported."""


def process_pool(workers: int | None = None) -> ProcessPoolExecutor:
    """A pool of processes for `data_parallel`, with one core and one BLAS thread for each.

    workers: the number of processes; by default one for each core that this process may use.

    The system often puts two workers on one core, when both wake at the same time, and leaves
    another core idle. So on Linux each worker stays on its core, unless there are more workers than
    cores. BLAS threads inside the workers would wait for one another.

    Returns a `concurrent.futures.ProcessPoolExecutor`, whose processes have started. They import
    the main module of the program, which therefore must call this under
    `if __name__ == "__main__":`.
    Raises ValueError for less than one worker, `BrokenProcessPool` if the workers cannot start.

    >>> import tinygrad_rnn as tg
    >>> with tg.process_pool(2) as executor:
    ...     executor.submit(sum, [1, 2, 3]).result()
    6
    """
    cores = _cores()
    count = len(cores) if workers is None else workers
    if count < 1:
        raise ValueError(f"workers must be 1 or more, and is {workers}")
    context = multiprocessing.get_context("spawn")
    started = context.Value("i", 0)
    pool = ProcessPoolExecutor(count, context, _keep_to_a_core, (cores, count, started))
    before = {name: os.environ.get(name) for name in THREADS}
    os.environ.update(dict.fromkeys(THREADS, "1"))
    try:
        # A pool starts a worker when a call comes and no worker is idle.
        calls = [pool.submit(os.getpid) for _ in range(count)]
        calls[0].result()
    except BaseException:
        pool.shutdown()
        raise
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
    return pool


def _cores() -> list[int]:
    """The numbers of the cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))


def _keep_to_a_core(cores: list[int], workers: int, started: Synchronized[int]) -> None:
    with started.get_lock():
        number = started.value
        started.value += 1
    if workers <= len(cores) and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {cores[number]})
