"""A real cluster of several processes on this machine: arrays in chunks, and shards of a batch."""

import numpy as np
import pytest

import tinygrad_rnn as tg

array = pytest.importorskip("dask.array")
distributed = pytest.importorskip("distributed")

T, B, D, H, Q = 3, 8, 3, 4, 6


@pytest.fixture(scope="module")
def client():
    options = {"n_workers": 2, "threads_per_worker": 1, "processes": True}
    options |= {"host": "127.0.0.1", "dashboard_address": None}
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
