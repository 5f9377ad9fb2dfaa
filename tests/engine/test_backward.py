"""The reverse pass: sums over uses, depth, memory, and the readers of the sweep."""

import gc
import tracemalloc
import weakref

import dask.array
import numpy as np
import pytest

import tinygrad_rnn as tg
from tinygrad_rnn.engine.fit import fit


def leaf(*shape, seed=0, name=None):
    data = np.random.default_rng(seed).standard_normal(shape)
    return tg.Tensor(data, requires_grad=True, name=name)


def whole_numbers(*shape, seed=0):
    """Small whole numbers, whose sums and products floating point computes without rounding."""
    data = np.random.default_rng(seed).integers(-3, 4, shape).astype(float)
    return tg.Tensor(data, requires_grad=True)


def test_backward_twice_adds_up():
    W = leaf(3, 3)
    loss = np.sum(np.tanh(W @ W))
    loss.backward()
    once = W.grad.copy()
    loss.backward()
    np.testing.assert_array_equal(W.grad, 2 * once)


def test_the_gradient_belongs_to_its_leaf_alone():
    a, b = leaf(3), leaf(3, seed=1)
    np.sum(a + b).backward()
    a.grad *= 5
    np.testing.assert_array_equal(b.grad, np.ones(3))


def test_a_seed_gradient():
    W = leaf(2, 3)
    seed = np.arange(6.0).reshape(2, 3)
    (W * 2).backward(seed)
    np.testing.assert_array_equal(W.grad, 2 * seed)
    (W * 2).backward([[1, 2, 3], [4, 5, 6]])
    np.testing.assert_array_equal(W.grad, 4 * seed + 2)
    with pytest.raises(ValueError, match=r"shape \(2, 3\).*not \(3,\)"):
        (W * 2).backward(np.ones(3))
    with pytest.raises(ValueError, match=r"\(2, 3\).*np\.sum"):
        (W * 2).backward()


def test_backward_without_a_record_says_so():
    with pytest.raises(TypeError, match="nothing to differentiate"):
        np.sum(tg.Tensor([1.0])).backward()
    W = leaf(2)
    with tg.no_grad():
        loss = np.sum(W)
    with pytest.raises(TypeError, match="nothing to differentiate"):
        loss.backward()


def test_a_leaf_is_its_own_gradient():
    w = tg.Tensor(2.0, requires_grad=True)
    w.backward()
    assert w.grad == 1.0


@pytest.mark.parametrize("operation", [np.add, np.multiply, np.matmul])
def test_a_tensor_used_a_thousand_times_gets_the_sum(operation):
    W, other = whole_numbers(3, 3), whole_numbers(3, 3, seed=1)
    for arguments in [(W, other), (other, W)]:
        W.grad = None
        total = np.sum(np.stack([operation(*arguments) for _ in range(1000)]))
        total.backward()
        many = W.grad
        W.grad = None
        np.sum(operation(*arguments)).backward()
        np.testing.assert_array_equal(many, 1000 * W.grad)


@pytest.mark.parametrize(
    "shapes",
    [((4, 3), (3, 2)), ((3,), (3, 2)), ((4, 3), (3,)), ((2, 4, 3), (3, 2)), ((600, 3), (3, 2))],
)
def test_products_are_summed_at_once_or_one_by_one_alike(shapes):
    first, second = shapes
    W = whole_numbers(*second)
    xs = [whole_numbers(*first, seed=n).data for n in range(7)]
    loss = sum(np.sum((x @ W) * (n + 1)) for n, x in enumerate(xs))
    uses = tg.contributions(loss, W)
    assert len(uses) == 7
    (gradient,) = tg.gradients(loss, [W])
    np.testing.assert_array_equal(gradient, sum(use.gradient for use in uses))
    np.testing.assert_array_equal(
        gradient, sum((n + 1) * tg.gradients(np.sum(x @ W), [W])[0] for n, x in enumerate(xs))
    )


def test_mixed_uses_of_one_matrix():
    W, x, stack = whole_numbers(3, 3), whole_numbers(4, 3).data, whole_numbers(2, 4, 3).data
    loss = np.sum(x @ W) + np.sum(x[0] @ W) + np.sum(stack @ W) + np.sum(W) + np.sum(W @ W[0])
    (gradient,) = tg.gradients(loss, [W])
    np.testing.assert_array_equal(gradient, sum(use.gradient for use in tg.contributions(loss, W)))
    ones = np.ones((3, 3))
    by_hand = (x.sum(0) + x[0] + stack.sum((0, 1)))[:, None] * ones + 1 + ones * W.data[0]
    by_hand[0] += W.data.sum(0)
    np.testing.assert_array_equal(gradient, by_hand)


