"""Losses and activations: values, gradients, and what they refuse."""

import ctypes
import re

import dask.array
import numpy as np
import pytest

import tinygrad_rnn as tg
from tinygrad_rnn.derivatives import exponentials
from tinygrad_rnn.derivatives.functions import of_any_kind


def by_definition(logits, labels):
    flat = logits.reshape(-1, logits.shape[-1]).astype(np.longdouble)
    flat = flat - flat.max(axis=1, keepdims=True)
    log_p = flat - np.log(np.exp(flat).sum(axis=1, keepdims=True))
    one_hot = np.eye(logits.shape[-1])[labels.reshape(-1)]
    gradient = (np.exp(log_p) - one_hot) / len(flat)
    return float(-(log_p * one_hot).sum() / len(flat)), gradient.reshape(logits.shape)


@pytest.mark.parametrize("scale", [1.0, 30.0, 1000.0])
@pytest.mark.parametrize("shape", [(5,), (4, 3), (3, 2, 7), (200, 28)])
@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float64, 1e-13), (np.float32, 2e-6)])
def test_cross_entropy(shape, scale, dtype, tolerance):
    rng = np.random.default_rng(0)
    logits = (scale * rng.normal(size=shape)).astype(dtype)
    labels = rng.integers(0, shape[-1], shape[:-1])
    value, gradient = by_definition(logits, labels)
    tensor = tg.Tensor(logits, requires_grad=True)
    loss = tg.cross_entropy(tensor, labels)
    loss.backward()
    assert loss.dtype == dtype and tensor.grad.dtype == dtype
    assert loss.item() == pytest.approx(value, rel=tolerance, abs=tolerance)
    np.testing.assert_allclose(tensor.grad, gradient, rtol=0, atol=tolerance)
    np.testing.assert_allclose(tg.softmax(logits).sum(axis=-1), 1, rtol=10 * tolerance)
    np.testing.assert_allclose(
        np.exp(tg.log_softmax(logits)), tg.softmax(logits), rtol=0, atol=tolerance
    )


def test_rows_far_below_the_largest_lose_no_digits():
    logits = np.array([[1000.0, 999.0], [-1000.0, -1001.0], [0.0, -1.0]])
    expected = np.exp([0.0, -1.0]) / np.sum(np.exp([0.0, -1.0]))
    np.testing.assert_allclose(tg.softmax(logits), np.tile(expected, (3, 1)), rtol=1e-14)
    np.testing.assert_array_equal(tg.softmax(np.array([0.0, -np.inf])), [1.0, 0.0])


def test_a_second_way_back_is_the_first_one_again():
    rng = np.random.default_rng(0)
    logits = tg.Tensor(rng.normal(size=(6, 5)), requires_grad=True)
    labels = rng.integers(0, 5, 6)
    loss = tg.cross_entropy(logits, tg.Tensor(labels))
    first, again = (tg.gradients(loss, [logits])[0] for _ in range(2))
    (recorded,) = tg.gradients(loss, [logits], create_graph=True)
    weighted, _ = (tg.gradients(3 * loss, [logits])[0] for _ in range(2))
    _, expected = by_definition(logits.data, labels)
    np.testing.assert_array_equal(first, again)
    np.testing.assert_array_equal(first, recorded.data)
    np.testing.assert_allclose(first, expected, rtol=0, atol=1e-15)
    np.testing.assert_allclose(weighted, 3 * expected, rtol=0, atol=1e-15)


def test_the_value_and_its_gradient_share_their_exponentials(monkeypatch):
    asked = []
    given = exponentials.exponentials
    monkeypatch.setattr(exponentials, "exponentials", lambda *a: asked.append(a) or given(*a))
    logits = tg.Tensor(np.random.default_rng(0).normal(size=(6, 5)), requires_grad=True)
    loss = tg.cross_entropy(logits, np.zeros(6, int))
    loss.backward()
    assert len(asked) == 1


@pytest.mark.parametrize("largest", [-3.0, 0.0, 15.9, 16.1, 80.0, 700.0])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_with_one_shift_and_without(largest, dtype):
    logits = np.random.default_rng(0).normal(size=(7, 5))
    logits = (logits - logits.max() + largest).astype(dtype)
    labels = np.arange(7) % 5
    value, gradient = by_definition(logits, labels)
    eps = float(np.finfo(dtype).eps)
    for given in (logits, np.asfortranarray(logits), logits[::-1][::-1]):
        tensor = tg.Tensor(given, requires_grad=True)
        loss = tg.cross_entropy(tensor, labels)
        loss.backward()
        assert loss.item() == pytest.approx(value, rel=20 * eps)
        np.testing.assert_allclose(tensor.grad, gradient, rtol=0, atol=2 * eps)


