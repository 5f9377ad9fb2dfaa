"""Options that change which numbers are meant, and those that have no derivative."""

from __future__ import annotations

import numpy as np
import pytest

import tinygrad_rnn as tg
from tinygrad_rnn.engine.apply import unwrap

rng = np.random.default_rng(0)
A, WIDE = rng.normal(size=(3, 3)), rng.normal(size=(2, 4))
BLOCKS = rng.normal(size=(2, 6, 3)) + np.transpose(3 * np.eye(6).reshape(2, 3, 6), (0, 2, 1))


@pytest.mark.parametrize(
    ("f", "args"),
    [
        (lambda a, t: np.pad(a, 1, constant_values=t), [A, np.array(0.5)]),
        (lambda a, t: np.pad(a, ((1, 0), (2, 1)), constant_values=t), [A, np.array([0.5, 2.0])]),
        (lambda a, b: np.linalg.tensorsolve(a, b, axes=(1,)), [BLOCKS, rng.normal(size=(2, 3))]),
        (lambda a: np.reshape(a, (4, 2), order="F"), [WIDE]),
        (lambda a: np.reshape(a, (4, 2), "F"), [WIDE]),
        (lambda a, t: np.full_like(a, t) * a, [A, np.array(0.5)]),
        (lambda a: np.full_like(a, 2.0) * a, [A]),
        (lambda a: np.linalg.svd(a, full_matrices=True)[1], [WIDE]),
        (lambda a: np.choose([0, 3, -1], list(a), mode="wrap"), [A]),
        (lambda a: np.choose([0, 3, -1], list(a), mode="clip"), [A]),
        (lambda a: np.polyfit(np.arange(3.0), a, 1, w=np.array([1.0, 2.0, 0.5])), [A]),
    ],
)
def test_an_option_and_its_derivative(f, args):
    tg.check_gradients(f, *args, order=2, tolerance=2e-6)


@pytest.mark.parametrize(
    ("f", "message"),
    [
        (lambda a: np.reshape(a, (4, 2), order="A"), "reshape with order='A' has no derivative"),
        (lambda a: np.ravel(a, order="K"), "ravel with order='K' has no derivative"),
        (
            lambda a: np.linalg.norm(a, "fro", axis=0),
            "ord='fro' is a matrix norm and needs two axes",
        ),
        (lambda a: np.linalg.norm(a, 3), "there is no matrix norm with ord=3"),
        (lambda a: np.gradient(a[:1, :2], axis=0), "needs at least 2 values .*, but there are 1"),
        (lambda a: np.unique(a, axis=0), "unique with axis= has no derivative here"),
        (lambda a: np.choose([0, 2], list(a)), "choose has 2 choices, .* range over 0..2"),
        (lambda a: np.choose([0, -1], list(a)), "in 0..1, but they range over -1..0"),
        (lambda a: np.linalg.tensorinv(a[:1, :1], 0), "ind must be at least 1, not 0"),
        (lambda a: np.linalg.matrix_power(a[0], 2), r"square .* have powers, not the shape \(4,\)"),
        (lambda a: np.linalg.matrix_power(a, 2), r"square .* have powers, not the shape \(2, 4\)"),
        (lambda a: np.poly(a[:, :2]), "poly of a matrix has no derivative here"),
        (lambda a: np.linalg.svd(a, full_matrices=True)[2] @ np.ones(4), "svd adds to make"),
    ],
)
def test_an_option_without_a_derivative(f, message):
    with pytest.raises((TypeError, ValueError), match=message):
        tg.grad(lambda a: np.sum(f(a)))(WIDE)


def test_the_full_svd_is_numpys_and_its_first_vectors_have_a_gradient():
    w = tg.Tensor(WIDE, requires_grad=True)
    vh = np.linalg.svd(w, full_matrices=True)[2]
    np.testing.assert_allclose(abs(vh.data), abs(np.linalg.svd(WIDE)[2]), atol=1e-12)
    full = tg.gradients(np.sum(vh[:2] ** 3), [w])[0]
    thin = tg.gradients(np.sum(np.linalg.svd(w, full_matrices=False)[2] ** 3), [w])[0]
    np.testing.assert_allclose(abs(full), abs(thin), atol=1e-12)


def with_one_zero(a):
    return (np.arange(a.size).reshape(a.shape) > 0).astype(a.dtype)


