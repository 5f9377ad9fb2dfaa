"""Arrays that a pool of processes shares: the same answers as from a thread."""

import gc
import os
import signal
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import tinygrad_rnn as tg
from tinygrad_rnn.training import shared_memory
from tinygrad_rnn.training.shared_memory import ask

pytestmark = pytest.mark.skipif(not shared_memory.AVAILABLE, reason="Linux has such memory")

LARGE = 515


def doubled(common, one):
    return {"both": [common * 2, one * 2], "sum": float(np.sum(np.ascontiguousarray(one)))}


def slowly_doubled(common, one):
    time.sleep(0.1)
    return doubled(common, one)


def is_shared(common, one):
    return [array.base is not None and not array.flags.writeable for array in (common, one)]


def summed(common, one):
    return sum(map(np.sum, one))


def written_into(common, one):
    one[0] = 1


def long_answer(common, one):
    return np.arange(100 * len(common))


def asked(executor, work, common, each):
    found = ask(executor, work, common, each)
    try:
        return [found.read(call.result()) for call in found.calls]
    finally:
        found.close()


@pytest.fixture(scope="module")
def pool():
    with tg.process_pool(2) as pool:
        yield pool


def test_the_answers_are_those_of_a_thread(pool):
    rng = np.random.default_rng(0)
    common = rng.normal(size=(5, LARGE))
    each = [rng.normal(size=(n, 7, LARGE))[:, ::2] for n in range(1, 6)]  # not in one piece
    each += [np.array(3), np.zeros((0, LARGE)), np.array([True, False] * LARGE), each[0]]
    with ThreadPoolExecutor(1) as thread:
        expected = asked(thread, doubled, common, each)
    for _ in range(3):  # the same block again
        np.testing.assert_equal(asked(pool, doubled, common, each), expected)
    assert len(shared_memory._free[pool]) == 1
    assert asked(pool, doubled, common, []) == []


def test_arrays_are_shared(pool):
    small, large = np.ones(3), np.ones(LARGE)
    assert asked(pool, is_shared, large, [large, small]) == [[True, True]] * 2
    with pytest.raises(ValueError, match="read-only"):
        asked(pool, written_into, small, [large])
    np.testing.assert_array_equal(asked(pool, long_answer, small, [large])[0], np.arange(300))


def test_without_shared_memory_arrays_are_sent(pool, monkeypatch):
    common, each = np.ones(3), [np.arange(n) for n in range(5)]
    expected = asked(pool, doubled, common, each)
    monkeypatch.setattr(shared_memory, "AVAILABLE", False)
    np.testing.assert_equal(asked(pool, doubled, common, each), expected)
    assert asked(pool, is_shared, common, each[:1]) == [[False, False]]


def test_thousands_of_calls_share_what_is_the_same(pool):
    shard = np.ones((40, LARGE))
    found = ask(pool, summed, np.ones(1), [(shard, np.full(1, n)) for n in range(3000)])
    size = len(found.read.__self__.memory)
    assert [found.read(call.result()) for call in found.calls] == [
        40 * LARGE + n for n in range(3000)
    ]
    found.close()
    assert size < 3002 * (shard.nbytes + 256)


def test_what_came_back_stays_when_the_block_is_used_again(pool):
    first = asked(pool, doubled, np.ones(LARGE), [np.ones(LARGE)])
    asked(pool, doubled, np.zeros(LARGE), [np.zeros(LARGE)])
    np.testing.assert_array_equal(first[0]["both"], np.full((2, LARGE), 2.0))


def test_a_block_that_a_worker_may_still_read_is_not_used_again(pool):
    found = ask(pool, slowly_doubled, np.ones(LARGE), [np.ones(LARGE)] * 8)
    found.close()
    again = ask(pool, doubled, np.zeros(LARGE), [np.zeros(LARGE)] * 8)
    for asks, value in ((found, 2.0), (again, 0.0)):
        for call in asks.calls:
            np.testing.assert_array_equal(asks.read(call.result())["both"][0], value)
    again.close()


def test_a_worker_keeps_the_blocks_that_it_used_last():
    blocks = [shared_memory.Block(8) for _ in range(shared_memory.MAPPED + 2)]
    for block in blocks:
        block.write([(0, np.array(len(shared_memory._mapped)))])
        shared_memory._memory(block.place)
    kept = [block.place.key for block in blocks[2:]]
    assert list(shared_memory._mapped) == kept
    assert shared_memory._memory(blocks[0].place)[:1] == blocks[0].memory[:1]
    assert list(shared_memory._mapped) == [*kept[1:], blocks[0].place.key]
    shared_memory._mapped.clear()


def test_nothing_is_left():
    gc.collect()
    before = len(os.listdir("/proc/self/fd"))
    with tg.process_pool(1) as pool:
        asked(pool, doubled, np.ones(LARGE), [np.ones(LARGE)])
        assert len(os.listdir("/proc/self/fd")) > before
        os.kill(pool.workers[0].process.pid, signal.SIGKILL)
    del pool
    gc.collect()
    assert len(os.listdir("/proc/self/fd")) <= before


def test_the_gradients_of_one_process(pool):
    """Of a model whose weights, inputs and states are large."""
    rng = np.random.default_rng(1)
    bptt = tg.BPTT(tg.RNNCell(40, 50, rng=0), tg.mse)
    xs, targets = rng.normal(size=(6, 8, 40)), rng.normal(size=(6, 8, 50))
    loss, _ = bptt(xs, targets)
    expected = {name: parameter.grad for name, parameter in bptt.parameters().items()}
    shards = tg.split_batch(3, xs, targets)
    found = list(tg.shard_gradients(bptt, shards, pool))
    assert np.mean([one[0] for one in found]) == pytest.approx(loss, rel=0.1)
    for parameter in bptt.parameters().values():
        parameter.grad = None
    tg.data_parallel(bptt, shards, pool)
    for name, parameter in bptt.parameters().items():
        np.testing.assert_allclose(parameter.grad, expected[name], rtol=0, atol=1e-13)


def test_what_does_not_fit_into_a_block_is_sent_with_the_message():
    found = shared_memory.Layout(0, 130).pickled([np.ones(10), np.zeros(10)], "two arrays")
    assert [place for place, _ in found.arrays] == [0] and found.arrays[0][1][0] == 1
    whole = shared_memory.Layout().pickled([np.ones(10), np.zeros(10)], "two arrays")
    assert len(found.text) > len(whole.text) + 40
