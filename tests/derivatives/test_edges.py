"""Kinks, ties, zeros, infinities, singular matrices: the right number, or a clear refusal."""

import tracemalloc
import warnings
from fractions import Fraction

import numpy as np
import pytest

import tinygrad_rnn as tg
from tests.derivatives.samples import OLDER, singular
from tinygrad_rnn.derivatives import reductions

inf, nan = np.inf, np.nan
pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning")


def gradient(f, *args, of=0):
    arrays = [np.asarray(arg, dtype=np.float64) for arg in args]
    return tg.grad(lambda *x: np.sum(f(*x)), of)(*arrays)


KINKS = [
    (np.abs, ([0.0, -0.0, -2.0],), [0, 0, -1]),
    (np.fabs, ([0.0, -2.0],), [0, -1]),
    (np.max, ([1.0, 3.0, 3.0],), [0, 0.5, 0.5]),
    (np.min, ([inf, inf],), [0.5, 0.5]),
    (lambda x: np.max(x, axis=(0, 1)), (np.ones((2, 2)),), np.full((2, 2), 0.25)),
    (np.ptp, ([1.0, 1.0, 2.0],), [-0.5, -0.5, 1]),
    (np.std, ([0.0, 2.0],), [-0.5, 0.5]),
    (reductions.root, ([0.0, 0.25, 4.0],), [0, 1, 0.25]),
    (
        lambda x: np.interp(x, [0.0, 1.0, 2.0], [0.0, 1.0, 3.0], left=-1.0, right=4.0),
        ([-1.0, 0.0, 1.0, 2.0, 3.0],),
        [0, 1, 2, 2, 0],
    ),
    (lambda x: np.polymul(x, [1.0, 2.0]), ([0.0, 0.0],), [0, 3]),
    (np.maximum, ([1.0, 2.0, inf], [1.0, 0.0, inf]), [0.5, 1, 0.5]),
    (np.fmax, ([nan, 1.0, 2.0], [1.0, nan, 2.0]), [0, 1, 0.5]),
    (lambda x: np.clip(x, 0, 1), ([0.0, 0.5, 1.0, 2.0],), [1, 1, 1, 0]),
    (lambda low: np.clip([0.0, 0.0, 0.5], low, [1.0, 0.5, 0.5]), ([0.0, 0.5, 0.5],), [0, 1, 0]),
    (lambda high: np.clip([1.0, 0.0, 2.0], 0.0, high), ([1.0, 0.0, 1.0],), [0, 0, 1]),
    (lambda half: np.heaviside([0.0, 1.0, -1.0], half), ([0.5, 0.5, 0.5],), [1, 0, 0]),
    (tg.relu, ([0.0, -1.0, 2.0],), [0, 0, 1]),
    (np.sign, ([0.0, 2.0],), [0, 0]),
    (np.floor, ([0.0, 2.5],), [0, 0]),
    (np.median, ([1.0, 3.0, 2.0, 4.0],), [0, 0.5, 0.5, 0]),
    (lambda x: np.sort(x) @ np.array([1.0, 2.0, 3.0]), ([2.0, 2.0, 1.0],), [2, 3, 1]),
    (lambda x: np.sort(x) @ np.arange(100.0), (np.ones(100),), np.arange(100.0)),
    (np.nan_to_num, ([nan, inf, 1.0],), [0, 0, 1]),
]

POWERS = [
    (np.power, ([0.0, 0.0, 0.0, 0.0, inf], [0.0, 1.0, 2.0, 3.0, 0.0]), [0, 1, 0, 0, 0]),
    (np.power, ([-2.0, -1.5], [3.0, 2.0]), [12, -3]),
    (lambda x: x**3, ([0.0, -2.0],), [0, 12]),
    (lambda x: x**0, ([0.0, 2.0],), [0, 0]),
    (lambda x: x**-1, ([2.0],), [-0.25]),
    (np.float_power, ([0.0, -2.0], [2.0, 3.0]), [0, 12]),
    (lambda n: np.power(np.zeros(3), n), ([0.0, 1.0, 2.0],), [0, 0, 0]),
    (lambda n: np.power([0.0, 1.0], n), ([2.0, 3.0],), [0, 0]),
    (lambda n: np.power(2.0, n), ([-inf, 0.0],), [0, np.log(2)]),
]