@pytest.mark.parametrize(
    "f",
    [
        lambda a: np.linalg.matrix_power(a, 0),
        lambda a: np.reshape(a, (-1,), "F"),
        lambda a: np.full_like(a, a[:1], dtype=np.float32),
        lambda a: np.linalg.lstsq(a, a[:, 0] + 1)[1],
        lambda a: np.linalg.lstsq(a, a + 1)[1],
        lambda a: np.linalg.norm(a, 0, axis=1),
        lambda a: np.cov(a[:1], rowvar=False, bias=True),
        lambda a: np.cov(a[:, :1], rowvar=False),
        lambda a: np.cov(a[:, 0], a[:, 1], rowvar=False),
        lambda a: np.cov(a, a[:, :1], rowvar=False),
        lambda a: np.cov(a[:, :1], a[:, 0], rowvar=False),
        lambda a: np.linalg.norm(a, 0, axis=0, keepdims=True),
        lambda a: np.linalg.norm(a * with_one_zero(a), 0.5, axis=1),
        lambda a: np.linalg.norm(a * with_one_zero(a), -0.5, axis=1),
        lambda a: np.linalg.norm(a * with_one_zero(a), -2, axis=0, keepdims=True),
    ],
)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@np.errstate(divide="ignore")  # a norm of negative order divides by zeros
def test_shapes_and_dtypes_are_numpys(f, dtype):
    tall = np.concatenate([A, A[:1]]).astype(dtype)
    a = A.astype(dtype) if f(np.eye(3)).shape == (3, 3) else tall
    found, expected = f(tg.Tensor(a, requires_grad=True)).data, f(a)
    assert (found.shape, found.dtype) == (expected.shape, expected.dtype)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


def test_full_like_has_the_dtype_that_is_asked_for():
    x = tg.Tensor(A, requires_grad=True)
    assert np.full_like(x, 2.0, dtype=np.float32).dtype == np.float32


@pytest.mark.filterwarnings("ignore:Polyfit may be poorly conditioned")
@pytest.mark.parametrize("rcond", [None, 0.5, 0.9])
def test_small_singular_values_of_a_fit_are_left_out(rcond):
    x, y = np.array([1.0, 2.0, 4.0, 5.0]), np.array([0.5, -1.0, 2.0, 0.25])
    found = np.polyfit(x, tg.Tensor(y, requires_grad=True), 2, rcond=rcond).data
    np.testing.assert_allclose(found, np.polyfit(x, y, 2, rcond=rcond), rtol=1e-10)


def test_sinc_at_zero_divides_by_nothing():
    assert tg.grad(np.sinc)(0.0) == 0 and tg.grad(tg.grad(np.sinc))(0.0) < -3


def of_rank_three(smallest):
    """A matrix (300, 3) with the singular values 1, 0.75 and a small one."""
    left, right = np.linalg.qr(rng.normal(size=(300, 3)))[0], np.linalg.qr(A)[0]
    return left * [1.0, 0.75, smallest] @ right


@pytest.mark.parametrize("smallest", [0.25, 2e-14])
@pytest.mark.parametrize("rcond", [None, -1, 0, 1e-13, 0.5])
@pytest.mark.parametrize("is_tall", [True, False])
def test_least_squares_count_the_rank_as_numpy_does(smallest, rcond, is_tall):
    a = of_rank_three(smallest) if is_tall else of_rank_three(smallest).T
    b = np.cos(np.arange(len(a)))
    expected = np.linalg.lstsq(a, b, rcond=rcond)
    found = unwrap(np.linalg.lstsq(tg.Tensor(a, requires_grad=True), b, rcond=rcond))
    size = np.max(np.abs(expected[0]))
    np.testing.assert_allclose(found[0] / size, expected[0] / size, rtol=0, atol=0.05)
    assert found[1].shape == expected[1].shape and found[2] == expected[2]
    np.testing.assert_allclose(found[1], expected[1], rtol=0.05)
    np.testing.assert_allclose(found[3], expected[3], atol=1e-12)


@pytest.mark.parametrize("rcond", [None, -1, 0, 1e-20, 0.5, 1, 2])
@pytest.mark.parametrize("smallest", [1e-17, 9e-17, 1.5e-16, 3e-16, 6e-16])
def test_least_squares_leave_out_what_is_below_the_precision(rcond, smallest):
    a, b = np.diag([1.0, smallest]), np.ones(2)
    found = np.linalg.lstsq(tg.Tensor(a, requires_grad=True), b, rcond)[0]
    np.testing.assert_allclose(found.data, np.linalg.lstsq(a, b, rcond)[0])


@pytest.mark.parametrize("option", ["rcond", "rtol"])
def test_a_singular_value_that_is_left_out_must_be_zero(option):
    matrices = np.array([np.diag([4.0, 1.0]), np.diag([0.04, 0.02])])

    def gradient(a, cut):
        return tg.grad(lambda a: np.sum(np.linalg.pinv(a, **{option: cut})))(a)

    np.testing.assert_array_equal(gradient(matrices, 0.2), gradient(matrices, None))
    np.testing.assert_allclose(gradient(matrices * [1, 0], 0.5)[:, 0, 0], [-1 / 16, -1 / 0.0016])
    for cut in (0.25, np.array([0.1, 0.6])):
        with pytest.raises(ValueError, match=r"other than 0 .* a smaller tolerance than .*0"):
            gradient(matrices, cut)
    # What is left out counts as 0 if it is no larger than rounding leaves in the square.
    assert np.isfinite(gradient(np.diag([4.0, 4 * 2**-26]), 0.5)).all()
    with pytest.raises(ValueError, match=r"than 0\.5$"):
        gradient(np.diag([4.0, 4 * 2**-25]), 0.5)
    assert gradient(np.zeros((2, 0)), 0.5).shape == (2, 0)