class Words(ctypes.Structure):
    _fields_ = (("words", ctypes.c_uint32 * 16384),)


SIGNALLING = Words((ctypes.c_uint32 * 16384)(*[0x7FA00001] * 16384))
"""NaNs. A function that takes them leaves them on the stack."""


class AfterNaNs(np.ndarray):
    """An array whose products begin on a stack that is full of NaNs."""

    def dot(self, *args):
        leave = ctypes.CFUNCTYPE(ctypes.c_int, Words)(("Py_IsInitialized", ctypes.pythonapi))
        leave(SIGNALLING)
        return np.asarray(self).dot(*args)


@pytest.mark.parametrize("classes", range(1, 10))
def test_what_lies_on_the_stack_raises_no_warning(classes):
    for rows in range(1, 9):
        e, sums = np.empty((rows, classes), np.float32), np.empty(rows, np.float32)
        ones = np.ones(classes, np.float32)
        exponentials.exponentials(np.zeros_like(e), ones, e.view(AfterNaNs), sums)
        np.testing.assert_array_equal(sums, classes)


@pytest.mark.parametrize("kind", [np.uint8, np.int32, np.uint64])
def test_labels_of_every_kind_of_integer(kind):
    logits, labels = np.random.default_rng(0).normal(size=(300, 3)), np.arange(300) % 3
    expected, _ = by_definition(logits, labels)
    assert tg.cross_entropy(logits, labels.astype(kind)) == pytest.approx(expected, rel=1e-13)


@pytest.mark.parametrize("ignore_index", [None, -100, 1])
@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("shape", [(5,), (4, 3), (3, 2, 5)])
def test_ignored_places_and_reductions(shape, reduction, ignore_index):
    rng = np.random.default_rng(0)
    logits, labels = 3 * rng.normal(size=shape), rng.integers(0, shape[-1], shape[:-1])
    if ignore_index is not None and labels.ndim:
        labels = np.where(rng.random(labels.shape) < 0.4, ignore_index, labels)
        labels.flat[0] = ignore_index
    g = rng.normal(size=labels.shape if reduction == "none" else ())
    each, gradient = np.zeros(labels.shape), np.zeros(shape)
    for at in np.ndindex(labels.shape):
        if labels[at] != ignore_index:
            each[at], gradient[at] = by_definition(logits[at], labels[at])
    count = max(1, np.sum(labels != ignore_index))
    expected = {"none": each, "sum": each.sum(), "mean": each.sum() / count}[reduction]
    weight = g[..., None] if reduction == "none" else g / (count if reduction == "mean" else 1)
    for given in (labels, labels.tolist(), tg.Tensor(labels)):
        tensor = tg.Tensor(logits, requires_grad=True)
        loss = tg.cross_entropy(tensor, given, ignore_index, reduction)
        loss.backward(g)
        np.testing.assert_allclose(loss.data, expected, rtol=0, atol=1e-14)
        np.testing.assert_allclose(tensor.grad, gradient * weight, rtol=0, atol=1e-14)
    tg.check_gradients(
        lambda x: np.sum(tg.cross_entropy(x, labels, ignore_index, reduction) * g), logits, order=2
    )


def test_nothing_but_ignored_places():
    logits = tg.Tensor(np.ones((2, 3), np.float32), requires_grad=True)
    loss = tg.cross_entropy(logits, np.array([7, 7]), ignore_index=7)
    loss.backward()
    assert loss.item() == 0 and loss.dtype == np.float32 and not logits.grad.any()


def test_ignored_places_against_pytorch():
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(0)
    logits, labels = rng.normal(size=(6, 4)), np.array([0, -100, 3, 1, -100, 2])
    theirs = torch.nn.functional.cross_entropy(torch.tensor(logits), torch.tensor(labels))
    assert tg.cross_entropy(logits, labels, -100) == pytest.approx(theirs.item(), rel=1e-14)


