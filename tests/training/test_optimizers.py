"""Clipping, and the optimizers against their equations and against PyTorch."""

import numpy as np
import pytest

import tinygrad_rnn as tg


def parameters(dtype=np.float64, seed=0):
    rng = np.random.default_rng(seed)
    shapes = {"W": (3, 4), "b": (4,), "s": ()}
    made = {
        name: tg.Tensor(np.asarray(rng.normal(size=shape), dtype), requires_grad=True, name=name)
        for name, shape in shapes.items()
    }
    for tensor in made.values():
        tensor.grad = np.asarray(rng.normal(size=tensor.shape), dtype)
    return made


def all_entries(made):
    return np.concatenate([np.ravel(tensor.grad) for tensor in made.values()])


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_the_norm_is_global_and_the_direction_stays(dtype):
    made = parameters(dtype)
    before = all_entries(made)
    norm = tg.clip_grad_norm(made, 0.5)
    assert norm == pytest.approx(np.linalg.norm(before), rel=1e-6)
    np.testing.assert_allclose(all_entries(made), before * 0.5 / norm, rtol=1e-6)
    assert all(tensor.grad.dtype == dtype for tensor in made.values())


def test_short_gradients_are_left_alone():
    made = parameters()
    before = all_entries(made)
    assert tg.clip_grad_norm(made, 100.0) == pytest.approx(np.linalg.norm(before))
    np.testing.assert_array_equal(all_entries(made), before)


def test_large_float32_gradients_do_not_overflow():
    w = tg.Tensor(np.zeros(2, np.float32), requires_grad=True)
    w.grad = np.array([3e30, 4e30], np.float32)
    assert tg.clip_grad_norm({"w": w}, 1.0) == pytest.approx(5e30, rel=1e-6)
    np.testing.assert_allclose(w.grad, [0.6, 0.8], rtol=1e-6)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("clip", [tg.clip_grad_norm, tg.clip_grad_value])
def test_a_gradient_that_is_not_finite_is_named(clip, bad):
    made = parameters()
    made["b"].grad[2] = bad
    with pytest.raises(ValueError, match=r"the gradient of b, of shape \(4,\), is not finite"):
        clip(made, 1.0)


def test_clipping_each_value():
    made = parameters()
    before = all_entries(made)
    tg.clip_grad_value(made, 0.3)
    np.testing.assert_array_equal(all_entries(made), np.clip(before, -0.3, 0.3))


def test_absent_gradients():
    made = parameters()
    made["W"].grad = None
    expected = np.linalg.norm(all_entries({k: v for k, v in made.items() if k != "W"}))
    assert tg.clip_grad_norm(made, 100.0) == pytest.approx(expected)
    before = made["W"].data.copy()
    tg.SGD(made, 0.1).step()
    np.testing.assert_array_equal(made["W"].data, before)
    assert tg.clip_grad_norm({}, 1.0) == 0.0


@pytest.mark.parametrize("limit", [0, -1.0])
@pytest.mark.parametrize("clip", [tg.clip_grad_norm, tg.clip_grad_value])
def test_senseless_thresholds(clip, limit):
    with pytest.raises(ValueError, match="positive"):
        clip(parameters(), limit)


def test_parameters_as_a_list():
    made = parameters()
    expected = np.linalg.norm(all_entries(made))
    assert tg.clip_grad_norm(list(made.values()), 100.0) == pytest.approx(expected)
    twice = [*made.values(), *parameters(seed=1).values(), tg.Tensor(1.0, requires_grad=True)]
    names = list(tg.SGD(twice, 0.1).parameters)
    again = ["W (parameter 3)", "b (parameter 4)", "s (parameter 5)"]
    assert names == ["W", "b", "s", *again, "parameter 6"]


@pytest.mark.parametrize("wrong", [[1, 2], [tg.Tensor(1.0)], {"w": np.ones(2)}])
def test_what_is_no_parameter(wrong):
    with pytest.raises(TypeError, match=r"Tensors with requires_grad=True, as a dict.*but"):
        tg.SGD(wrong, 0.1)


OPTIMIZERS = [
    ("SGD", {"learning_rate": 0.1}, {"lr": 0.1}),
    ("SGD", {"learning_rate": 0.1, "momentum": 0.9}, {"lr": 0.1, "momentum": 0.9}),
    ("Adagrad", {"learning_rate": 0.1}, {"lr": 0.1}),
    ("RMSProp", {"learning_rate": 0.1, "decay": 0.9}, {"lr": 0.1, "alpha": 0.9}),
    ("Adam", {"learning_rate": 0.1}, {"lr": 0.1}),
]


@pytest.mark.parametrize(("name", "ours", "theirs"), OPTIMIZERS)
def test_against_pytorch(name, ours, theirs):
    torch = pytest.importorskip("torch")
    w = tg.Tensor(np.array([1.0, -2.0, 3.0]), requires_grad=True)
    v = torch.tensor(w.data.copy(), requires_grad=True)
    optimizer = getattr(tg, name)({"w": w}, **ours)
    other = getattr(torch.optim, {"RMSProp": "RMSprop"}.get(name, name))([v], **theirs)
    for _ in range(20):
        optimizer.zero_grad()
        np.sum(w**2 + np.sin(w)).backward()
        optimizer.step()
        other.zero_grad()
        (v**2 + torch.sin(v)).sum().backward()
        other.step()
    np.testing.assert_allclose(w.data, v.detach().numpy(), rtol=1e-10)


@pytest.mark.parametrize(("name", "options", "_"), OPTIMIZERS)
def test_float32_stays_and_the_graph_keeps_what_it_was_recorded_with(name, options, _):
    made = parameters(np.float32)
    y = np.sum(made["W"] * made["b"])
    before = made["W"].data.copy()
    getattr(tg, name)(made, **options).step()
    assert all(tensor.dtype == np.float32 for tensor in made.values())
    assert not np.array_equal(made["W"].data, before)
    (gradient,) = tg.gradients(y, [made["b"]])
    np.testing.assert_array_equal(gradient, before.sum(axis=0))
