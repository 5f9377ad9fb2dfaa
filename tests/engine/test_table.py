"""The table: entering functions, and forgetting those that nobody has any more."""

import gc
import tracemalloc
import weakref

import numpy as np
import pytest

import tinygrad_rnn as tg
from tinygrad_rnn.engine.table import (
    COMPOSED,
    RULES,
    composed,
    computed_by,
    differentiable,
    on_rule_change,
    rule_of,
)


def cube():
    return tg.derivative(lambda x: x * x * x, lambda g, x: 3 * g * x * x)


def test_a_pullback_has_no_further_attributes():
    (_, pullback), *_ = rule_of(np.tanh).arguments
    assert callable(pullback.keep) and not hasattr(pullback, "kept_by_nobody")


def test_the_shape_of_the_output_is_kept():
    twice = tg.derivative(lambda x: 2 * x, lambda g, shape_of_y: np.full(shape_of_y, 2.0) * g)
    w = tg.Tensor([1.0, 2.0], requires_grad=True)
    np.sum(twice(w)).backward()
    assert w.grad.tolist() == [2.0, 2.0]


def test_a_function_that_nobody_has_is_forgotten():
    f = cube()
    assert f in differentiable() and rule_of(f).names == ("x",) and f not in RULES
    y = f(tg.Tensor(2.0, requires_grad=True))
    gone = weakref.ref(f)
    del f
    gc.collect()
    assert gone() is y.node.function  # while a graph has it
    del y
    gc.collect()
    assert gone() is None


def test_entering_again_and_again_takes_no_memory():
    def enter(times):
        for _ in range(times):
            tg.grad(cube())(2.0)
        gc.collect()
        return tracemalloc.get_traced_memory()[0]

    tracemalloc.start()
    try:
        before = enter(20)
        assert enter(100) - before < 20_000  # 360 kB, if they stayed
    finally:
        tracemalloc.stop()


def test_caches_hear_of_changes_alone(monkeypatch):
    heard = []
    monkeypatch.setattr("tinygrad_rnn.engine.table.on_rule_change", [lambda f, r: heard.append(f)])
    cube()
    assert heard == []
    monkeypatch.setitem(RULES, np.tanh, RULES[np.tanh])
    rule = RULES[np.tanh]
    try:
        tg.derivative(np.tanh, lambda g, y: 2 * g * (1 - y * y))
        assert heard == [np.tanh] and RULES[np.tanh] is not rule
        w = tg.Tensor(0.0, requires_grad=True)
        np.tanh(w).backward()
        assert w.grad == 2.0
    finally:
        tg.derivative(np.tanh, lambda g, y: g * (1 - y * y))


def test_a_faster_way_to_compute_serves_every_call():
    before, calls = RULES[np.matmul].compute, []

    def compute(x1, x2):
        calls.append(type(x1))
        return before(x1, x2)

    w = tg.Tensor(np.ones((2, 2)), requires_grad=True)
    try:
        computed_by(np.matmul, compute)
        assert np.all((w @ np.matmul(w, w)).data == 4.0) and calls == [np.ndarray] * 2
    finally:
        computed_by(np.matmul, before)
    assert before is not np.matmul and (w @ w).shape == (2, 2) and len(calls) == 2


def test_programs_stay_when_a_function_is_entered():
    from tinygrad_rnn.compiler.runtime.cache import PROGRAMS

    tg.scan(tg.RNNCell(2, 3, rng=0), np.ones((3, 1, 2)))
    count = len(PROGRAMS)
    cube()
    assert len(PROGRAMS) == count > 0 and on_rule_change


@pytest.mark.parametrize("function", [np.tanh, np.sum])
def test_numpys_functions_come_back_as_they_are(function):
    assert rule_of(function) is RULES[function]


def identity(x):
    return x


@pytest.mark.parametrize(
    ("enter", "message"),
    [
        (
            lambda: tg.derivative(identity, lambda x: x),
            "first parameter of a pull-back must be g, .* 'x'",
        ),
        (
            lambda: tg.derivative(identity, lambda g, z: z),
            "pull-back for 'x' has the unknown parameter 'z'; .* and x",
        ),
        (
            lambda: tg.derivative(identity, None, lambda g: g),
            "identity has the arguments x, but 2 pull-backs",
        ),
        (
            lambda: tg.derivative(identity, z=lambda g: g),
            "has the arguments x, but 1 pull-backs were given, for z",
        ),
    ],
)
def test_pullbacks_that_do_not_fit(enter, message):
    with pytest.raises(TypeError, match=message):
        enter()


def test_options_that_change_no_derivative():
    w = tg.Tensor([1.0, 2.0], requires_grad=True)
    for sum_ in (np.add(w, w, casting="same_kind"), np.add(w, w, where=True)):
        assert tg.gradients(np.sum(sum_), [w])[0].tolist() == [2.0, 2.0]


def test_a_composition_has_no_other_fields():
    composition = next(iter(COMPOSED.values()))
    with pytest.raises(AttributeError, match="nothing"):
        composition.nothing  # noqa: B018


def test_a_function_that_numpy_lacks_has_no_row():
    before = dict(COMPOSED)
    composed(None, lambda x: x)
    assert before == COMPOSED


def test_places_are_no_values():
    w = tg.Tensor([1.0, 0.0], requires_grad=True)
    (places,) = np.where(w)
    assert type(places) is np.ndarray and places.tolist() == [0]