def test_what_cross_entropy_refuses():
    with pytest.raises(ValueError, match=r"'mean', 'sum', 'none', not 'average'"):
        tg.cross_entropy(np.zeros((2, 3)), np.zeros(2, int), reduction="average")
    logits = np.zeros((4, 3))
    with pytest.raises(ValueError, match=r"\(4, 3\) need labels of shape \(4,\).*\(3,\)"):
        tg.cross_entropy(logits, np.zeros(3, int))
    with pytest.raises(TypeError, match="must be integers, but they are float64"):
        tg.cross_entropy(logits, np.zeros(4))
    for shape, places in (((4, 3), "(4,)"), ((2, 4, 3), "(2, 4)")):
        sentence = (
            f"the labels must be class numbers of shape {places}, but they have the shape {shape} "
            f"of the logits: for one-hot rows, pass np.argmax(labels, axis=-1)"
        )
        for kind in (int, float):
            with pytest.raises(ValueError, match=f"^{re.escape(sentence)}$"):
                tg.cross_entropy(np.zeros(shape), np.zeros(shape, kind))
    with pytest.raises(ValueError, match=r"^logits of shape \(3,\) need labels of shape \(\), "):
        tg.cross_entropy(np.zeros(3), np.zeros(3, int))
    with pytest.raises(ValueError, match=r"0\.\.2.*3 classes.*0\.\.3"):
        tg.cross_entropy(logits, np.array([0, 1, 2, 3]))
    with pytest.raises(ValueError, match="no labels"):
        tg.cross_entropy(np.zeros((0, 3)), np.zeros(0, int))
    step = tg.Tensor(np.zeros((2, 3)), requires_grad=True)
    with pytest.raises(TypeError, match=r"not a list of 2: join"):
        tg.cross_entropy([step, step], np.zeros((2, 2), int))


@pytest.mark.parametrize(
    "function",
    [
        lambda x: tg.cross_entropy(x, np.array([0, 2, 1])),
        lambda x: np.sum(tg.softmax(x) ** 3),
        lambda x: np.sum(tg.log_softmax(x) ** 3),
        lambda x: np.sum(tg.sigmoid(x) ** 3),
        lambda x: np.sum(tg.relu(x) ** 3),
        lambda x: tg.mse(x, np.ones((3, 3))),
        lambda x: np.sum(tg.scale_gradient(x, 1.0) ** 3),
    ],
)
def test_derivatives_to_order_two(function):
    tg.check_gradients(function, np.random.default_rng(0).normal(size=(3, 3)), order=2)


def test_scale_gradient():
    w = tg.Tensor(np.ones((2, 3)), requires_grad=True)
    y = tg.scale_gradient(w, np.array([[0.0], [2.0]]))
    np.testing.assert_array_equal(y.data, w.data)
    np.sum(y).backward()
    np.testing.assert_array_equal(w.grad, [[0, 0, 0], [2, 2, 2]])


@pytest.mark.parametrize("offset", [1e4, 1e6, -1e30])
def test_an_offset_of_all_logits_changes_nothing(offset):
    logits = np.array([[2.0, 0.5, -1.0], [0.0, 0.25, 4.0]], np.float32)
    moved = (logits.astype(np.float64) + offset).astype(np.float32)
    labels = np.array([1, 2])
    expected, _ = by_definition(moved, labels)
    assert tg.cross_entropy(moved, labels) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("scale", [1, 1000])
def test_logits_in_pieces(scale):
    array = pytest.importorskip("dask.array")
    rng = np.random.default_rng(0)
    logits, labels = scale * rng.normal(size=(7, 5)), rng.integers(0, 5, 7)
    value, gradient = by_definition(logits, labels)
    tensor = tg.Tensor(array.from_array(logits, chunks=3), requires_grad=True)
    loss = tg.cross_entropy(tensor, labels)
    loss.backward()
    assert isinstance(loss.data, array.Array) and float(loss.data) == pytest.approx(value)
    np.testing.assert_allclose(np.asarray(tensor.grad), gradient, rtol=0, atol=1e-14)


def test_half_precision():
    logits = np.array([[12.0, 12.0, 11.0], [10.0, 12.0, 12.0]], np.float16)
    value, _ = by_definition(logits, np.array([0, 1]))
    assert tg.cross_entropy(logits, np.array([0, 1])) == pytest.approx(value, rel=2e-3)


def test_logits_of_other_kinds():
    expected = tg.softmax(np.array([1.0, 2.0]))
    for logits in ([1, 2], np.array([1, 2]), [1.0, 2.0]):
        np.testing.assert_array_equal(tg.softmax(logits), expected)
    with np.errstate(invalid="ignore"):
        assert np.isnan(tg.softmax(np.array([0.0, np.inf]))).any()


def test_what_mse_refuses():
    assert tg.mse(np.array([1.0, 3.0]), 1.0) == 2.0
    with pytest.raises(ValueError, match=r"\(4, 1\) and \(4,\)"):
        tg.mse(np.ones((4, 1)), np.ones(4))