LIMITS = [
    (np.tanh, ([inf, -inf, 1e10],), [0, 0, 0]),
    (tg.sigmoid, ([inf, -inf],), [0, 0]),
    (np.exp, ([-inf, -800.0],), [0, 0]),
    (np.arctan, ([inf, 1e200],), [0, 0]),
    (np.arcsinh, ([1e200, -inf],), [1e-200, 0]),
    (np.arccosh, ([1e200],), [1e-200]),
    (np.sinc, ([0.0, 1.0, inf],), [0, -1, 0]),
    (np.hypot, ([0.0, inf, 3e200], [0.0, 1.0, 4e200]), [0, 1, 0.6]),
    (lambda x: np.hypot([0.0, inf, 3e200], x), ([0.0, 1.0, 4e200],), [0, 0, 0.8]),
    (np.hypot, ([-inf, -0.0, 1.0], [inf, 2.0, -inf]), [-1, 0, 0]),
    (np.arctan2, ([0.0, inf, 1.0, 1e-200], [0.0, 1.0, inf, 1e-200]), [0, 0, 0, 5e199]),
    (lambda x: np.arctan2([0.0, inf, 1.0], x), ([0.0, 1.0, inf],), [0, 0, 0]),
    (np.logaddexp, ([-inf, inf, 0.0, 1e4], [0.0, 0.0, -inf, -1e4]), [0, 1, 1, 1]),
    (np.logaddexp, ([inf, -inf], [inf, -inf]), [0.5, 0.5]),
    (lambda x: np.logaddexp([inf, -inf, 0.0], x), ([inf, -inf, 0.0],), [0.5, 0.5, 0.5]),
    (np.logaddexp2, ([inf, -inf, 0.0], [inf, -inf, 0.0]), [0.5, 0.5, 0.5]),
    (lambda x: np.logaddexp2([inf, -inf, 0.0], x), ([inf, -inf, 0.0],), [0.5, 0.5, 0.5]),
    (np.logaddexp.reduce, ([-inf, 0.0, 0.0],), [0, 0.5, 0.5]),
    (np.logaddexp.reduce, ([-inf, -inf],), [0.5, 0.5]),
    (np.logaddexp.reduce, ([inf, 3.0],), [1, 0]),
    (lambda x: np.logaddexp.reduce(x, axis=1), ([[inf, inf], [0, -inf]],), [[0.5, 0.5], [1, 0]]),
    (np.true_divide, ([1.0, 0.0], [inf, 2.0]), [0, 0.5]),
]

ZEROS = [
    (np.prod, ([0.0, 2.0, 3.0],), [6, 0, 0]),
    (np.prod, ([0.0, 0.0, 3.0],), [0, 0, 0]),
    (np.prod, ([inf, 2.0],), [2, inf]),
    (np.prod, ([1e-200, 1e-200, 1.0],), [1e-200, 1e-200, 0]),
    (np.cumprod, ([2.0, 0.0, 3.0, 4.0],), [1, 32, 0, 0]),
    (np.std, ([1.0, 1.0],), [0, 0]),
    (np.linalg.norm, ([0.0, 0.0],), [0, 0]),
    (np.linalg.norm, (np.zeros((2, 3)),), np.zeros((2, 3))),
    *((lambda x, p=p: np.linalg.norm(x, p), ([0.0, 0.0],), [0, 0]) for p in (1, 2, 3, inf, 0.5)),
    (lambda x: np.linalg.norm(x, 3), ([0.0, 1.0],), [0, 1]),
    (lambda x: np.linalg.norm(x, -2), ([0.0, 1.0],), [0, 0]),
    (lambda x: np.linalg.norm(x, axis=1), ([[0.0, 0.0], [3.0, 4.0]],), [[0, 0], [0.6, 0.8]]),
    (np.linalg.det, ([[1.0, 2.0], [2.0, 4.0]],), [[4, -2], [-2, 1]]),
    (np.linalg.det, (np.zeros((3, 3)),), np.zeros((3, 3))),
    (np.linalg.eigvalsh, (np.eye(2),), np.eye(2)),
    (lambda a: np.linalg.svd(a, compute_uv=False), (np.eye(2),), np.eye(2)),
    (np.sum, (np.zeros((0, 3)),), np.zeros((0, 3))),
    (np.prod, (np.zeros((0,)),), np.zeros((0,))),
]


