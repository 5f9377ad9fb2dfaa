"""Shards of a batch in other processes: the numbers of one process, for any number of workers."""

import multiprocessing
import os
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor

import numpy as np
import pytest

import tinygrad_rnn as tg
from tinygrad_rnn.training.process_pool import ProcessPool

T, B, D, H, Q = 7, 6, 3, 4, 5


class Guess:
    """The loss at a step, with an output layer; one number, or one for each sequence."""

    def __init__(self, each=False):
        self.W_hq = tg.Tensor(np.random.default_rng(3).normal(size=(H, Q)), True, "W_hq")
        self.each = each

    def __call__(self, h, y):
        o = h @ self.W_hq
        return np.sum((o - y) ** 2, axis=1) if self.each else tg.mse(o, y)


class Dying:
    def __call__(self, h, y):
        os._exit(1)


class Failing:
    def __call__(self, h, y):
        raise ArithmeticError("no such number")


def bptt(truncation=None, cell=None, each=False):
    return tg.BPTT(cell or tg.RNNCell(D, H, rng=0), Guess(each), truncation)


def given(batch=B):
    rng = np.random.default_rng(1)
    state = rng.normal(size=(batch, H))
    return rng.normal(size=(T, batch, D)), rng.normal(size=(T, batch, Q)), state


def gradients(model, run):
    for parameter in model.parameters().values():
        parameter.grad = None
    result = run()
    return result, {name: parameter.grad for name, parameter in model.parameters().items()}


def of_the_library(workers):
    return ProcessPoolExecutor(workers, multiprocessing.get_context("spawn"))


@pytest.fixture(scope="module", params=[tg.process_pool, of_the_library])
def pool(request):
    with request.param(2) as executor:
        yield executor


@pytest.mark.parametrize("each", [False, True])
@pytest.mark.parametrize("parts", [1, 2, 5])
@pytest.mark.parametrize("truncation", [None, tg.Window(2), tg.Subsequence(3)])
def test_it_is_the_step_of_one_process(truncation, parts, each):
    model, arguments = bptt(truncation, each=each), given()
    (loss, state), expected = gradients(model, lambda: model(*arguments))
    shards = tg.split_batch(parts, *arguments)
    with ThreadPoolExecutor(3) as threads:
        (found, states), sums = gradients(model, lambda: tg.data_parallel(model, shards, threads))
    assert found == pytest.approx(loss, rel=1e-13)
    np.testing.assert_allclose(np.concatenate(states), state, rtol=0, atol=1e-14)
    for name, gradient in expected.items():
        np.testing.assert_allclose(sums[name], gradient, rtol=0, atol=1e-13)


@pytest.mark.parametrize("truncation", [None, tg.Window(2), "random"])
def test_the_same_bits_for_any_number_of_workers(truncation, pool):
    def steps(executor):
        model = bptt(tg.Randomized(0.5, rng=7) if truncation == "random" else truncation)
        optimizer = tg.Adam(model, 0.01)
        for _ in range(3):
            optimizer.zero_grad()
            loss, states = tg.data_parallel(model, tg.split_batch(3, *given()), executor)
            optimizer.step()
        return loss, states, [p.data for p in model.parameters().values()]

    with ThreadPoolExecutor(1) as one, ThreadPoolExecutor(3) as three:
        expected = steps(one)
        for executor in (three, pool):
            np.testing.assert_equal(steps(executor), expected)


def test_random_links_are_those_of_one_process_shard_after_shard():
    shards = tg.split_batch(2, *given())
    model = bptt(tg.Randomized(0.5, rng=7))

    def each():
        return [model(*shard)[0] for shard in shards]

    _, expected = gradients(model, each)
    model = tg.BPTT(model.cell, model.loss, tg.Randomized(0.5, rng=7))
    with ThreadPoolExecutor(2) as threads:
        _, found = gradients(model, lambda: tg.data_parallel(model, shards, threads))
        _, again = gradients(model, lambda: tg.data_parallel(model, shards, threads))
    for name, gradient in expected.items():
        np.testing.assert_allclose(2 * found[name], gradient, rtol=0, atol=1e-13)
    assert np.any(found["W_hh"] != again["W_hh"])
    with pytest.raises(TypeError, match="the number of steps must be known"):
        tg.data_parallel(model, [lambda: shards[0]], threads)


