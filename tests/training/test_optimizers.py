"""Clipping, and the optimizers against their equations and against PyTorch."""

import numpy as np
import pytest

import tinygrad_rnn as tg
from tinygrad_rnn.training.optimizers import Optimizer


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


def test_a_gradient_of_the_largest_norm_is_left_alone():
    w = tg.Tensor(np.zeros(2), requires_grad=True)
    w.grad = gradient = np.array([3.0, 4.0])
    assert tg.clip_grad_norm(w, 5.0) == 5.0 and w.grad is gradient


def test_zeros_have_the_norm_zero():
    w = tg.Tensor(np.zeros(2), requires_grad=True)
    w.grad = np.zeros(2)
    assert tg.clip_grad_norm(w, 1.0) == 0.0
    np.testing.assert_array_equal(w.grad, np.zeros(2))


def test_the_norm_is_of_double_precision():
    w = tg.Tensor(np.zeros(1001, np.float32), requires_grad=True)
    w.grad = np.linspace(-1, 0.5, 1001, dtype=np.float32)
    expected = np.linalg.norm(w.grad.astype(np.float64))
    assert tg.clip_grad_norm(w, 100.0) == pytest.approx(expected, rel=1e-14)


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
    assert len(set(names)) == 7 and {name[-1] for name in names[:3]} == {"W", "b", "s"}


def test_parameters_as_cells_functions_and_nestings():
    cell, W_hq = tg.RNNCell(2, 2, rng=0), tg.Tensor(np.ones((2, 2)), True, "W_hq")
    for model in ([cell, W_hq], {"cell": cell, "out": [W_hq]}, lambda x, h: cell(x, h) @ W_hq):
        found = tg.SGD(model, 0.1).parameters
        assert set(map(id, found.values())) == {id(W_hq), *map(id, cell.parameters().values())}
    optimizer = tg.SGD(tg.BPTT(cell, lambda h, y: tg.mse(h @ W_hq, y)), 0.1)
    assert list(optimizer.parameters) == ["W_xh", "W_hh", "b_h", "W_hq"]
    assert tg.SGD(optimizer, 0.1).parameters == optimizer.parameters


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ([1, 2], "one of them, of type int, uses none"),
        ([tg.Tensor(1.0)], r"one of the Tensors, of shape \(\), has requires_grad=False"),
        ({"w": tg.Tensor(1.0)}, r"but w, of shape \(\), has requires_grad=False"),
        ({"w": np.ones(2)}, "one of them, of type ndarray, uses none"),
        ([tg.Tensor(1.0, True) * 2], "one of the Tensors, of .* was computed by multiply"),
        ({"w": tg.Tensor(1.0, True) * 2}, "given Tensors, but w, of .* was computed by multiply"),
    ],
)
def test_what_is_no_parameter(wrong, says):
    with pytest.raises(TypeError, match=says):
        tg.SGD(wrong, 0.1)


def test_a_tied_parameter_is_one_parameter():
    w = tg.Tensor(np.array([3.0, 4.0]), requires_grad=True, name="w")
    for tied in ([w, w], {"encoder": w, "decoder": w}, tg.Stacked([tg.RNNCell(2, 2, rng=0)] * 2)):
        optimizer = tg.SGD(tied, 0.1)
        assert len({id(p) for p in optimizer.parameters.values()}) == len(optimizer.parameters)
        for parameter in optimizer.parameters.values():
            parameter.grad = np.ones(parameter.shape)
        before = {name: p.data for name, p in optimizer.parameters.items()}
        entries = sum(p.size for p in optimizer.parameters.values())
        assert tg.clip_grad_norm(tied, 1e-3) == pytest.approx(np.sqrt(entries))
        for parameter in optimizer.parameters.values():
            np.testing.assert_allclose(parameter.grad, 1e-3 / np.sqrt(entries))
            parameter.grad = np.ones(parameter.shape)
        optimizer.step()
        for name, parameter in optimizer.parameters.items():
            np.testing.assert_allclose(before[name] - parameter.data, 0.1, rtol=1e-12)
    assert list(tg.SGD({"encoder": w, "decoder": w}, 0.1).parameters) == ["encoder"]


def test_norms_at_the_ends_of_the_range():
    w = tg.Tensor(np.zeros(2), requires_grad=True)
    for size in (1.7e308, 1e-300):
        w.grad = np.array([size, size])
        norm = tg.clip_grad_norm(w, 1e-310 if size < 1 else 1.0)
        assert norm == (np.inf if size > 1 else pytest.approx(np.sqrt(2) * size))
        np.testing.assert_allclose(w.grad, np.sqrt(0.5) * (1e-310 if size < 1 else 1), rtol=1e-9)