@pytest.mark.parametrize(("f", "args", "expected"), KINKS + POWERS + LIMITS + ZEROS)
def test_the_number_is_right(f, args, expected):
    np.testing.assert_allclose(gradient(f, *args), expected, rtol=1e-12, atol=1e-15)


def test_higher_derivatives_where_the_first_is_special():
    def second(f, x):
        return float(tg.grad(tg.grad(f))(x))

    assert second(lambda x: x**2, 0.0) == 2
    assert second(lambda x: x**3, 0.0) == 0
    assert second(lambda x: x**1, 0.0) == 0
    assert abs(second(np.sinc, 0.0) + np.pi**2 / 3) < 1e-14
    mixed = tg.grad(lambda n: tg.grad(lambda x: np.power(x, n))(0.0))(2.0)
    assert mixed == 0
    H = tg.hessian(np.prod)(np.array([0.0, 2.0, 3.0]))
    np.testing.assert_allclose(H, [[0, 3, 2], [3, 0, 0], [2, 0, 0]])
    H = tg.hessian(np.linalg.det)(singular)  # ∂² det / ∂a_11 ∂a_22 = a_33
    assert abs(H[0, 0, 1, 1] - singular[2, 2]) < 1e-12


@pytest.mark.parametrize(
    ("f", "x", "error", "says"),
    [
        (np.linalg.inv, singular, np.linalg.LinAlgError, "Singular"),
        (lambda a: np.linalg.slogdet(a)[1], singular * 0, np.linalg.LinAlgError, "Singular"),
        (lambda a: np.linalg.eigh(a)[1], np.eye(2), ValueError, "distinct"),
        (lambda a: np.linalg.svd(a)[0], np.eye(2), ValueError, "distinct"),
        (lambda a: np.linalg.qr(a)[0], np.ones((2, 2)), ValueError, "full rank"),
        (lambda a: np.linalg.svd(a, False)[2], np.eye(2, 3) * [1, 0, 0], ValueError, "full rank"),
        (
            lambda a: np.linalg.svd(a)[0],
            np.eye(3)[:, :2] * [1, 2],
            TypeError,
            "full_matrices=False",
        ),
        (lambda a: np.linalg.qr(a, "complete")[0], np.ones((3, 2)), TypeError, "mode='reduced'"),
        (lambda a: np.cross(a, a[::-1]), np.ones((2, 2)), ValueError, r"length 3.*\(2, 2\)"),
        (lambda a: np.cross(a, np.ones((2, 3))), np.ones((2, 2)), ValueError, "length 3"),
        (np.median, [nan, 1.0], ValueError, "NaN"),
        (lambda x: np.quantile(x, 0.5), [nan, 1.0], ValueError, "NaN"),
        (lambda x: np.percentile(x, 50), [nan, 1.0], ValueError, "NaN"),
        (lambda x: np.geomspace(x, [1.0, -1.0], 3), [0.0, -1.0], ValueError, "neither of them 0"),
        (lambda x: np.geomspace([1.0, -1.0], x, 3), [0.0, -1.0], ValueError, "neither of them 0"),
        (lambda x: np.quantile(x, 0.5, method="hazen"), [1.0, 2.0], TypeError, "hazen"),
        (lambda x: np.average(x, weights=[0, 0]), [1.0, 2.0], ZeroDivisionError, "sum to 0"),
        (lambda x: np.pad(x, 1, mode="linear_ramp"), [1.0, 2.0], TypeError, "linear_ramp"),
        (lambda x: np.split(x, 2), [1.0, 2.0, 3.0], ValueError, "equal parts"),
    ],
)
def test_what_has_no_derivative_is_refused(f, x, error, says):
    with pytest.raises(error, match=says):
        gradient(lambda a: sum(map(np.sum, y)) if isinstance(y := f(a), list) else y, x)


