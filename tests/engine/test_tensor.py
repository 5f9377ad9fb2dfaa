"""Tensors: what they hold, what they refuse, and NumPy's protocols."""

import re
from collections import deque, namedtuple

import numpy as np
import pytest

import tinygrad_rnn as tg
from tinygrad_rnn.engine.substitution import substituted


def leaf(*shape, name=None, dtype=np.float64, seed=0):
    data = np.random.default_rng(seed).standard_normal(shape).astype(dtype)
    return tg.Tensor(data, requires_grad=True, name=name)


def test_shares_the_array():
    data = np.zeros((2, 3))
    assert np.shares_memory(tg.Tensor(data).data, data)
    assert np.shares_memory(tg.Tensor(data).detach().data, data)


def test_attributes():
    W = leaf(2, 3, name="W")
    assert (W.shape, W.ndim, W.size, W.dtype, W.name) == ((2, 3), 2, 6, np.float64, "W")
    assert W.T.shape == (3, 2)
    assert W.grad is None  # absent, not zero
    assert len(W) == 2 and [row.shape for row in W] == [(3,), (3,)]
    assert tg.Tensor(3.5).item() == 3.5
    assert repr(tg.Tensor([1.0], requires_grad=True, name="w")) == (
        "Tensor([1.], requires_grad=True, name='w')"
    )


@pytest.mark.parametrize("data", [[1, 2], np.zeros(2, bool), np.zeros(2, complex)])
def test_a_gradient_needs_floats(data):
    with pytest.raises(TypeError, match="a gradient needs floats, but the data are"):
        tg.Tensor(data, requires_grad=True)


def test_numpy_functions_return_tensors():
    W = leaf(2, 3)
    for value in [
        np.tanh(W),
        np.sum(W, axis=0),
        np.concatenate([W, W]),
        np.einsum("ij,kj", W, W),
        np.ones((2, 3)) * W,
        np.float64(2) * W,
        np.ones((1, 2)) @ W,
    ]:
        assert isinstance(value, tg.Tensor) and value.requires_grad


def test_comparisons_return_plain_arrays():
    W = leaf(2, 3)
    assert type(W > 0) is np.ndarray
    assert type(W == W) is np.ndarray
    assert isinstance(np.argmax(W), np.integer)
    assert len({W, W.T}) == 2  # hashed by identity


def test_recorded_only_where_an_input_needs_a_gradient():
    x, W = tg.Tensor(np.ones((2, 3))), leaf(3, 4)
    assert not (x * 2).requires_grad
    assert (x @ W).requires_grad
    with tg.no_grad():
        assert not (x @ W).requires_grad
    assert (x @ W).requires_grad


def test_no_grad_ends_with_an_error_too():
    W = leaf(2)
    with pytest.raises(ZeroDivisionError), tg.no_grad():
        raise ZeroDivisionError
    assert (W * W).requires_grad


def test_step_and_scope_mark_the_nodes():
    W = leaf(2)
    with tg.scope("encoder"):
        with tg.step(4), tg.scope("cell"):
            inner = W * W
        outer = W * W
    assert (inner.node.step, inner.node.scope) == (4, ("encoder", "cell"))
    assert (outer.node.step, outer.node.scope) == (None, ("encoder",))


def test_tape_is_in_recorded_order_and_has_the_constants():
    W, x = leaf(3, 2, name="W"), tg.Tensor(np.ones((4, 3)), name="x")
    h = np.tanh(x @ W)
    loss = np.sum(h * h)
    assert [node.name or node.function.__name__ for node in tg.tape(loss)] == [
        "W",
        "x",
        "matmul",
        "tanh",
        "multiply",
        "sum",
    ]
    positions = [node.position for node in tg.tape(loss)]
    assert positions == sorted(positions)


def test_float32_stays_float32():
    W = leaf(3, 3, dtype=np.float32)
    h = W
    for _ in range(3):
        h = np.tanh(2 * h @ W + 1) / 3.0 - 0.5
    loss = np.mean(h**2)
    loss.backward()
    assert loss.dtype == np.float32
    assert W.grad.dtype == np.float32


def test_a_gradient_comes_back_in_the_inputs_own_dtype():
    a, b = leaf(3, dtype=np.float32), leaf(3, dtype=np.float64, seed=1)
    y = a * b
    assert y.dtype == np.float64
    np.sum(y).backward()
    assert a.grad.dtype == np.float32 and b.grad.dtype == np.float64
    np.testing.assert_array_equal(a.grad, b.data.astype(np.float32))


def test_plus_equals_on_a_tensor_makes_a_new_value():
    W = leaf(3)
    loss = first = np.sum(W)
    loss += np.sum(W * W)
    assert loss is not first
    loss.backward()
    np.testing.assert_allclose(W.grad, 1 + 2 * W.data, rtol=1e-15)


def test_writing_into_a_tensor_is_refused():
    W = leaf(3)
    with pytest.raises(TypeError, match="cannot be written into"):
        (W * 1)[0] = 2.0


def test_leaving_the_graph_by_accident_is_refused():
    with pytest.raises(TypeError, match=r"W of shape \(3,\) needs a gradient.*\.data"):
        np.asarray(leaf(3, name="W"))
    np.testing.assert_array_equal(np.asarray(tg.Tensor([1.0, 2.0])), [1.0, 2.0])


def test_a_function_without_a_rule_says_how_to_add_one():
    with pytest.raises(TypeError, match=r"packbits has no rule.*tg\.derivative\(packbits, "):
        np.packbits(leaf(3))
    assert isinstance(np.packbits(tg.Tensor([True])), tg.Tensor)


