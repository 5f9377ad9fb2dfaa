"""The pool for training: a core and a BLAS thread for each worker, and the same answers."""

import os
import time

import numpy as np
import pytest

import tinygrad_rnn as tg
from tinygrad_rnn.training import process_pool as source


def own(seconds):
    time.sleep(seconds)  # so that no worker answers twice
    cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None
    return os.getpid(), cores, [os.environ.get(name) for name in source.THREADS]


@pytest.mark.parametrize("workers", [2, 3])
def test_each_worker_has_a_core_and_one_thread(workers, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    monkeypatch.delenv("MKL_NUM_THREADS", raising=False)
    cores = source._cores()
    with tg.process_pool(workers) as pool:
        assert os.environ["OMP_NUM_THREADS"] == "7"
        assert "MKL_NUM_THREADS" not in os.environ
        seen = {}
        while len(seen) < workers:
            for process, *rest in pool.map(own, [0.2] * workers):
                seen[process] = rest
    assert all(threads == ["1"] * len(source.THREADS) for _, threads in seen.values())
    if hasattr(os, "sched_setaffinity"):
        kept = sorted(cores for cores, _ in seen.values())
        assert kept == (
            [[core] for core in cores[:workers]] if workers <= len(cores) else [cores] * 3
        )


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


def test_a_pool_of_no_workers_is_refused():
    with pytest.raises(ValueError, match="workers must be 1 or more, and is 0"):
        tg.process_pool(0)