def test_shards_of_other_sizes_count_by_their_sequences():
    model, (xs, targets, _) = bptt(), given(7)
    (loss, _), expected = gradients(model, lambda: model(xs, targets))
    shards = [{"xs": xs[:, :1], "targets": targets[:, :1]}, (xs[:, 1:], targets[:, 1:])]
    with ThreadPoolExecutor(2) as threads:
        run = [lambda n=n: shards[n] for n in (0, 1)]  # made by the worker
        (found, _), sums = gradients(model, lambda: tg.data_parallel(model, run, threads))
    assert found == pytest.approx(loss, rel=1e-13)
    np.testing.assert_allclose(sums["W_hh"], expected["W_hh"], rtol=0, atol=1e-13)


def test_lengths_and_masks_count_what_is_valid():
    model, (xs, targets, _) = bptt(each=True), given()
    lengths = np.array([1, 7, 3, 2, 2, 5])
    mask = np.arange(T)[:, None] < lengths
    (loss, _), expected = gradients(model, lambda: model(xs, targets, lengths=lengths))
    for name, valid in [("lengths", lengths), ("mask", mask)]:
        shards = [
            {"xs": xs[:, c], "targets": targets[:, c], name: valid[..., c]}
            for c in (slice(0, 2), slice(2, 6))
        ]
        with ThreadPoolExecutor(2) as threads:
            (found, _), sums = gradients(
                model, lambda shards=shards: tg.data_parallel(model, shards, threads)
            )
        assert found == pytest.approx(loss, rel=1e-13)
        np.testing.assert_allclose(sums["W_hh"], expected["W_hh"], rtol=0, atol=1e-13)


class Detached(Guess):
    """A loss that reads its weights without a gradient."""

    def __call__(self, h, y):
        return tg.mse(h @ tg.detach(self.W_hq), y)


def test_weights_without_a_gradient_get_none():
    model = tg.BPTT(tg.RNNCell(D, H, rng=0), Detached())
    with ThreadPoolExecutor(1) as thread:
        _, found = gradients(
            model, lambda: tg.data_parallel(model, tg.split_batch(2, *given()), thread)
        )
    assert found["W_hq"] is None and found["W_hh"].any()


def test_inside_no_grad_it_only_returns():
    model, arguments = bptt(), given()
    with ThreadPoolExecutor(2) as threads, tg.no_grad():
        (found, _), sums = gradients(
            model, lambda: tg.data_parallel(model, tg.split_batch(2, *arguments), threads)
        )
    assert found == pytest.approx(model(*arguments)[0], rel=1e-13)
    assert set(map(type, sums.values())) == {type(None)}


def test_each_shards_own_gradients():
    model, shards = bptt(), tg.split_batch(3, *given())
    with ThreadPoolExecutor(2) as threads:
        apart = list(tg.shard_gradients(model, shards, threads))
    assert all(parameter.grad is None for parameter in model.parameters().values())
    for shard, (loss, found, state) in zip(shards, apart, strict=True):
        (expected, last), own = gradients(model, lambda shard=shard: model(*shard))
        assert loss == expected and found.keys() == own.keys()
        np.testing.assert_equal(found, own)
        np.testing.assert_array_equal(state, last)


def test_two_loops_over_shards_at_once(pool):
    """An inner call gets its answers while the outer one still waits for its own."""
    model, shards = bptt(), tg.split_batch(3, *given())
    expected = list(tg.shard_gradients(model, shards, pool))
    for found, own in zip(tg.shard_gradients(model, shards, pool), expected, strict=True):
        np.testing.assert_equal(found, own)
        np.testing.assert_equal(list(tg.shard_gradients(model, shards, pool)), expected)
    for _ in tg.shard_gradients(model, shards, pool):
        break  # the others are withdrawn
    np.testing.assert_equal(list(tg.shard_gradients(model, shards, pool)), expected)


def test_tied_weights_and_changed_ones(pool):
    cell = tg.Stacked([tg.RNNCell(D, H, rng=0), tg.RNNCell(H, H, rng=1)])
    cell.cells[1].W_hh = cell.cells[0].W_hh
    model = bptt(cell=cell)
    xs, targets, _ = given()
    for _ in range(2):
        _, expected = gradients(model, lambda: model(xs, targets))
        shards = tg.split_batch(2, xs, targets)
        _, found = gradients(model, lambda shards=shards: tg.data_parallel(model, shards, pool))
        for name, gradient in expected.items():
            np.testing.assert_allclose(found[name], gradient, rtol=0, atol=1e-13)
        cell.cells[0].W_hh.data = cell.cells[0].W_hh.data / 2


@pytest.mark.parametrize("make", [tg.process_pool, of_the_library])
def test_a_worker_that_dies_is_named_and_no_gradient_is_added(make):
    model = tg.BPTT(tg.RNNCell(D, H, rng=0), Dying())
    with make(1) as executor:
        shards = tg.split_batch(2, *given())
        with pytest.raises(RuntimeError, match=r"a worker died before shard 1 of 2 .* no gradient"):
            tg.data_parallel(model, shards, executor)
        with pytest.raises(RuntimeError, match="a worker died earlier, so the executor is broken"):
            tg.data_parallel(model, shards, executor)
    assert model.cell.W_hh.grad is None