TORCH = {
    "maximum": (np.maximum, lambda t: t.maximum, ([1.0, 2.0], [1.0, 0.0])),
    "amax": (np.max, lambda t: t.amax, ([1.0, 3.0, 3.0],)),
    "prod": (np.prod, lambda t: t.prod, ([0.0, 2.0, 3.0],)),
    "cumprod": (np.cumprod, lambda t: lambda x: t.cumprod(x, 0), ([2.0, 0.0, 3.0, 0.0],)),
    "pow": (np.power, lambda t: t.pow, ([0.0, 0.0, -2.0, 3.0], [0.0, 2.0, 3.0, 0.0])),
    "norm": (np.linalg.norm, lambda t: t.linalg.norm, ([0.0, 0.0],)),
    "abs": (np.abs, lambda t: t.abs, ([0.0, -1.0],)),
    "hypot": (np.hypot, lambda t: t.hypot, ([3.0, 1.0], [4.0, 0.0])),
    "logaddexp": (np.logaddexp, lambda t: t.logaddexp, ([-inf, 800.0], [0.0, -800.0])),
    "clip": (lambda x: np.clip(x, 0, 1), lambda t: lambda x: t.clamp(x, 0, 1), ([0.0, 1.0, 3.0],)),
    "where": (
        lambda x: np.where(x > 0, np.sqrt(np.where(x > 0, x, 1)), 0 * x),
        lambda t: lambda x: t.where(x > 0, t.sqrt(t.where(x > 0, x, t.ones_like(x))), 0 * x),
        ([-1.0, 0.0, 4.0],),
    ),
    "remainder": (np.remainder, lambda t: t.remainder, ([-7.0, 7.5], [2.0, -2.0])),
    "fmod": (np.fmod, lambda t: t.fmod, ([-7.0, 7.5], [2.0, -2.0])),
    "copysign": (np.copysign, lambda t: t.copysign, ([0.0, -2.0], [-1.0, 1.0])),
    "nan_to_num": (np.nan_to_num, lambda t: t.nan_to_num, ([nan, inf, -inf, 2.0],)),
    "nansum": (np.nansum, lambda t: t.nansum, ([nan, 2.0],)),
    "sinc": (np.sinc, lambda t: t.sinc, ([0.0, 1e-4, 2.0],)),
    "pinv": (np.linalg.pinv, lambda t: t.linalg.pinv, (np.outer([1.0, 2.0], [3.0, 4.0]),)),
}


@pytest.mark.parametrize("name", TORCH)
def test_edges_against_torch(name):
    torch = pytest.importorskip("torch")
    ours, theirs, args = TORCH[name]
    arrays = [np.asarray(arg, dtype=np.float64) for arg in args]
    tensors = [torch.tensor(array, requires_grad=True) for array in arrays]
    theirs(torch)(*tensors).sum().backward()
    for place, tensor in enumerate(tensors):
        if (name, place) == ("pow", 1):  # NaN there for the negative base, 0 here for base 0
            continue
        np.testing.assert_allclose(
            gradient(ours, *arrays, of=place), tensor.grad.numpy(), rtol=1e-9, atol=1e-12
        )


