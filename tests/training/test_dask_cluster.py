"""A real cluster of several processes on this machine: arrays in chunks, and shards of a batch."""

import numpy as np
import pytest

import tinygrad_rnn as tg

dask = pytest.importorskip("dask")
array = pytest.importorskip("dask.array")
distributed = pytest.importorskip("distributed")

T, B, D, H, Q = 3, 8, 3, 4, 6


@pytest.fixture(scope="module")
def client():
    options = {"n_workers": 2, "threads_per_worker": 1, "processes": True}
    options |= {"host": "127.0.0.1", "dashboard_address": ":0"}
    with distributed.LocalCluster(**options) as cluster, distributed.Client(cluster) as client:
        yield client


def model():
    rng = np.random.default_rng(0)
    cell = tg.RNNCell(D, H, rng=rng)
    W_hq = tg.Tensor(rng.normal(size=(H, Q)), True, "W_hq")
    embedding = rng.normal(size=(Q, D))
    return cell, W_hq, embedding, rng.integers(0, Q, (T + 1, B))


def step(cell, W_hq, embedding, numbers):
    """L, and its gradients by the parameters; numbers may be chunked along the batch."""
    E = tg.Tensor(embedding, True, "E")
    xs = [E[numbers[t]] for t in range(T)]
    states, _ = tg.unroll(cell, xs)
    losses = [tg.cross_entropy(h @ W_hq, numbers[t + 1]) for t, h in enumerate(states)]
    L = sum(losses) / T
    return L.data, tg.gradients(L, [E, W_hq, *cell.parameters().values()])


@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_a_step_over_chunks_has_the_gradients_of_one_process(client):
    cell, W_hq, embedding, numbers = model()
    loss, gradients = step(cell, W_hq, embedding, numbers)
    chunked = array.from_array(numbers, chunks=(T + 1, 4))
    lazy = step(cell, W_hq, array.from_array(embedding), chunked)
    assert {type(part) for part in (lazy[0], *lazy[1])} == {array.Array}
    found = client.compute(lazy, sync=True)  # all at once: what they share is computed once
    np.testing.assert_allclose(found[0], loss, rtol=1e-13)
    for ours, expected in zip(found[1], gradients, strict=True):
        np.testing.assert_allclose(ours, expected, rtol=0, atol=1e-14)


@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_the_workers_are_an_executor(client):
    rng = np.random.default_rng(1)
    bptt = tg.BPTT(tg.RNNCell(D, H, rng=0), lambda h, y: tg.mse(h, y))
    xs, targets = rng.normal(size=(T, B, D)), rng.normal(size=(T, B, H))
    loss, _ = bptt(xs, targets)
    expected = bptt.cell.W_hh.grad
    bptt.cell.W_hh.grad = None
    shards = tg.split_batch(3, xs, targets)
    found, _ = tg.data_parallel(bptt, shards, client.get_executor())
    assert found == pytest.approx(loss, rel=1e-13)
    np.testing.assert_allclose(bptt.cell.W_hh.grad, expected, rtol=0, atol=1e-14)


MEMORY, CHUNKS, STEPS, ROWS, WIDE = 400_000_000, 11, 2, 38_400, 128


def made(n):
    """A chunk of the data: nobody has all of it."""
    return np.random.default_rng(n).random((STEPS, ROWS, WIDE), np.float32)


@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_data_larger_than_the_memory_of_a_worker():
    parts = [array.from_delayed(dask.delayed(made)(n), (STEPS, ROWS, WIDE), np.float32)
             for n in range(CHUNKS)]  # fmt: skip
    xs = array.concatenate(parts, axis=1)
    assert xs.nbytes > MEMORY
    cell = tg.RNNCell(WIDE, H, rng=0, dtype=np.float32)
    start = array.zeros((CHUNKS * ROWS, H), chunks=(ROWS, H), dtype=np.float32)
    states, _ = tg.unroll(cell, [xs[t] for t in range(STEPS)], start)
    L = sum(np.mean(h * h) for h in states) / STEPS
    lazy = L.data, tg.gradients(L, list(cell.parameters().values()))
    options = {"n_workers": 1, "threads_per_worker": 1, "memory_limit": MEMORY}
    options |= {"host": "127.0.0.1", "dashboard_address": ":0"}
    with distributed.LocalCluster(**options) as cluster, distributed.Client(cluster) as client:
        (worker,) = cluster.workers.values()
        before = worker.pid
        loss, gradients = client.compute(lazy, sync=True)
        assert worker.pid == before  # it was not ended
    bptt = tg.BPTT(cell, lambda h, y: np.mean(h * h))
    losses = [bptt(made(n), np.zeros(STEPS))[0] for n in range(CHUNKS)]
    np.testing.assert_allclose(loss, np.mean(losses), rtol=1e-5)
    for found, parameter in zip(gradients, cell.parameters().values(), strict=True):
        np.testing.assert_allclose(found, parameter.grad / CHUNKS, rtol=0, atol=1e-5)
