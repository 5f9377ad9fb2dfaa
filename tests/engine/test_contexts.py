"""Recording belongs to the context: threads, asyncio tasks; and blocks that overlap."""

import asyncio
import threading

import numpy as np
import pytest

import tinygrad_rnn as tg
from tinygrad_rnn.engine.recording import UNMARKED, current_mark

W = tg.Tensor(2.0, requires_grad=True)


@pytest.fixture(autouse=True)
def _recording_is_as_it_was():
    yield
    assert current_mark() is UNMARKED


def test_other_tasks_record():
    seen = {}

    async def hold(entered, leave):
        with tg.no_grad(), tg.step(3):
            entered.set()
            await leave.wait()
            seen["inside"] = (W * W).requires_grad

    async def train(entered, leave):
        await entered.wait()
        with tg.step(5), tg.scope("train"):
            y = W * W
            leave.set()
            await asyncio.sleep(0)
            z = W * W
        seen["other"] = y.requires_grad, y.node.step, z.node.scope

    async def main():
        entered, leave = asyncio.Event(), asyncio.Event()
        await asyncio.gather(hold(entered, leave), train(entered, leave))

    asyncio.run(main())
    assert seen == {"inside": False, "other": (True, 5, ("train",))}


def test_a_task_inherits_the_block_it_is_started_in():
    async def inner():
        return (W * W).requires_grad

    async def main():
        with tg.no_grad():
            task = asyncio.create_task(inner())
        return await task

    assert asyncio.run(main()) is False


def test_other_threads_record():
    seen = []
    with tg.no_grad():
        thread = threading.Thread(target=lambda: seen.append((W * W).requires_grad))
        thread.start()
        thread.join()
    assert seen == [True]


def test_generators_whose_blocks_overlap():
    """Blocks that end in another order than that of their beginnings leave nothing behind."""

    def block(manager):
        with manager:
            yield

    for managers in [
        (tg.no_grad(), tg.no_grad()),
        (tg.step(3), tg.no_grad()),
        (tg.no_grad(), tg.scope("x")),
        (tg.no_grad(), tg.step(1), tg.scope("x")),
    ]:
        blocks = [block(manager) for manager in managers]
        for one in blocks:
            next(one)
        for one in blocks:  # the first to begin is the first to end
            one.close()
        y = W * W
        assert y.requires_grad and y.node.step is None and y.node.scope == ()


def test_a_generator_that_is_suspended_and_dropped():
    def block():
        with tg.no_grad():
            yield

    one = block()
    next(one)
    assert not (W * W).requires_grad  # documented: it runs in our context
    del one
    assert (W * W).requires_grad


def test_blocks_nest():
    with tg.step(1):
        with tg.scope("a"):
            with tg.no_grad(), tg.step(7):
                assert current_mark() is None
            with tg.step(2), tg.scope("b"):
                y = W * W
            assert (y.node.step, y.node.scope) == (2, ("a", "b"))
            assert (W * W).node.scope == ("a",)
        assert (W * W).node.step == 1


def test_a_stream_in_a_task_records():
    async def main():
        cell = tg.RNNCell(2, 3, rng=0)
        steps = []
        for h in tg.stream(cell, np.ones((3, 1, 2))):
            await asyncio.sleep(0)
            steps.append((h.node.step, current_mark()))
        return steps

    assert asyncio.run(main()) == [(t, UNMARKED) for t in range(3)]