def test_gradients_that_cannot_be_written_into_are_clipped():
    w = tg.Tensor(np.zeros(4), requires_grad=True)
    w.grad = np.broadcast_to(2.0, (4,))
    assert tg.clip_grad_norm(w, 1.0) == 4.0
    np.testing.assert_array_equal(w.grad, np.full(4, 0.5))
    w.grad = np.broadcast_to(2.0, (4,))
    tg.clip_grad_value(w, 1.5)
    np.testing.assert_array_equal(w.grad, np.full(4, 1.5))


def test_adam_counts_the_gradients_of_each_parameter():
    u, v = (tg.Tensor(np.ones(1), requires_grad=True, name=name) for name in "uv")
    optimizer = tg.Adam([u, v], 0.1)
    for n in range(10):
        optimizer.zero_grad()
        (u if n < 9 else v).grad = np.ones(1)
        optimizer.step()
    np.testing.assert_allclose(v.data, 0.9, rtol=1e-7)


@pytest.mark.parametrize("name", ["SGD", "Adagrad", "RMSProp", "Adam", "AdamW"])
def test_half_precision_has_no_nan_and_loses_no_squares(name):
    w = tg.Tensor(np.ones(3, np.float16), requires_grad=True)
    reference = tg.Tensor(np.ones(3), requires_grad=True)
    w.grad = np.array([0.0, 1e-4, 1000.0], np.float16)
    reference.grad = w.grad.astype(np.float64)
    for parameter in (w, reference):
        getattr(tg, name)(parameter, 0.01).step()
    assert w.dtype == np.float16
    np.testing.assert_allclose(w.data, reference.data, rtol=1e-3)


def test_parameters_of_one_number_stay_arrays():
    s = tg.Tensor(np.array(1.0), requires_grad=True)
    s.grad = np.array(1.0)
    tg.SGD(s, 0.5).step()
    assert type(s.data) is np.ndarray and s.data == 0.5


OPTIMIZERS = [
    ("SGD", {"learning_rate": 0.1}, {"lr": 0.1}),
    ("SGD", {"learning_rate": 0.1, "momentum": 0.9}, {"lr": 0.1, "momentum": 0.9}),
    ("Adagrad", {"learning_rate": 0.1}, {"lr": 0.1}),
    ("RMSProp", {"learning_rate": 0.1, "decay": 0.9}, {"lr": 0.1, "alpha": 0.9}),
    ("Adam", {"learning_rate": 0.1}, {"lr": 0.1}),
    ("Adam", {"learning_rate": 0.1, "betas": (0.5, 0.6)}, {"lr": 0.1, "betas": (0.5, 0.6)}),
    ("AdamW", {"learning_rate": 0.1}, {"lr": 0.1}),
    ("AdamW", {"learning_rate": 0.1, "weight_decay": 0.3}, {"lr": 0.1, "weight_decay": 0.3}),
    (
        "SGD",
        {"learning_rate": 0.05, "momentum": 0.8, "nesterov": True},
        {"lr": 0.05, "momentum": 0.8, "nesterov": True},
    ),
]


def mean(values, decay):
    """The running mean from zero, as the sum that it is."""
    return (1 - decay) * sum(decay**n * value for n, value in enumerate(reversed(values)))


def adam(w, g, first=0.9, second=0.999):
    corrected = mean(g, first) / (1 - first ** len(g))
    squares = mean([x * x for x in g], second) / (1 - second ** len(g))
    return corrected / (np.sqrt(squares) + 1e-8)


EQUATIONS = [
    ("SGD", {"learning_rate": 0.1}, lambda w, g: 0.1 * g[-1]),
    ("SGD", {"learning_rate": 0.1, "momentum": 0.8}, lambda w, g: 0.5 * mean(g, 0.8)),
    (
        "SGD",
        {"learning_rate": 0.1, "momentum": 0.8, "nesterov": True},
        lambda w, g: 0.1 * g[-1] + 0.4 * mean(g, 0.8),
    ),
    ("Adagrad", {}, lambda w, g: 0.01 * g[-1] / (np.sqrt(sum(x * x for x in g)) + 1e-10)),
    (
        "RMSProp",
        {},
        lambda w, g: 0.01 * g[-1] / (np.sqrt(mean([x * x for x in g], 0.99)) + 1e-8),
    ),
    ("Adam", {}, lambda w, g: 0.001 * adam(w, g)),
    ("Adam", {"betas": (0.5, 0)}, lambda w, g: 0.001 * adam(w, g, 0.5, 0)),
    ("AdamW", {}, lambda w, g: 0.001 * (adam(w, g) + 0.01 * w)),
]