def test_cut_is_seen_by_values_computed_earlier():
    w = leaf(2)
    h = w * w
    earlier = h * w
    assert h.cut() is h and not h.requires_grad
    later = h * w
    np.sum(earlier + later).backward()
    np.testing.assert_allclose(w.grad, 2 * w.data**2, rtol=1e-15)
    with pytest.raises(TypeError, match="is a leaf"):
        w.cut()


def test_a_cut_value_remembers_its_parents_weakly_for_pictures():
    w = leaf(2)
    h = w * w
    detached = h.detach()
    assert [parent() for parent in detached.node.severed] == [h.node]
    assert detached.node.edges == ()
    h.cut()
    assert [parent() for parent in h.node.severed] == [w.node, w.node]
    del h
    assert [parent() for parent in detached.node.severed] == [None]


def test_setting_grad():
    w = leaf(2)
    w.grad = np.ones(2)
    np.sum(w).backward()
    np.testing.assert_array_equal(w.grad, [2.0, 2.0])
    w.grad = None
    assert w.grad is None
    with pytest.raises(ValueError, match=r"shape \(3,\).*\(2,\)"):
        w.grad = np.ones(3)
    with pytest.raises(TypeError, match="only a leaf"):
        (w * w).grad = np.ones(2)


def test_freezing_a_leaf():
    W, b = leaf(3, name="W"), leaf(3, seed=1)
    W.requires_grad = False
    np.sum(W * b).backward()
    assert W.grad is None and W.name == "W" and not (W * 2).requires_grad
    loss = np.sum(W * b)
    W.requires_grad = True
    loss.backward()  # recorded while W was frozen
    assert W.grad is None
    np.sum(W * b).backward()
    np.testing.assert_array_equal(W.grad, b.data)
    with pytest.raises(TypeError, match=r"computed by multiply.*only a leaf.*\.detach\(\)"):
        (W * 2).requires_grad = False
    counts = tg.Tensor([1, 2])
    with pytest.raises(TypeError, match="a gradient needs floats"):
        counts.requires_grad = True
    assert not counts.requires_grad


def test_sequences_of_any_kind():
    Pair = namedtuple("Pair", "h c")
    h, c = leaf(2), leaf(2, seed=1)
    for sequence in [Pair(h, c), deque([h, c]), (h, c), [h, c]]:
        assert np.stack(sequence).requires_grad
        assert np.concatenate(sequence).shape == (4,)
        with tg.no_grad():
            assert isinstance(np.hstack(sequence), tg.Tensor)


def test_without_a_gradient_tensors_come_out_as_well():
    x = tg.Tensor(np.eye(2) * 3)
    sign, logarithm = np.linalg.slogdet(x)
    assert isinstance(logarithm, tg.Tensor) and sign.item() == 1
    for value in [np.linalg.norm(x), np.trace(x), np.median(x), np.add.reduce(x, axis=None)]:
        assert isinstance(value, tg.Tensor) and isinstance(value.item(), float)


def test_a_tensor_is_not_a_base_class():
    with pytest.raises(TypeError, match="cannot be subclassed"):
        type("Mine", (tg.Tensor,), {})


def test_names_and_operators_in_place():
    w = tg.Tensor(7.0, requires_grad=True)
    w.name = "w"
    assert w.node.name == "w"
    w %= 4
    w //= 2
    assert w.item() == 1.0


@pytest.mark.parametrize("function", [tg.relu, tg.softmax])
def test_a_list_of_tensors_is_not_one_array(function):
    parts = [tg.Tensor([1.0, -2.0], requires_grad=True), tg.Tensor([-3.0, 4.0], requires_grad=True)]
    with pytest.raises(TypeError, match=r"takes one array as its x, .*np.stack"):
        function(parts)
    assert function(np.stack(parts)).shape == (2, 2)


def test_stacking_unequal_arrays_is_refused_as_numpy_refuses_it():
    rows = [tg.Tensor(np.ones((n, 2)), requires_grad=True) for n in (2, 1, 3)]  # 3 · 2 in all
    with pytest.raises(ValueError, match="same shape"):
        np.stack(rows)


def test_a_constant_gives_way_to_other_data_and_has_nothing_to_cut():
    x = tg.Tensor([1.0])
    assert np.shares_memory(tg.Tensor(x).data, x.data)  # a Tensor of a Tensor copies nothing
    x.data = np.ones((2, 3))  # nothing was recorded with it
    assert x.shape == (2, 3) and x.cut() is x and not x.requires_grad
    x.requires_grad = False
    assert not x.requires_grad


def test_a_node_says_what_it_is():
    w = tg.Tensor([1.0, 2.0], requires_grad=True, name="w")
    with tg.step(3):
        h = np.tanh(w)
    assert re.fullmatch(r"<Node \d+: leaf 'w', shape \(2,\)>", repr(w.node))
    assert re.fullmatch(r"<Node \d+: tanh, shape \(2,\) at step 3>", repr(h.node))
    assert h.node.parents == (w.node,)


def test_a_substituted_tensor_needs_a_gradient_if_the_other_does():
    fixed, free = tg.Tensor([1.0]), tg.Tensor([2.0], requires_grad=True)
    with substituted([fixed], [free]):
        assert fixed.requires_grad and fixed.data == 2.0
    assert not fixed.requires_grad and fixed.data == 1.0