@pytest.mark.parametrize("axis", [0, 1, -1, None])
def test_where_joined_arrays_begin_is_found_once_for_all_of_them(axis):
    parts = [tg.Tensor(np.full((2, 2), float(n)), requires_grad=True) for n in range(50)]
    weights = np.arange(200.0).reshape(np.concatenate([p.data for p in parts], axis).shape)
    joined = np.concatenate(parts, axis)
    found = tg.gradients(np.sum(joined * weights), parts)
    rows = np.split(weights, 50, axis or 0)
    np.testing.assert_array_equal(found, [row.reshape(2, 2) for row in rows])
    (shapes,) = {id(kept[1]): kept[1] for *_, kept in joined.node.edges}.values()
    assert len(shapes.starts[axis]) == 51


BILINEAR = [
    *((np.convolve, {"mode": mode}, 5, 3) for mode in ("full", "same", "valid")),
    *((np.correlate, {"mode": mode}, 5, 3) for mode in ("full", "same", "valid")),
    *((np.convolve, {"mode": mode}, 2, 4) for mode in ("full", "same", "valid")),
    (np.cross, {}, 3, 3),
]


@pytest.mark.parametrize(("f", "options", "n", "m"), BILINEAR)
def test_a_nan_reaches_no_product_that_it_is_no_factor_of(f, options, n, m):
    """The products a_i v_j in each entry of the result are those of NumPy's own function."""
    units = np.eye(n), np.eye(m)
    products = np.array([[f(a, v, **options) != 0 for v in units[1]] for a in units[0]])
    for place in range(2):
        for entry in range((n, m)[place]):
            arrays = [np.arange(1.0, n + 1), np.arange(2.0, m + 2)]
            arrays[place][entry] = nan
            a, v = (tg.Tensor(array, requires_grad=True) for array in arrays)
            y = f(a, v, **options)
            np.testing.assert_array_equal(np.isnan(y.data), np.isnan(f(*arrays, **options)))
            found = tg.gradients(np.sum(y), [a, v])
            reached = np.any(np.take(products, entry, axis=place), axis=-1)
            np.testing.assert_array_equal(np.isnan(found[1 - place]), reached)
            assert not np.isnan(found[place]).any()


def test_a_convolution_keeps_no_array_of_all_products():
    a, v = (tg.Tensor(np.ones(size), requires_grad=True) for size in (5000, 500))
    tracemalloc.start()
    try:
        tg.gradients(np.sum(np.convolve(a, v)), [a, v])
        assert tracemalloc.get_traced_memory()[1] < 20 * a.data.nbytes
    finally:
        tracemalloc.stop()


def test_the_power_0_is_the_identity_whatever_the_matrix():
    a = tg.Tensor(np.full((2, 3, 3), nan), requires_grad=True)
    y = np.linalg.matrix_power(a, 0)
    np.testing.assert_array_equal(y.data, np.linalg.matrix_power(a.data, 0))
    np.testing.assert_array_equal(tg.gradients(np.sum(y * nan), [a])[0], np.zeros((2, 3, 3)))


def test_counts_of_nothing():
    assert np.bincount(np.zeros(0, int), tg.Tensor(np.zeros(0), requires_grad=True)).shape == (0,)


