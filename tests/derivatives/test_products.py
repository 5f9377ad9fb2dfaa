"""Products with one factor that is used again and again, in every combination of shapes."""

import numpy as np
import pytest

import tinygrad_rnn as tg

rng = np.random.default_rng(0)
VECTOR, MATRIX, STACK = (3,), (3, 4), (2, 3, 4)
USES = {
    # The shape of the factor on the right, and the shapes of those on the left.
    "vectors": (MATRIX, [(3,), (3,), (3,)]),
    "single rows": (MATRIX, [(1, 3)] * 5),
    "a few rows": (MATRIX, [(2, 3), (5, 3), (1, 3), (200, 3), (400, 3), (2, 3)]),
    "no rows": (MATRIX, [(0, 3), (0, 3), (2, 3), (0, 3)]),
    "many rows": (MATRIX, [(513, 3), (600, 3), (520, 3)]),
    "stacks": (MATRIX, [(2, 5, 3), (2, 5, 3), (4, 5, 3)]),
    "stacks of stacks": (MATRIX, [(2, 5, 3), (2, 5, 3), (4, 2, 2, 3)]),
    "rows and a vector": (MATRIX, [(2, 3), (3,), (2, 3)]),
    "a vector and rows": (MATRIX, [(3,), (2, 3), (2, 3)]),
    "rows and a stack": (MATRIX, [(2, 3), (2, 3), (2, 5, 3)]),
    "a stack and rows": (MATRIX, [(2, 5, 3), (2, 3), (2, 3)]),
    "a vector as the right factor": (VECTOR, [(2, 3), (5, 3), (2, 3)]),
    "vectors on both sides": (VECTOR, [(3,), (3,)]),
    "a vector and stacks": (VECTOR, [(2, 5, 3), (2, 5, 3)]),
    "a stack and vectors": (STACK, [(3,), (3,)]),
    "a stack and rows of its matrices": (STACK, [(5, 3), (5, 3)]),
    "two stacks": (STACK, [(2, 5, 3), (1, 2, 3), (4, 2, 2, 3)]),
}


@pytest.mark.parametrize("name", USES)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_gradient_of_all_uses_is_the_sum_of_theirs(name, dtype):
    shape, others = USES[name]
    w = tg.Tensor(rng.normal(size=shape).astype(dtype), requires_grad=True)
    products = [rng.normal(size=other).astype(dtype) @ w for other in others]
    losses = [np.sum(np.sin(product)) for product in products]
    (found,) = tg.gradients(sum(losses), [w])
    alone = [tg.gradients(loss, [w])[0].astype(np.float64) for loss in losses]
    assert (found.shape, found.dtype) == (shape, dtype)
    rtol, atol = (1e-4, 1e-3) if dtype is np.float32 else (1e-12, 1e-12)
    np.testing.assert_allclose(found, sum(alone), rtol=rtol, atol=atol)


@pytest.mark.parametrize("shape", [(2, 3), (5, 2, 3), (3,)])
def test_a_product_stays_where_its_tensor_is(shape):
    dask = pytest.importorskip("dask.array")
    x, w = rng.normal(size=shape), rng.normal(size=(3, 4))
    for n in (0, 1):
        factors = [x, w]
        t = factors[n] = tg.Tensor(dask.from_array(factors[n]), requires_grad=True)
        product = np.matmul(*factors)
        (gradient,) = tg.gradients(np.sum(product * np.cos(x @ w)), [t])
        assert type(product.data) is type(gradient) is dask.Array
        np.testing.assert_allclose(product.data, x @ w)
        _, pullback = tg.vjp(np.matmul, x, w)
        np.testing.assert_allclose(gradient, pullback(np.cos(x @ w))[n])
