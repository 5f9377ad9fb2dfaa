"""Processes to train with: each worker has one thread for its products, and computes in batch."""

from __future__ import annotations

import multiprocessing
import os
from concurrent.futures import ProcessPoolExecutor

THREADS = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")
"""What tells a BLAS library its number of threads. It is read when NumPy is imported."""


def process_pool(workers: int | None = None) -> ProcessPoolExecutor:
    """A pool of processes for `data_parallel`, with one BLAS thread for each.

    workers: the number of processes; by default one for each core that this process may use.

    BLAS threads inside the workers would wait for one another. On Linux the workers are scheduled
    as `SCHED_BATCH`: a worker that gets its shard does not interrupt the calling process, which
    has the next shard to send.

    Returns a `concurrent.futures.ProcessPoolExecutor`, whose processes have started. They import
    the main module of the program, which therefore must call this under
    `if __name__ == "__main__":`.
    Raises ValueError unless workers is a whole number of at least 1, and `BrokenProcessPool` if the
    workers cannot start.

    >>> import tinygrad_rnn as tg
    >>> with tg.process_pool(2) as executor:
    ...     executor.submit(sum, [1, 2, 3]).result()
    6
    """
    count = _cores() if workers is None else workers
    if not isinstance(count, int) or count < 1:
        raise ValueError(f"workers must be a whole number of at least 1, not {workers!r}")
    pool = ProcessPoolExecutor(count, multiprocessing.get_context("spawn"), _compute_in_batch)
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


def _cores() -> int:
    """The number of cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _compute_in_batch() -> None:
    if hasattr(os, "SCHED_BATCH"):
        os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))