def test_trimmed_zeros_get_no_gradient():
    assert gradient(lambda x: np.trim_zeros(x) * 2, [0.0, 1.5, 0.0, 2.0, 0.0]).tolist() == [
        0,
        2,
        2,
        2,
        0,
    ]
    assert gradient(lambda x: np.trim_zeros(x, "b"), [0.0, 1.5, 0.0]).tolist() == [1, 1, 0]
    assert gradient(lambda x: np.trim_zeros(x, "F"), [0.0, 1.5, 0.0]).tolist() == [0, 1, 1]
    assert gradient(np.trim_zeros, [0.0, 0.0]).tolist() == [0, 0]
    for trim in ("f", "b", "fb"):
        for x in (np.zeros(3), np.array([0.0, 1.0, 0.0])):
            found = np.trim_zeros(tg.Tensor(x, requires_grad=True), trim)
            np.testing.assert_array_equal(found.data, np.trim_zeros(x, trim))
    middle = np.pad([[1.5, 2.0]], 1)
    for axis in () if OLDER else (None, 0, -1, 1, (-2, 1)):
        found = np.trim_zeros(tg.Tensor(middle, requires_grad=True), axis=axis)
        np.testing.assert_array_equal(found.data, np.trim_zeros(middle, axis=axis))


@pytest.mark.parametrize(
    "steps",
    [range(5), range(3), range(2), range(4), range(-1, 5), range(1, 5), [0, 2, 4], [2, 3, 4]],
)
def test_any_steps_of_a_sequence_can_be_taken(steps):
    xs, weights = tg.Tensor(np.ones((5, 3, 2)), requires_grad=True), np.arange(1.0, 7.0)
    sum(np.sum(xs[t]) * weight for t, weight in zip(steps, weights, strict=False)).backward()
    expected = np.zeros((5, 3, 2))
    np.add.at(expected, list(steps), weights[: len(steps), None, None])
    np.testing.assert_array_equal(xs.grad, expected)


def test_of_equal_entries_the_first_is_the_unique_one():
    assert gradient(lambda x: np.unique(x) * np.array([1.0, 2.0]), [3.0, 1.0, 3.0]).tolist() == [
        2,
        1,
        0,
    ]


def test_an_einsum_that_names_no_output_sorts_its_numbers():
    x, w = np.arange(9.0).reshape(3, 3), np.arange(9.0).reshape(3, 3) ** 2
    np.testing.assert_array_equal(gradient(lambda x: np.einsum(x, [30, 2]) * w, x), w.T)


DRAWN = np.random.default_rng(0).normal(size=(100, 2)).tolist()


@pytest.mark.parametrize("num", [2, 3, 7, 50])
@pytest.mark.parametrize("endpoint", [True, False])
def test_every_value_of_a_linspace_is_numpys_bit_by_bit(num, endpoint):
    steps_of_one = [(0.1, 0.1 + num - 1), (-0.3, num - 0.3), (1.0, 0.0)]
    for start, stop in [*DRAWN, *steps_of_one, (0.0, 5e-324), (2.0, 2.0)]:
        values = np.linspace(tg.Tensor(start, requires_grad=True), stop, num, endpoint).data
        np.testing.assert_array_equal(values, np.linspace(start, stop, num, endpoint))


@pytest.mark.parametrize(("num", "endpoint"), [(1, True), (0, False), (0, True), (2, True)])
def test_the_step_of_a_linspace_is_numpys(num, endpoint):
    step = np.linspace(tg.Tensor(0.5, requires_grad=True), 2.0, num, endpoint, retstep=True)[1]
    expected = np.linspace(0.5, 2.0, num, endpoint, retstep=True)[1]
    np.testing.assert_array_equal(getattr(step, "data", step), expected)


def test_rounding_makes_no_correlation_larger_than_one():
    rng = np.random.default_rng(0)
    above = 0
    for _ in range(200):
        row = rng.normal(size=4)
        rows = np.stack([row, rng.uniform(-3, 3) * row])
        scale = np.sqrt(np.diagonal(np.cov(rows)))
        above += np.abs(np.cov(rows) / scale[:, None] / scale).max() > 1
        found = np.corrcoef(tg.Tensor(rows, requires_grad=True)).data
        np.testing.assert_array_equal(np.abs(found) <= 1, True)
    assert above > 20