def test_contributions_of_a_tied_weight():
    cell = tg.RNNCell(3, 4, rng=0)
    xs = np.random.default_rng(1).standard_normal((6, 2, 3))
    states, _ = tg.unroll(cell, xs)
    loss = np.sum(states[-1] ** 2) + np.sum(states[2])
    for name, parameter in cell.parameters().items():
        uses = tg.contributions(loss, parameter)
        assert [use.step for use in uses] == list(range(6)), name
        assert all(use.gradient.shape == parameter.shape for use in uses)
        (gradient,) = tg.gradients(loss, [parameter])
        np.testing.assert_allclose(sum(u.gradient for u in uses), gradient, rtol=0, atol=1e-15)


def test_contributions_sum_exactly():
    cell = tg.RNNCell(3, 4, "identity", rng=0)
    for parameter in cell.parameters().values():
        parameter.data = np.round(parameter.data * 2)
    xs = np.random.default_rng(1).integers(-2, 3, (6, 2, 3)).astype(float)
    states, _ = tg.unroll(cell, xs)
    loss = np.sum(states[-1]) + np.sum(states[2])
    for parameter in cell.parameters().values():
        uses = tg.contributions(loss, parameter)
        (gradient,) = tg.gradients(loss, [parameter])
        np.testing.assert_array_equal(sum(use.gradient for use in uses), gradient)


def test_gradients_of_inner_values_and_of_what_is_not_reached():
    w, other = leaf(2), leaf(3)
    h = w * 3
    loss = np.sum(h * h)
    of_h, of_w, of_other = tg.gradients(loss, [h, w, other])
    np.testing.assert_allclose(of_h, 6 * w.data, rtol=1e-15)
    np.testing.assert_allclose(of_w, 18 * w.data, rtol=1e-15)
    np.testing.assert_array_equal(of_other, np.zeros(3))
    assert w.grad is None


def test_create_graph_keeps_differentiating():
    w = tg.Tensor(2.0, requires_grad=True)
    value = w**5
    for order, expected in enumerate([80.0, 160.0, 240.0, 240.0, 120.0], 1):
        (value,) = tg.gradients(value, [w], create_graph=True)
        assert value.item() == pytest.approx(expected, rel=1e-14), order


def test_repeated_indices_add_up():
    w = leaf(4)
    np.sum(w[[0, 0, 2]] * np.array([1.0, 2.0, 4.0])).backward()
    np.testing.assert_array_equal(w.grad, [3.0, 0.0, 4.0, 0.0])


def test_several_uses_by_arrays_of_indices():
    x, places = tg.Tensor(np.ones((3, 4)), requires_grad=True), np.array([0, 0, 2])
    loss = np.sum(x[places]) + np.sum(x[places] * 2) + np.sum(x[places] * 3)
    np.testing.assert_array_equal(
        tg.gradients(loss, [x])[0], np.array([12.0, 0, 6])[:, None] * np.ones(4)
    )
    loss = loss + np.sum(x[places[:2], [1, 3]])
    expected = np.array([[12.0, 13, 12, 13], [0, 0, 0, 0], [6, 6, 6, 6]])
    np.testing.assert_array_equal(tg.gradients(loss, [x])[0], expected)


def test_broadcasting_is_undone_in_both_directions():
    np.testing.assert_array_equal(fit(np.ones((5, 2, 3)), (2, 1)), np.full((2, 1), 15.0))
    np.testing.assert_array_equal(fit(np.ones((2, 3)), ()), 6.0)
    np.testing.assert_array_equal(fit(np.array(2.0), (2, 2)), np.full((2, 2), 2.0))
    np.testing.assert_array_equal(fit(np.ones((4, 0)), (1, 0)), np.ones((1, 0)))
    np.testing.assert_array_equal(fit(np.ones((0, 4)), (4,)), np.zeros(4))


def test_dask_arrays_inside_tensors():
    rng = np.random.default_rng(0)
    arrays = {"x": (6, 4), "W": (4, 3), "b": (3,), "V": (3, 2)}
    arrays = {name: rng.standard_normal(shape) for name, shape in arrays.items()}

    def gradients(convert):
        x, W, b, V = (tg.Tensor(convert(a), requires_grad=True) for a in arrays.values())
        h = x
        h = np.tanh(x @ W + b)
        h = np.concatenate([h[:3], np.where(h[3:].data > 0, h[3:] * h[3:], 0.5 * h[3:])])
        loss = np.mean(np.stack([h @ V, h @ V])) + np.sum(np.transpose(h)) + np.max(V)
        loss.backward()
        return [t.grad for t in (x, W, b, V)]

    plain = gradients(lambda a: a)
    lazy = gradients(lambda a: dask.array.from_array(a, chunks=2))
    for of_numpy, of_dask in zip(plain, lazy, strict=True):
        assert isinstance(of_dask, dask.array.Array)
        np.testing.assert_allclose(of_dask.compute(), of_numpy, rtol=1e-13)


