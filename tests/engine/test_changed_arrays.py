"""Arrays that change behind the tape: what is recorded keeps the values it was computed with."""

import numpy as np
import pytest

import tinygrad_rnn as tg

RNG = np.random.default_rng(0)


def leaf(*shape):
    return tg.Tensor(RNG.normal(size=shape), requires_grad=True, name="w")


def test_what_is_inside_is_read_only():
    w = leaf(3)
    values = [w, np.tanh(w), w.T, w[1:], tg.Tensor(np.ones(2)), w.detach(), tg.unroll(
        tg.RNNCell(2, 3, rng=0), np.ones((2, 1, 2)))[1]]  # fmt: skip
    for value in values:
        with pytest.raises(ValueError, match="read-only"):
            value.data[...] = 0
        with pytest.raises(ValueError, match="read-only"):
            value.data -= 1
        with pytest.raises(ValueError, match="read-only"):
            np.add(value.data, 1, out=value.data)


def test_the_owner_keeps_his_array():
    mine = np.zeros(3)
    w = tg.Tensor(mine, requires_grad=True)
    assert w.data is w.data
    mine[0] = 5  # documented: it is not copied
    assert w.data[0] == 5


def test_new_data_have_the_shape_and_are_floats():
    w, h = leaf(2, 3), np.tanh(leaf(2))
    w.data = np.ones((2, 3))
    w.data = [[1, 2, 3], [4, 5, 6]]
    assert w.dtype == np.float64 and w.data[1, 2] == 6
    w.data = tg.Tensor(np.zeros((2, 3)))
    np.sum(w).backward()
    assert w.data.sum() == 0 and w.grad.sum() == 6
    with pytest.raises(ValueError, match=r"new data have the shape \(3,\), but w has \(2, 3\)"):
        w.data = np.ones(3)
    with pytest.raises(TypeError, match=r"floats, but the data are int64"):
        w.data = np.ones((2, 3), int)
    with pytest.raises(TypeError, match=r"computed by tanh.*its data cannot be replaced"):
        h.data = np.ones(2)
    w.data = np.ones((2, 3), np.float32)
    assert w.node.dtype == np.float32


def cubes(w):
    return np.sum(w * w * w)


def shared(w):
    return np.sum(np.tanh(w) * np.exp(w)) + np.sum(w**3) / np.sum(w)


class Cell:
    def __init__(self, w):
        self.w, self.scale = w, tg.Tensor(2.0)

    def __call__(self, x, h):
        return np.tanh(x + h * self.w * self.scale)


def stepped(run):
    def loss(w, cell=None):
        cell = cell or Cell(w)
        _, last = run(cell, np.full((4, 3), 0.1), tg.Tensor(np.full(3, 0.3)))
        return np.sum(last * last)

    return loss


LOSSES = {
    "cubes": cubes,
    "shared": shared,
    "unroll": stepped(tg.unroll),
    "scan": stepped(tg.scan),
    "scan with checkpoints": stepped(lambda *args: tg.scan(*args, checkpoint=2)),
    "scan of windows": stepped(lambda *args: tg.scan(*args, truncation=tg.Window(1))),
}


@pytest.mark.parametrize("name", LOSSES)
def test_gradients_are_those_of_the_old_values(name):
    """Of the first order and of the second, with a graph and without."""
    loss = LOSSES[name]
    old = RNG.normal(size=3)

    def gradients_of(change):
        w = tg.Tensor(old, requires_grad=True)
        L = loss(w)
        if change:
            w.data = w.data - 1.0
        (first,) = tg.gradients(L, [w])
        (graph,) = tg.gradients(L, [w], create_graph=True)
        (second,) = tg.gradients(np.sum(graph * np.arange(3.0)), [w])
        return first, graph.data, second

    expected = gradients_of(False)
    if "windows" not in name:
        np.testing.assert_allclose(expected[0], expected[1], rtol=1e-12)
    for mine, theirs in zip(gradients_of(True), expected, strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=1e-12)


def test_a_constant_of_a_cell_that_was_replaced():
    """The steps are run again for a second derivative: with what they had."""

    def second(change):
        w = tg.Tensor(np.array([0.5, 1.0, 1.5]), requires_grad=True)
        cell = Cell(w)
        L = stepped(tg.scan)(w, cell)
        if change:
            cell.scale.data = np.array(7.0)
        (first,) = tg.gradients(L, [w], create_graph=True)
        return first.data

    np.testing.assert_allclose(second(True), second(False), rtol=1e-12)


def test_a_read_only_gradient_is_none():
    """Of a parameter that a cell uses through a mean: one number, repeated."""
    V = leaf(3, 3)
    states, _ = tg.scan(lambda x, h: np.tanh(x + h + np.mean(V)), np.ones((100, 32, 4)) / 9,
                        np.zeros((32, 4)))  # fmt: skip
    np.sum(states).backward()
    np.mean(V).backward()
    assert V.grad.flags.writeable and np.ptp(V.grad) < 1e-12
    V.grad *= 0.5
    number = leaf()
    for _ in range(2):
        (number * 2.0).backward()
    assert type(number.grad) is np.ndarray