@pytest.mark.filterwarnings("ignore:All-NaN")
@pytest.mark.parametrize("f", [np.nanmax, np.nanmin, np.nanmean, np.nanvar, np.nanstd])
def test_nothing_but_nans_has_no_number(f):
    rows = np.array([[nan, nan], [nan, 2.0]])
    for axis in (0, 1):
        found = f(tg.Tensor(rows, requires_grad=True), axis=axis).data
        np.testing.assert_array_equal(found, f(rows, axis=axis))


def test_more_degrees_of_freedom_than_values():
    x = tg.Tensor([[1.0, 2.0], [0.0, 5.0]], requires_grad=True)
    np.testing.assert_array_equal(np.cov(x, ddof=3).data, np.cov(x.data, ddof=3))
    assert np.isnan(np.nanvar(x, ddof=5).data) and np.isnan(np.nanstd(x, ddof=4).data)


@pytest.mark.parametrize("axis", [1, None])
def test_the_mean_of_nothing_has_an_empty_gradient(axis):
    mean, pullback = tg.vjp(lambda x: np.mean(x, axis=axis), np.zeros((2, 0)))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        (found,) = pullback(np.ones_like(mean))
    assert found.shape == (2, 0)


def test_the_same_argument_twice():
    both = tg.grad(lambda a, b: a * b, (0, 0, -2))(3.0, 4.0)
    assert [float(g) for g in both] == [4, 4, 4]
    both = tg.jacobian(lambda a, b: a * b, (0, 0))(np.array([3.0]), 4.0)
    assert [g.tolist() for g in both] == [[[4]], [[4]]]


def test_the_gradient_of_one_number_in_any_shape():
    assert tg.grad(lambda x: np.sum(x * x).reshape(1, 1))(np.ones(2)).tolist() == [2, 2]
    with pytest.raises(ValueError, match=r"returned the shape \(2,\)"):
        tg.grad(lambda x: x)(np.ones(2))


t, v = tg.Tensor(2.0, requires_grad=True), tg.Tensor([1.0, 2.0, 3.0], requires_grad=True)


@pytest.mark.parametrize(
    ("call", "error", "sentence"),
    [
        (lambda: v * np.array([1, 2, 3], object), TypeError, "array of Python objects.*float"),
        (lambda: v * Fraction(1, 2), TypeError, "array of Python objects"),
        (lambda: np.linalg.norm(np.ones((2, 2, 2)) * t, 1), ValueError, "one axis or two, not"),
        (lambda: np.matmul(np.ones((3, 3, 4)) * t, np.ones((3, 2))), ValueError, "matmul: Input"),
        (lambda: np.stack([v[:2], np.ones(1), np.ones(3)]), ValueError, "must have the same shape"),
        (lambda: np.stack([v[:2], np.ones(1)]), ValueError, "must have the same shape"),
        (lambda: np.linspace(t, 2.0, -1), ValueError, "num must be at least 0"),
        (lambda: np.diff(v, -1), ValueError, "n must be at least 0, not -1"),
        (lambda: np.insert(np.arange(3), 1, t), TypeError, "rounded to the array's dtype int"),
        (lambda: np.geomspace(t, -2.0, 3), ValueError, "of the same sign"),
        (
            lambda: np.piecewise(v, [v.data > 1], [1, 2, 3]),
            ValueError,
            "1 conditions takes as many",
        ),
        (lambda: np.copyto(v, 0), TypeError, "writes in place"),
        (lambda: np.add.at(v, [0], 1.0), TypeError, "writes in place"),
        (
            lambda: np.gradient(v, 1.0, 2.0),
            TypeError,
            "one for each of the 1 axes, but there are 2$",
        ),
        (
            lambda: np.gradient(np.ones((3, 3)) * t, np.arange(3.0)),
            TypeError,
            "one for each of the 2 axes, but there are 1$",
        ),
        (
            lambda: np.array_split(v, 0),
            ValueError,
            "^an array is split into at least 1 part, not 0$",
        ),
        (lambda: np.percentile(v, 130), ValueError, r"^q must lie in 0\.\.100, but it is 130\.0$"),
        (
            lambda: np.cov(np.ones((2, 3)) * t, fweights=np.ones(2, int)),
            ValueError,
            r"^3 observations need as many weights, but they have the shape \(2,\)$",
        ),
        (lambda: np.histogram(v), TypeError, "compares or counts values"),
        (
            lambda: np.convolve(v, []),
            ValueError,
            "^neither sequence may be empty, but they have 3 and 0 entries$",
        ),
    ],
)
def test_what_cannot_be_is_one_sentence(call, error, sentence):
    with pytest.raises(error, match=sentence):
        call()


