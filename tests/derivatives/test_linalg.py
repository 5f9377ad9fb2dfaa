"""Decompositions where values are equal, small, or missing."""

import numpy as np
import pytest

import tinygrad_rnn as tg

rng = np.random.default_rng(0)
EPS = np.finfo(np.float64).eps
SCALES = [2.0**-40, 1.0, 2.0**40]


def stacked(matrix):
    """It at different scales, which have nothing to do with each other."""
    return np.stack([scale * np.array(matrix) for scale in SCALES])


def gradient_of_vectors(decompose, a, n):
    return tg.grad(lambda a: np.sum(np.sin(decompose(a)[n])))(a)


@pytest.mark.parametrize("scale", SCALES)
def test_eigenvalues_are_distinct_if_rounding_does_not_explain_their_distance(scale):
    """It explains four units in the last place of the largest."""
    near, apart = (scale * np.diag([1.0, 1.0 - units * EPS]) for units in (4, 4.5))
    assert np.isfinite(gradient_of_vectors(np.linalg.eigh, apart, 1)).all()
    with pytest.raises(ValueError, match=r"eigenvectors are differentiable where .* distinct"):
        gradient_of_vectors(np.linalg.eigh, near, 1)


def test_eigenvalues_are_compared_within_a_matrix():
    a = stacked([[2.0, 1.0], [1.0, -1.0]])
    alone = [gradient_of_vectors(np.linalg.eigh, matrix, 1) for matrix in a]
    np.testing.assert_array_equal(gradient_of_vectors(np.linalg.eigh, a, 1), alone)


def test_the_eigenvector_of_a_single_number():
    for value in (0.0, 2.0):
        assert gradient_of_vectors(np.linalg.eigh, np.array([[value]]), 1) == 0


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize(("n", "units"), [(2, 8), (3, 12)])
def test_a_rank_is_full_if_rounding_does_not_explain_the_smallest_number(scale, n, units):
    """It explains four units in the last place for each column."""
    low, full = (
        scale * np.diag([*np.ones(n - 1), number * EPS]) for number in (units, units + 0.5)
    )
    assert np.isfinite(gradient_of_vectors(np.linalg.qr, full, 0)).all()
    with pytest.raises(ValueError, match=r"orthogonal factors are .* only where .* full rank"):
        gradient_of_vectors(np.linalg.qr, low, 0)


@pytest.mark.parametrize("decompose", [np.linalg.qr, lambda a: np.linalg.svd(a, False)])
def test_ranks_are_found_within_a_matrix(decompose):
    a = stacked([[2.0, 1.0], [1.0, -1.0], [0.5, 0.0]])
    alone = [gradient_of_vectors(decompose, matrix, 0) for matrix in a]
    np.testing.assert_array_equal(gradient_of_vectors(decompose, a, 0), alone)
    five = np.stack([np.diag([1.0, 8.5 * EPS])] * 5)
    assert np.isfinite(gradient_of_vectors(np.linalg.qr, five, 0)).all()


@pytest.mark.parametrize("n", [0, 2])
@pytest.mark.parametrize("turned", [False, True])
def test_singular_vectors_of_a_matrix_of_low_rank(n, turned):
    """A square matrix has them all; one of another shape needs full rank."""
    low = np.eye(3, 2) * [1.0, 0.0]
    low = low.T if turned else low
    for a in (low, low[None]):
        with pytest.raises(ValueError, match="full rank"):
            gradient_of_vectors(lambda a: np.linalg.svd(a, False), a, n)
    left, right = (np.linalg.qr(rng.normal(size=(3, 3)))[0] for _ in range(2))
    a = left * [3.0, 1.0, 0.0] @ right
    tg.check_gradients(lambda a: np.square(np.linalg.svd(a.T if turned else a)[n]), a)


@pytest.mark.parametrize("shape", [(4, 2), (2, 4), (3, 4, 2), (3, 2, 4), (2, 1, 2, 4)])
def test_the_full_factors_of_stacks(shape):
    a = rng.normal(size=shape)
    found, expected = np.linalg.svd(tg.Tensor(a, requires_grad=True)), np.linalg.svd(a)
    assert type(found) is type(expected)
    for ours, numpys in zip(found, expected, strict=True):
        np.testing.assert_allclose(np.abs(ours.data), np.abs(numpys), atol=1e-12)


@pytest.mark.parametrize("name", ["eigh", "qr", "svd", "slogdet"])
def test_results_have_the_names_of_numpys(name):
    a = np.eye(2) * [1.0, 2.0]
    found, expected = (getattr(np.linalg, name)(x) for x in (tg.Tensor(a, requires_grad=True), a))
    assert type(found) is type(expected)