@pytest.fixture
def no_garbage_collector():
    gc.collect()
    gc.disable()
    yield
    gc.enable()


@pytest.mark.usefixtures("no_garbage_collector")
def test_a_million_operations():
    w = tg.Tensor(1.0, requires_grad=True)
    value = w
    for _ in range(1_000_000):
        value = value * 1.0000001
    node = weakref.ref(value.node)
    value.backward()
    assert w.grad == pytest.approx(1.0000001**1_000_000, rel=1e-9)
    del value
    assert node() is None


@pytest.mark.usefixtures("no_garbage_collector")
def test_dropping_the_loss_frees_the_graph_at_once():
    cell = tg.RNNCell(3, 4, rng=0)
    xs = np.ones((20, 2, 3))
    states, _ = tg.unroll(cell, xs)
    loss = tg.cross_entropy(np.stack(states), np.zeros((20, 2), int))
    loss.backward()
    nodes = [weakref.ref(n) for n in tg.tape(loss) if n.function is not None]
    assert len(nodes) > 100
    del states, loss, _
    assert not [node() for node in nodes if node() is not None]


@pytest.mark.usefixtures("no_garbage_collector")
def test_memory_is_what_the_pullbacks_keep():
    n = 100_000

    def kept(operation, count=50):
        x = tg.Tensor(np.ones(n), requires_grad=True)
        tracemalloc.start()
        value = x
        for _ in range(count):
            value = operation(value)
        size = tracemalloc.get_traced_memory()[0]
        tracemalloc.stop()
        return size / (8 * n)

    assert kept(lambda x: x + 1) < 1.5  # the last value and nothing else
    assert kept(lambda x: np.tanh(x)) == pytest.approx(50, abs=1.5)  # the outputs
    assert kept(lambda x: x * np.ones(n)) == pytest.approx(51, abs=1.5)  # the other factor
    assert kept(lambda x: np.sum(x) + x) < 1.5  # a sum keeps nothing


def test_data_times_weight_keeps_the_data_and_not_the_weight():
    x, W = tg.Tensor(np.ones((2, 3))), leaf(3, 4)
    y = x @ W
    kept = [array for edge in y.node.edges for array in edge[3] if isinstance(array, np.ndarray)]
    assert len(kept) == 1 and np.shares_memory(kept[0], x.data)


@pytest.mark.parametrize("axis", [0, 1, 2, -1])
def test_the_rows_of_a_tensor_are_a_sequence_too(axis):
    W, weights = leaf(3, 4, 2), np.random.default_rng(1).normal(size=(3, 4, 2))
    stacked, joined = np.stack(W, axis=axis), np.concatenate(W, axis=min(axis, 1))
    together = np.sum(stacked * np.moveaxis(weights, 0, axis)) + np.sum(joined**2) / 2
    (gradient,) = tg.gradients(together, [W])
    np.testing.assert_allclose(gradient, weights + W.data, rtol=1e-14)


def test_an_argument_named_y_is_not_the_output():
    blend = tg.derivative(lambda x, y: x * y, lambda g, y: g * y, lambda g, x: g * x)
    tg.check_gradients(lambda p, q: blend(p**2, q**2), np.array([2.0]), np.array([3.0]), order=3)


def test_the_gradient_of_a_scalar_leaf_is_an_array():
    w = tg.Tensor(2.0, requires_grad=True)
    (w * w).backward(tg.Tensor(3.0))
    assert type(w.grad) is np.ndarray and w.grad == 12.0


def test_gradients_by_a_value_that_was_cut():
    w = leaf(2)
    h = w * w
    loss = np.sum(h * w)
    h.cut()
    np.testing.assert_array_equal(tg.gradients(loss, [h])[0], w.data)


def test_each_contribution_is_an_array_of_its_own():
    w = tg.Tensor(np.ones(3, np.float32), requires_grad=True)
    one, other = tg.contributions(np.sum((w + w) * np.ones(3)), w)
    one.gradient[0] = 5.0
    assert one.gradient.dtype == np.float32 and other.gradient[0] == 1.0
    with pytest.raises(TypeError, match="needs no gradient"):
        tg.contributions(np.sum(w), tg.Tensor(np.ones(3)))


def test_what_the_elements_of_a_sequence_keep_is_shared():
    rows = [tg.Tensor(np.ones((1, 2)), requires_grad=True) for _ in range(50)]
    joined = np.concatenate(rows)
    shapes = [kept[1] for _, _, _, kept in joined.node.edges]
    assert all(shape is shapes[0] for shape in shapes)
    assert len(shapes[0]) == 50