@pytest.mark.parametrize(
    ("f", "q"),
    [
        *((f, ()) for f in (np.median, np.nanmedian)),
        *((f, (0.5,)) for f in (np.quantile, np.nanquantile, np.percentile, np.nanpercentile)),
    ],
)
def test_nothing_has_no_median(f, q):
    sentence = r"^medians and quantiles need .*, but an array of shape \(0, 2\) has none.* \(0,\)$"
    with pytest.raises(ValueError, match=sentence):
        f(np.zeros((0, 2)) * t, *q, axis=0)
    assert f(np.zeros((2, 0)) * t, *q, axis=0).shape == (0,)


def test_what_is_saved_loses_no_gradient(tmp_path):
    np.savez(tmp_path / "weights.npz", v=v)
    np.testing.assert_array_equal(np.load(tmp_path / "weights.npz")["v"], v.data)


def test_an_interpolation_is_computed_in_double_precision():
    x, xp, fp = (np.array(a, np.float16) for a in ([0.1, 0.7], [0.0, 0.3, 1.0], [2.0, 3.1, 9.7]))
    found = np.interp(tg.Tensor(x, requires_grad=True), xp, fp)
    np.testing.assert_allclose(found.data, np.interp(x, xp, fp), rtol=1e-15)
    found = tg.grad(lambda fp: np.sum(np.interp(x, xp, fp)))(fp)
    assert found.dtype == np.float16 and found.sum() == 2


@pytest.mark.parametrize("f", [np.nanmean, np.nanvar, np.nanstd])
def test_bytes_in_the_other_order(f):
    a = np.array([1.0, nan, 2.5]).astype(">f8" if np.little_endian else "<f8")
    assert f(tg.Tensor(a, requires_grad=True)).data == f(a)


@pytest.mark.parametrize("f", [np.quantile, np.nanquantile])
def test_every_quantile_is_numpys_bit_by_bit(f):
    rng = np.random.default_rng(0)
    for values in (rng.normal(size=(20, 7)), rng.choice([-inf, inf, 0.0, 1.0], (20, 7))):
        for q in (0.0, 0.05, 0.1, 0.25, 0.3, 0.5, 0.77, 1.0):
            found = f(tg.Tensor(values, requires_grad=True), q, axis=1).data
            expected = f(values, q, axis=1)
            there = ~np.isnan(expected)  # NumPy has none between equal infinities
            np.testing.assert_array_equal(found[there], expected[there])
            assert there.all() or np.isinf(values).any()


def test_infinities_are_counted_as_numpy_does():
    infinite = tg.Tensor([inf, 0.0, 1.0], requires_grad=True)
    assert np.linalg.norm(infinite, 0).data == 2
    assert np.median(tg.Tensor([inf, inf, 1.0, inf], requires_grad=True)).data == inf
    roots = [1.0, inf, 2.0]
    found = np.poly(tg.Tensor(roots, requires_grad=True)).data
    np.testing.assert_array_equal(found, np.poly(roots))


def test_leading_zeros_of_polynomials_do_not_count():
    product = np.polymul(tg.Tensor([0.0, 2.0, 1.0], requires_grad=True), np.array([1.0, 3.0]))
    np.testing.assert_array_equal(product.data, np.polymul([0.0, 2.0, 1.0], [1.0, 3.0]))
