"""What the table says about points where a derivative is a matter of choice is what comes out."""

from typing import Any

import numpy as np
import pytest

import tinygrad_rnn as tg
from tinygrad_rnn.derivatives import arithmetic, reductions
from tinygrad_rnn.engine.table import CONVENTIONS
from tinygrad_rnn.engine.trees import flatten

inf, nan = np.inf, np.nan
ties, largest_twice = [1.0, 2.0, 2.0], [1.0, 3.0, 3.0]
many_ties = np.random.default_rng(0).integers(0, 3, 1000).astype(np.float64)
exchange, first = np.array([[0.0, 1.0], [1.0, 0.0]]), np.array([[1.0, 0.0], [0.0, 0.0]])

# By sentence: the function, what is called, its arguments, and the gradient by each of them of the
# sum of 1, 2, 3, ... times the values.
POINTS: dict[str, list[tuple[Any, ...]]] = {
    "the gradient at 0 is 0": [
        (np.absolute, np.absolute, [0.0], [0.0]),
        (np.absolute, np.absolute, [-0.0], [0.0]),
        (np.fabs, np.fabs, [0.0], [0.0]),
        (np.copysign, np.copysign, [0.0, 2.0], [0.0, 0.0]),
        (np.copysign, np.copysign, [0.0, -2.0], [0.0, 0.0]),
    ],
    "by the exponent: 0 at base 0, NaN for negative bases, where there is none": [
        (f, call, [2.0], [expected])
        for f in (np.power, np.float_power)
        for call, expected in (
            (lambda n, f=f: f(0.0, n), 0.0),
            (lambda n, f=f: f(-2.0, n), nan),
        )
    ],
    "at a tie the two share the gradient equally": [
        (f, f, [2.0, 2.0], [0.5, 0.5]) for f in (np.maximum, np.minimum, np.fmax, np.fmin)
    ],
    "at a bound the gradient is the array's": [
        (arithmetic.clip, arithmetic.clip, [1.0, 1.0, 2.0], [1.0, 0.0, 0.0]),
        (arithmetic.clip, arithmetic.clip, [2.0, 1.0, 2.0], [1.0, 0.0, 0.0]),
    ],
    "the gradient is 0, also at the steps": [
        *(
            (f, f, [[0.0, 1.0, -2.0, 0.5, 0.3]], [np.zeros(5)])
            for f in (np.sign, np.floor, np.ceil, np.trunc, np.rint, np.fix, np.spacing)
        ),
        *(
            (f, f, [[0.0, 1.0, -2.0, 0.5, 0.3]], [np.zeros(5)])
            for f in (np.round, np.around, np.imag, np.angle)
        ),
        (np.floor_divide, np.floor_divide, [[4.0, 5.0], 2.0], [np.zeros(2), 0.0]),
        (np.heaviside, lambda x: np.heaviside(x, 0.5), [[0.0, 1.0]], [np.zeros(2)]),
    ],
    "at the jumps, the derivative of the branch taken": [
        (np.remainder, np.remainder, [4.0, 2.0], [1.0, -2.0]),
        (np.fmod, np.fmod, [-4.0, 2.0], [1.0, 2.0]),
        (np.divmod, np.divmod, [4.0, 2.0], [1.0, -2.0]),
        (np.modf, np.modf, [2.0], [1.0]),
    ],
    "equal infinities share the gradient equally": [
        *(
            (f, f, [[inf, -inf], [inf, -inf]], [[0.5, 1.0], [0.5, 1.0]])
            for f in (np.logaddexp, np.logaddexp2)
        ),
        (
            reductions.logsumexp,
            lambda x: reductions.logsumexp(x, 1, False),
            [[[inf, inf], [-inf, -inf]]],
            [[[0.5, 0.5], [1.0, 1.0]]],
        ),
    ],
    "the gradient at the origin is 0": [
        (np.hypot, np.hypot, [0.0, 0.0], [0.0, 0.0]),
        (np.arctan2, np.arctan2, [0.0, 0.0], [0.0, 0.0]),
    ],
    "the gradient is 0 where the deviation is 0": [(np.std, np.std, [[2.0, 2.0]], [[0.0, 0.0]])],
    "all entries equal to the extreme share its gradient equally": [
        (np.max, np.max, [largest_twice], [[0.0, 0.5, 0.5]]),
        (np.min, np.min, [[1.0, 1.0, 2.0]], [[0.5, 0.5, 0.0]]),
        (np.ptp, np.ptp, [largest_twice], [[-1.0, 0.5, 0.5]]),
    ],
    "the gradient is 0 where the root is 0": [
        (reductions.root, reductions.root, [[0.0, 4.0]], [[0.0, 0.5]])
    ],
    "of equal entries, the first gets the gradient": [
        (np.unique, np.unique, [[3.0, 1.0, 3.0]], [[2.0, 1.0, 0.0]])
    ],
    "equal entries keep their order, and each gets its own gradient": [
        (np.sort, np.sort, [[2.0, 2.0, 1.0]], [[2.0, 3.0, 1.0]]),
        (np.sort, np.sort, [many_ties], [1.0 + np.argsort(np.argsort(many_ties, kind="stable"))]),
    ],
    "the rank is held constant": [
        (np.linalg.pinv, lambda s: np.linalg.pinv(s * first), [2.0], [-0.25]),
        (np.linalg.lstsq, lambda s: np.linalg.lstsq(s * first, [3.0, 5.0])[0], [2.0], [-0.75]),
    ],
    "the matrix counts as symmetric: the gradient is by both triangles at once": [
        (
            np.linalg.cholesky,
            np.linalg.cholesky,
            [np.diag([4.0, 9.0])],
            [[[1 / 4, 0.75], [0.75, 2 / 3]]],
        ),
        (np.linalg.eigvalsh, np.linalg.eigvalsh, [exchange], [[[1.5, 0.5], [0.5, 1.5]]]),
        (np.linalg.eigh, lambda a: np.linalg.eigh(a)[0], [exchange], [[[1.5, 0.5], [0.5, 1.5]]]),
    ],
    "the gradient at 0 is 0; equal largest entries share it": [
        *((f, f, [[0.0, 0.0]], [[0.0, 0.0]]) for f in (np.linalg.norm, np.linalg.vector_norm)),
        *(
            (f, lambda x, f=f: f(x, ord=inf), [[3.0, -3.0, 1.0]], [[0.5, -0.5, 0.0]])
            for f in (np.linalg.norm, np.linalg.vector_norm)
        ),
        (np.linalg.matrix_norm, np.linalg.matrix_norm, [0 * first], [0 * first]),
        (
            np.linalg.matrix_norm,
            lambda x: np.linalg.matrix_norm(x, ord=inf),
            [np.eye(2)],
            [np.eye(2) / 2],
        ),
    ],
    "at a knot, the slope to its right": [
        (np.interp, lambda x: np.interp(x, [0.0, 1.0, 2.0], [0.0, 1.0, 3.0]), [1.0], [2.0])
    ],
    "among equal entries, those that sorting puts at the place": [
        *((f, f, [ties], [[0.0, 1.0, 0.0]]) for f in (np.median, np.nanmedian)),
        *(
            (f, lambda x, f=f, half=half: f(x, half), [ties], [[0.0, 1.0, 0.0]])
            for f, half in (
                (np.quantile, 0.5),
                (np.percentile, 50),
                (np.nanquantile, 0.5),
                (np.nanpercentile, 50),
            )
        ),
    ],
}

CASES = [
    pytest.param(says, *point, id=f"{point[0].__name__}-{n}")
    for says, points in POINTS.items()
    for n, point in enumerate(points)
]


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize(("says", "function", "call", "args", "expected"), CASES)
def test_the_gradient_is_what_the_convention_says(says, function, call, args, expected):
    assert CONVENTIONS[function] == says

    def weighted(*args):
        values = [np.ravel(y) for y in flatten(call(*args))]
        return sum(np.sum(y * np.arange(1.0, len(y) + 1)) for y in values)

    gradients = tg.grad(weighted, tuple(range(len(args))))(*map(np.asarray, args))
    for gradient, wanted in zip(gradients, expected, strict=True):
        np.testing.assert_allclose(gradient, wanted, rtol=1e-12, atol=1e-15)


def test_every_convention_has_a_point():
    assert {case.values[1] for case in CASES} | {np.partition} == CONVENTIONS.keys()


def test_partition_may_exchange_equal_entries():
    assert CONVENTIONS[np.partition] == "each of equal entries gets the gradient of one place"
    weights = np.arange(1000.0)
    gradient = tg.grad(lambda x: np.partition(x, 3) @ weights)(np.ones(1000))
    np.testing.assert_array_equal(np.sort(gradient), weights)