@pytest.mark.parametrize("indices", [[0, 1, 2], [2, 0], [0, -3], [1, 1, 1], [-1, 2, 0]])
def test_steps_taken_by_integers_get_their_own_gradients(indices):
    xs = whole_numbers(3, 2, 4)
    weights = whole_numbers(len(indices), 2, 4, seed=1).data
    np.sum(np.stack([xs[i] for i in indices]) * weights).backward()
    expected = np.zeros((3, 2, 4))
    np.add.at(expected, indices, weights)
    np.testing.assert_array_equal(xs.grad, expected)


def test_what_a_sum_over_many_numbers_took_is_given_back():
    many, w = np.ones(2**18), tg.Tensor(2.0, requires_grad=True)
    tg.gradients(np.sum(many * w), [w])
    tracemalloc.start()
    tg.gradients(np.sum(many[:-1] * w), [w])
    kept, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert kept < many.nbytes / 2


@pytest.mark.parametrize("shape", [(3,), (1, 3, 2), (2, 3, 1), (1, 2, 3, 2)])
def test_stacks_of_several_ranks_times_one_tensor(shape):
    """What each product contributes has axes of its own, until broadcasting is undone."""
    x2 = leaf(*shape)
    factors = [
        whole_numbers(2, 3, seed=1),
        whole_numbers(4, 2, 2, 3, seed=2),
        whole_numbers(2, 1, 5, 3),
    ]
    loss = sum(np.sum(np.sin(factor @ x2)) for factor in factors)
    (gradient,) = tg.gradients(loss, [x2])
    one_by_one = sum(use.gradient for use in tg.contributions(loss, x2))
    np.testing.assert_allclose(gradient, one_by_one, rtol=0, atol=1e-12)


def test_uses_in_single_precision_do_not_spoil_those_in_double():
    w = tg.Tensor([1.0, 2.0], requires_grad=True)
    third = np.array([1 / 3, 2 / 3])
    half = w.astype(np.float32)
    loss = np.sum(w * third) + np.sum(np.multiply(half, np.float32(2)).astype(np.float64))
    loss = loss + np.sum(w.astype(np.float32).astype(np.float64))
    loss = loss + np.sum(w.astype(np.float32).astype(np.float64))
    (gradient,) = tg.gradients(loss, [w])
    np.testing.assert_allclose(gradient, third + 4, rtol=0, atol=1e-15)


@pytest.mark.parametrize("rows", [(1,), (2, 1), (3, 1)], ids=str)
def test_single_precision_on_the_way_costs_no_more_than_its_own_digits(rows):
    """The gradient of a float64 weight is added up in float64, whatever came first."""
    w = tg.Tensor(np.ones(3), requires_grad=True)
    fine = np.sum(w * 1e-9)  # recorded first, so it comes last
    coarse = [np.sum(w.astype(np.float32) * np.ones(shape, np.float32)) for shape in ((1,), rows)]
    (fine + coarse[0] + coarse[1]).backward()
    np.testing.assert_allclose(w.grad, 1 + rows[0] + 1e-9, rtol=0, atol=1e-15)


def test_what_was_summed_before_it_was_broadcast_is_not_written_into():
    x, w = leaf(3), np.array([1.0, 2.0, 3.0])
    last = np.sum(x * w)  # recorded first
    np.sum(last + np.sum(x) + 2 * np.sum(x)).backward()
    np.testing.assert_array_equal(x.grad, 3 + w)


def test_gradients_by_nothing():
    assert tg.gradients(np.sum(leaf(2)), []) == []


def test_a_coarse_rule_costs_no_more_than_its_own_digits():
    """Its contributions are summed in float32, and what is added to them is not."""
    coarse = tg.derivative(
        lambda x, n: x * 1, lambda g, n: np.broadcast_to(g / n, (n, 3)).astype(np.float32)
    )
    w = tg.Tensor(np.ones(3), requires_grad=True)
    np.sum(w * 1e-9 + coarse(w, 2) + coarse(w, 4)).backward()
    np.testing.assert_allclose(w.grad, 2 + 1e-9, rtol=0, atol=1e-15)


def test_a_single_number_used_in_many_ways():
    """Its sums are NumPy scalars, which nothing can be added to in place."""
    w = tg.Tensor(2.0, requires_grad=True)
    (w * 3.0 + w * 4.0 + w * 5.0 + w[()] * 6.0 + w[...] * 7.0 + w[()] * 8.0).backward()
    assert w.grad == 33.0


def test_what_the_reverse_pass_records_says_whose_gradient_it_computes():
    w = leaf(3)
    y = np.tanh(w)
    (gradient,) = tg.gradients(np.sum(y), [w], create_graph=True)
    made = [node for node in tg.tape(gradient) if node.mark is not None and node.mark.back]
    assert y.node in [node.mark.back() for node in made]