@pytest.mark.parametrize(("name", "options", "change"), EQUATIONS)
def test_the_equations(name, options, change):
    """With their own defaults. ε shows where gradients are as small."""
    rng = np.random.default_rng(0)
    w = tg.Tensor(np.array([1.0, -2.0, 3.0, 4.0]), requires_grad=True)
    optimizer, gradients, expected = getattr(tg, name)(w, **options), [], w.data
    for _ in range(5):
        gradients.append(rng.normal(size=4) * [1, 1, 1e-8, 1e-10])
        w.grad = gradients[-1]
        expected = expected - change(expected, gradients)
        optimizer.step()
        np.testing.assert_allclose(w.data, expected, rtol=1e-13)


def against_pytorch(torch, make, other, schedule=None):
    """100 steps on the same function, in NumPy and in PyTorch."""
    w = tg.Tensor(np.array([1.0, -2.0, 3.0]), requires_grad=True)
    v = torch.tensor(w.data.copy(), requires_grad=True)
    optimizer, other = make(w), other([v])
    follow = schedule and schedule(other)
    for _ in range(100):
        optimizer.zero_grad()
        np.sum(w**2 + np.sin(w)).backward()
        optimizer.step()
        other.zero_grad()
        (v**2 + torch.sin(v)).sum().backward()
        other.step()
        if follow:
            follow.step()
    np.testing.assert_allclose(w.data, v.detach().numpy(), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize(("name", "ours", "theirs"), OPTIMIZERS)
def test_against_pytorch(name, ours, theirs):
    torch = pytest.importorskip("torch")
    other = getattr(torch.optim, {"RMSProp": "RMSprop"}.get(name, name))
    against_pytorch(torch, lambda w: getattr(tg, name)(w, **ours), lambda v: other(v, **theirs))


SCHEDULES = [
    (tg.schedules.Exponential(0.1, 0.97), "ExponentialLR", {"gamma": 0.97}),
    (tg.schedules.Stepwise(0.1, 30, 0.5), "StepLR", {"step_size": 30, "gamma": 0.5}),
    (tg.schedules.Cosine(0.1, 100, 0.01), "CosineAnnealingLR", {"T_max": 100, "eta_min": 0.01}),
    (
        tg.schedules.Warmup(0.1, 20),
        "LinearLR",
        {"start_factor": 1 / 20, "total_iters": 19},
    ),
]


@pytest.mark.parametrize(("schedule", "name", "options"), SCHEDULES)
def test_schedules_against_pytorch(schedule, name, options):
    torch = pytest.importorskip("torch")
    against_pytorch(
        torch,
        lambda w: tg.Adam(w, schedule),
        lambda v: torch.optim.Adam(v, lr=0.1),
        lambda other: getattr(torch.optim.lr_scheduler, name)(other, **options),
    )


def test_schedules_by_their_formulas():
    schedules = tg.schedules
    for n in (0, 1, 2, 5, 7, 10, 11, 30):
        x = min(n / 10, 1.0)
        cosine = 0.1 + 0.5 * (0.4 - 0.1) * (1 + np.cos(np.pi * x))
        assert schedules.Exponential(0.5, 0.9)(n) == pytest.approx(0.5 * 0.9**n)
        assert schedules.Stepwise(0.5, every=5)(n) == pytest.approx(0.5 * 0.1 ** (n // 5))
        assert schedules.Cosine(0.4, steps=10, end=0.1)(n) == pytest.approx(cosine)
        ahead = min((n + 1) / 10, 1.0)
        assert schedules.Warmup(0.5, steps=10)(n) == pytest.approx(0.5 * ahead)
        after = schedules.Warmup(schedules.Exponential(0.5, 0.9), steps=10)
        assert after(n) == pytest.approx(0.5 * 0.9**n * ahead)


def test_schedules_are_values():
    for kind in ("Exponential", "Stepwise", "Cosine", "Warmup"):
        one, other = (getattr(tg.schedules, kind)(0.5, 3) for _ in range(2))
        assert (
            one(7) == other(7)
            and {one, other} == {one}
            and one != getattr(tg.schedules, kind)(0.5, 4)
        )


def test_any_function_of_the_step_is_a_schedule():
    w = tg.Tensor(np.zeros(1), requires_grad=True)
    optimizer = tg.SGD(w, lambda step: 0.1 * (step + 1))
    for _ in range(3):
        w.grad = np.ones(1)
        optimizer.step()
    np.testing.assert_allclose(w.data, -0.6)


@pytest.mark.parametrize(("name", "options", "_"), OPTIMIZERS)
def test_a_restored_optimizer_goes_on_with_the_same_bits(name, options, _):
    def steps(parameter, optimizer, first, last):
        for n in range(first, last):
            parameter.grad = np.cos(n + parameter.data)
            optimizer.step()

    one, other = (tg.Tensor(np.array([1.0, -2.0]), requires_grad=True, name="w") for _ in "12")
    schedule = {**options, "learning_rate": tg.schedules.Exponential(0.1, 0.9)}
    for arguments in (options, schedule):
        whole, first, second = (getattr(tg, name)(p, **arguments) for p in (one, other, other))
        one.data = other.data = np.array([1.0, -2.0])
        steps(one, whole, 0, 20)
        steps(other, first, 0, 7)
        state, weights = first.state(), other.data
        steps(other, first, 7, 9)  # what was asked for before stays as it was
        other.data = weights
        second.restore(state)
        steps(other, second, 7, 20)
        np.testing.assert_array_equal(other.data, one.data)


def test_a_learning_rate_is_restored_and_a_schedule_stays():
    w, schedule = tg.Tensor(np.ones(2), requires_grad=True, name="w"), tg.schedules.Warmup(0.1, 4)
    rates = {}
    for before in (0.1, schedule):
        for after in (0.3, schedule):
            optimizer = tg.SGD(w, after)
            optimizer.restore(tg.SGD(w, before).state())
            rates[before, after] = optimizer.learning_rate
    assert rates == {
        (0.1, 0.3): 0.1,
        (0.1, schedule): schedule,
        (schedule, 0.3): 0.3,
        (schedule, schedule): schedule,
    }


def test_what_cannot_be_restored_is_said():
    w = tg.Tensor(np.ones(2), requires_grad=True, name="w")
    u = tg.Tensor(np.ones(3), requires_grad=True)
    w.grad = np.ones(2)
    optimizer = tg.Adam(w)
    optimizer.step()
    with pytest.raises(ValueError, match=r"state is that of Adam, but this optimizer is SGD"):
        tg.SGD(w, 0.1).restore(optimizer.state())
    with pytest.raises(ValueError, match="has the parameter w, but the optimizer has u"):
        tg.Adam({"u": w}).restore(optimizer.state())
    with pytest.raises(ValueError, match=r"m of w has the shape \(2,\), but .* has \(3,\)"):
        tg.Adam({"w": u}).restore(optimizer.state())
    with pytest.raises(ValueError, match=r"but it has 'one' and 0\.1"):
        tg.Adam(w).restore(optimizer.state() | {"steps": "one", "learning_rate": 0.1})
    for nothing in ([], {}, iter(()), {"cells": []}):
        with pytest.raises(ValueError, match="there are no parameters to move: pass a cell"):
            tg.SGD(nothing, 0.1)
    with pytest.raises(ValueError, match=r"learning_rate must be a positive number, not 0\.0"):
        tg.SGD(w, 0.0)


@pytest.mark.parametrize(
    ("made", "text"),
    [
        (lambda p: tg.SGD(p, 0.1), "SGD(parameters, learning_rate=0.1)"),
        (
            lambda p: tg.SGD(p, 0.1, 0.9, nesterov=True),
            "SGD(parameters, learning_rate=0.1, momentum=0.9, nesterov=True)",
        ),
        (lambda p: tg.Adam(p), "Adam(parameters)"),
        (lambda p: tg.AdamW(p, weight_decay=0.5), "AdamW(parameters, weight_decay=0.5)"),
        (
            lambda p: tg.Adam(p, tg.schedules.Cosine(0.1, steps=9)),
            "Adam(parameters, learning_rate=Cosine(start=0.1, steps=9, end=0.0))",
        ),
    ],
)
def test_an_optimizer_looks_as_one_would_type_it(made, text):
    assert repr(made(parameters())) == text


def test_a_rule_of_ones_own_has_a_direction():
    with pytest.raises(NotImplementedError):
        Optimizer(parameters(), 0.1).step()


def test_nesterov_needs_momentum():
    with pytest.raises(ValueError, match="needs a momentum"):
        tg.SGD(parameters(), 0.1, nesterov=True)


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


def test_the_values_of_a_dict_and_an_iterator_are_parameters_too():
    cell = tg.RNNCell(2, 3, rng=0)
    for given in (cell.parameters().values(), iter(cell.parameters().values())):
        assert len(tg.SGD(given, learning_rate=0.1).parameters) == 3
    assert list(tg.parameters(cell.parameters().values())) == ["W_xh", "W_hh", "b_h"]


def test_the_norm_over_parameters_of_several_dtypes():
    """The largest entry of all may not fit the dtype of a single gradient."""
    half, single = (tg.Tensor(np.zeros(2, d), requires_grad=True) for d in "ef")
    half.grad, single.grad = np.array([6e4, 1.0], np.float16), np.array([7e4, 0.0], np.float32)
    norm = np.linalg.norm([6e4, 1.0, 7e4])
    assert tg.clip_grad_norm([half, single], 1e4) == pytest.approx(norm, rel=1e-6)
    np.testing.assert_allclose(half.grad, np.array([6e4, 1.0]) * 1e4 / norm, rtol=1e-3)
    np.testing.assert_allclose(single.grad, [7e8 / norm, 0.0], rtol=1e-6)
    assert (half.grad.dtype, single.grad.dtype) == (np.float16, np.float32)