def test_half_precision_has_small_numbers_and_many_labels():
    far_below = np.array([[-12.0, -13.0], [0.0, 0.0]], np.float16)
    logits = tg.Tensor(far_below, requires_grad=True)
    tg.cross_entropy(logits, np.array([0, 1])).backward(np.float16(64.0))
    expected = tg.grad(lambda x: 64 * tg.cross_entropy(x, np.array([0, 1])))(
        far_below.astype(np.float64)
    )
    np.testing.assert_allclose(logits.grad, expected, rtol=2e-3)
    many = np.zeros((100_000, 2), np.float16)
    loss = tg.cross_entropy(many, np.zeros(100_000, int))
    assert abs(loss - np.log(2)) < 1e-3 and loss.dtype == np.float16


@pytest.mark.parametrize(
    ("labels", "problem", "says"),
    [
        ([-1], ValueError, r"must lie in 0\.\.2.* range over -1\.\.-1"),
        ([0, 3], ValueError, r"must lie in 0\.\.2.* range over 0\.\.3"),
        ([0.5], TypeError, "must be integers, but they are float64"),
        ([True, False, True], TypeError, "must be integers, but they are bool"),
    ],
)
def test_one_hot_of_what_is_no_class(labels, problem, says):
    with pytest.raises(problem, match=says):
        tg.one_hot(np.array(labels), 3)


def test_one_hot_with_its_arguments_in_the_other_order():
    with pytest.raises(TypeError, match=r"its type is ndarray; the order .* \(labels, classes\)"):
        tg.one_hot(3, np.array([0, 2]))


def test_one_hot_of_no_labels():
    assert tg.one_hot(np.zeros((0, 2), int), 3).shape == (0, 2, 3)


def test_a_single_class_is_certain():
    assert tg.cross_entropy(np.ones((2, 1)), np.zeros(2, int)) == 0


def test_softmax_of_arrays_of_another_kind():
    x = np.random.default_rng(0).normal(size=(2, 3, 4))
    e, sums, shift = of_any_kind(x)
    np.testing.assert_array_equal(shift, x.max(axis=-1, keepdims=True))
    np.testing.assert_array_equal(sums, e.sum(axis=-1, keepdims=True))
    lazy = tg.softmax(dask.array.from_array(x, chunks=2))
    assert isinstance(lazy, dask.array.Array)
    np.testing.assert_allclose(lazy.compute(), tg.softmax(x), rtol=1e-13)


def test_losses_of_arrays_of_another_kind():
    rng = np.random.default_rng(0)
    logits, labels = rng.normal(size=(2, 3, 4)), rng.integers(0, 4, (2, 3))
    lazy = dask.array.from_array(logits, chunks=2), dask.array.from_array(labels, chunks=2)
    found = tg.cross_entropy(*lazy, reduction="none")
    expected = tg.cross_entropy(logits, labels, reduction="none")
    np.testing.assert_allclose(found.compute(), expected, rtol=1e-13)
    found = tg.cross_entropy(lazy[0], labels, reduction="none")
    np.testing.assert_allclose(found.compute(), expected, rtol=1e-13)
    tensors = [tg.Tensor(x, requires_grad=True) for x in (lazy[0], logits)]
    for x, y in zip(tensors, (lazy[1], labels), strict=True):
        np.sum(tg.cross_entropy(x, y, reduction="none") * np.arange(3.0)).backward()
    np.testing.assert_allclose(tensors[0].grad.compute(), tensors[1].grad, rtol=1e-12)
    labels[0, 1] = 4
    found = tg.cross_entropy(lazy[0], dask.array.from_array(labels, chunks=2), reduction="none")
    assert np.argwhere(np.isnan(found.compute())).tolist() == [[0, 1]]  # it could not be checked
    with pytest.raises(ValueError, match=r"must lie in 0\.\.3"):
        tg.cross_entropy(lazy[0], labels)
    with pytest.raises(TypeError, match="must be integers"):
        tg.cross_entropy(lazy[0], lazy[1].astype(float))


def test_one_hot_vectors_have_the_dtype_that_is_asked_for():
    assert tg.one_hot(np.array([1]), 2, np.float32).dtype == np.float32


def test_bytes_in_another_order_are_turned():
    x = np.random.default_rng(0).normal(size=(2, 3))
    found = tg.softmax(x.astype(x.dtype.newbyteorder()))
    assert found.dtype.isnative
    np.testing.assert_array_equal(found, tg.softmax(x))
