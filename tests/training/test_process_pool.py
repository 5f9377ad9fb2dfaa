"""The pool for training: one BLAS thread for each worker, and the same answers."""

import os
import time

import numpy as np
import pytest

import tinygrad_rnn as tg
from tinygrad_rnn.training.process_pool import THREADS


def own(seconds):
    time.sleep(seconds)  # so that another worker takes the next call
    policy = os.sched_getscheduler(0) if hasattr(os, "sched_getscheduler") else None
    return os.getpid(), policy, [os.environ.get(name) for name in THREADS]


def test_all_workers_have_one_thread_and_compute_in_batch(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    monkeypatch.delenv("MKL_NUM_THREADS", raising=False)
    with tg.process_pool(2) as pool:
        assert os.environ["OMP_NUM_THREADS"] == "7"
        assert "MKL_NUM_THREADS" not in os.environ
        seen = {}
        while len(seen) < 2:
            for process, *rest in pool.map(own, [0.2] * 4):
                seen[process] = rest
    policy = getattr(os, "SCHED_BATCH", None)
    assert list(seen.values()) == [[policy, ["1"] * len(THREADS)]] * 2


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