def test_what_goes_wrong_in_a_shard_is_raised_with_its_place(pool):
    model = tg.BPTT(tg.RNNCell(D, H, rng=0), Failing())
    with pytest.raises(ArithmeticError, match="no such number") as caught:
        tg.data_parallel(model, tg.split_batch(2, *given()), pool)
    assert caught.value.__notes__[-1] == "in shard 1 of 2"
    if isinstance(pool, ProcessPool):
        assert (
            'in __call__\n    raise ArithmeticError("no such number")' in caught.value.__notes__[0]
        )
    with pytest.raises(TypeError, match=r"at most the parts xs, .*, mask, but this one has 7"):
        tg.data_parallel(bptt(), [(1,) * 7], pool)
    with pytest.raises(TypeError, match=r"must be a tg\.process_pool or .*, but its type is int"):
        tg.data_parallel(bptt(), tg.split_batch(2, *given()), 2)
    with pytest.raises(ValueError, match="shards is empty"):
        tg.data_parallel(bptt(), [], pool)
    with pytest.raises(ValueError, match=r"parts must lie in 1\.\.6, because .* not 7"):
        tg.split_batch(7, *given())


def test_models_that_cannot_travel(monkeypatch, pool):
    monkeypatch.setitem(__import__("sys").modules, "cloudpickle", None)
    model = tg.BPTT(tg.RNNCell(D, H, rng=0), lambda h, y: tg.mse(h, 0))
    with pytest.raises(TypeError, match="in a module, or install cloudpickle"):
        tg.data_parallel(model, tg.split_batch(2, *given()), pool)
    computed = bptt(cell=tg.RNNCell(D, H, rng=0))
    computed.cell.W_hh = computed.cell.W_hh * 2
    with pytest.raises(TypeError, match="was computed from others"):
        tg.data_parallel(computed, tg.split_batch(2, *given()), pool)


class Scaled:
    """h ← tanh(x W + factor · table · h): with all kinds of things that can change."""

    def __init__(self):
        self.W = tg.Tensor(np.random.default_rng(0).normal(size=(D, H)), True, "W")
        self.factor, self.table, self.held = 0.5, np.ones(H), tg.Tensor(np.ones(H))

    def __call__(self, x, h):
        return np.tanh(x @ self.W + self.factor * self.table * self.held * h)

    def initial_state(self, batch):
        return np.zeros((batch, H))


def test_every_change_of_the_model_reaches_the_workers(pool):
    cell = Scaled()
    model, (xs, targets, _) = bptt(cell=cell), given()

    def check():
        (loss, _), expected = gradients(model, lambda: model(xs, targets))
        shards = tg.split_batch(2, xs, targets)
        (found, _), sums = gradients(model, lambda: tg.data_parallel(model, shards, pool))
        assert found == pytest.approx(loss, rel=1e-13)
        for name, gradient in expected.items():
            np.testing.assert_allclose(sums[name], gradient, rtol=0, atol=1e-13)
        return loss

    losses = [check(), check()]
    cell.table[:] = 0.7
    losses.append(check())
    cell.held.data = np.full(H, 0.6)
    losses.append(check())
    cell.factor = 0.3
    losses.append(check())
    cell.W.data = cell.W.data / 2
    losses.append(check())
    cell.W = tg.Tensor(np.ones((D, H)), True, "W")
    losses.append(check())
    model.loss.each = True
    losses.append(check())
    assert len(set(losses)) == len(losses) - 1


def test_the_back_end_is_that_of_the_model(pool, monkeypatch):
    pytest.importorskip("llvmlite")
    xs, targets, _ = given()
    model = tg.BPTT(tg.RNNCell(D, H, rng=0), Guess(), tg.Window(2), backend="native")
    (loss, _), expected = gradients(model, lambda: model(xs, targets))
    used = []
    monkeypatch.setattr(
        "tinygrad_rnn.training.data_parallel.BPTT",
        lambda *parts, **options: used.append(options) or tg.BPTT(*parts, **options),
    )
    with ThreadPoolExecutor(1) as thread:
        shards = tg.split_batch(2, xs, targets)
        (found, _), sums = gradients(model, lambda: tg.data_parallel(model, shards, thread))
    assert [options["backend"] for options in used] == ["native"]
    assert found == pytest.approx(loss, rel=1e-13)
    np.testing.assert_allclose(sums["W_hh"], expected["W_hh"], rtol=0, atol=1e-13)
