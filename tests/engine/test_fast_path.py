"""The fast path records what the common path records."""

import operator

import numpy as np
import pytest

import tinygrad_rnn as tg
from tinygrad_rnn.engine import apply as common
from tinygrad_rnn.engine.table import RULES, differentiable, rule_of


def leaf(*shape):
    data = np.random.default_rng(len(shape)).uniform(0.2, 0.8, shape)
    return tg.Tensor(data, requires_grad=True)


def of_one_tensor(function):
    return rule_of(function).fast_path is not None and not (
        function is operator.getitem or (isinstance(function, np.ufunc) and function.nin == 2)
    )


assert tg.sigmoid, "public names are loaded at their first use, and enter their rules"
ONE = [f for f in differentiable() if of_one_tensor(f)]
TWO = [f for f in RULES if rule_of(f).fast_path is not None and f not in ONE]


def alike(kept, other):
    if isinstance(kept, np.ndarray):
        return np.array_equal(kept, other, equal_nan=True)
    return type(kept) is type(other)


def same(fast, slow):
    if not isinstance(fast, tg.Tensor):
        return type(fast) is type(slow)
    if isinstance(fast._data, np.ndarray):  # and not the several results of one function
        np.testing.assert_array_equal(fast._data, slow._data)
    assert (fast._node is None) == (slow._node is None)
    if fast._node is not None:
        assert repr(fast.node).split(":")[1] == repr(slow.node).split(":")[1]
        for one, other in zip(fast.node.edges, slow.node.edges, strict=True):
            assert one[:3] == other[:3]
            assert len(one[3]) == len(other[3])
            assert all(map(alike, one[3], other[3]))
    return True


@pytest.mark.parametrize("function", ONE, ids=lambda f: f.__name__)
def test_one_tensor_and_the_defaults_of_the_other_arguments(function):
    rule, checked = rule_of(function), 0
    for shape in [(3, 3), (3,), ()]:
        x = leaf(*shape)
        try:
            with np.errstate(invalid="ignore"):
                slow = common._recorded(rule, function, (x,), {})
                fast = rule.fast_path(x)
        except (TypeError, ValueError, IndexError, np.linalg.LinAlgError) as problem:
            with pytest.raises(type(problem)):
                rule.fast_path(x)
            continue
        assert same(fast, slow)
        checked += 1
    needs_more = len(rule.names) > 1
    assert checked or needs_more


@pytest.mark.parametrize("function", TWO, ids=lambda f: f.__name__)
def test_two_operands_of_every_kind(function):
    rule, x, w = rule_of(function), tg.Tensor(leaf(3, 3).data), leaf(3, 3)
    others = (1, slice(1), (0, None)) if function is operator.getitem else (w, x, x.data)
    for first in (w, x):
        for second in others:
            slow = common._recorded(rule, function, (first, second), {})
            assert same(rule.fast_path(first, second), slow)


def test_most_of_the_table_has_one():
    assert {np.tanh, np.sum, np.mean, tg.sigmoid, tg.relu} <= set(ONE)
    assert {np.add, np.matmul, operator.getitem} <= set(TWO)


def test_integers_are_returned_as_they_are():
    sign = tg.derivative(lambda x: np.sign(x).astype(int), lambda g: 0 * g)
    assert rule_of(sign).fast_path is not None
    result = sign(leaf(3))
    assert type(result) is np.ndarray and result.dtype == int
    tenth = tg.derivative(lambda x: x + 0.1j, lambda g: g)
    with pytest.raises(TypeError, match="complex values"):
        tenth(leaf(3))


def test_a_list_of_tensors_is_no_tensor():
    with pytest.raises(TypeError, match=r"sigmoid takes one array as its x, .* np.stack"):
        tg.sigmoid([leaf(2), leaf(2)])


def test_keywords_are_read():
    x = leaf(2, 3)
    np.sum(np.sum(x, axis=0, keepdims=True) * np.array([1.0, 2.0, 3.0])).backward()
    np.testing.assert_array_equal(x.grad, [[1, 2, 3], [1, 2, 3]])
