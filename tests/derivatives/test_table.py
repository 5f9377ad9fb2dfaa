"""The walk through the table: every row against differences, and float32 against float64."""

import inspect

import numpy as np
import pytest

import tinygrad_rnn as tg
from tests.derivatives.samples import OLDER, SAMPLES, Case, real
from tinygrad_rnn.derivatives import functions, linalg
from tinygrad_rnn.derivatives.several import part, parts
from tinygrad_rnn.engine import transforms
from tinygrad_rnn.engine.table import COMPOSED, differentiable
from tinygrad_rnn.engine.trees import flatten
from tinygrad_rnn.support.signatures import signature

# What is there before any test adds rows of its own.
TABLE = [*differentiable(), *COMPOSED]

# Not a derivative of its forward, by design; tested by itself below.
BY_DESIGN = {functions.scale_gradient, transforms.alias, np.spacing}

# Tested through what is composed of them.
PARTS = {part, linalg.completing}

ON_SYMMETRIC = {
    *(np.linalg.cholesky, np.linalg.eigh, np.linalg.eigvalsh),
    *(linalg.cholesky, linalg.eigh),
}
SEVERAL = {linalg.eigh, linalg.thin_svd, linalg.thin_qr}

ELEMENTWISE = {
    f
    for f in TABLE
    if (isinstance(f, np.ufunc) and f.signature is None)
    or f in (np.sinc, np.clip, np.where, functions.sigmoid, functions.relu)
}


def name(function):
    return getattr(function, "__name__", str(function))


CASES = [
    pytest.param(function, case, id=f"{name(function)}-{n}")
    for function in TABLE
    for n, case in enumerate(SAMPLES.get(function, []))
]


@pytest.mark.parametrize("function", TABLE, ids=name)
def test_every_row_has_samples(function):
    assert SAMPLES.get(function) or function in BY_DESIGN | PARTS, (
        f"{name(function)} has no sample inputs"
    )


@pytest.mark.parametrize(("function", "case"), CASES)
def test_row_against_differences(function, case):
    order = 3 if function in ELEMENTWISE else 2

    def f(*args):
        if function in ON_SYMMETRIC:  # the differences must not leave the symmetric matrices
            args = ((args[0] + np.swapaxes(args[0], -1, -2)) / 2, *args[1:])
        y = function(*args, **case.kwargs)
        return parts(y) if function in SEVERAL else y

    with np.errstate(all="ignore"):  # a NaN in the input is part of some samples
        tg.check_gradients(f, *case.args, order=order, tolerance=2e-6)


def values_of(function, args, kwargs):
    y = function(*args, **kwargs)
    return parts(y) if function in SEVERAL else flatten(y)


def call(case: Case, function, convert):
    """The value and the gradient of a case, whose float arrays are converted first."""

    args = _converted(case.args, convert)
    places = [n for n, arg in enumerate(args) if any(map(_is_float, flatten(arg)))]

    def f(*floats):
        given = dict(zip(places, floats, strict=True))
        y = function(*(given.get(n, arg) for n, arg in enumerate(args)), **case.kwargs)
        y = parts(y) if function in SEVERAL else y
        return [leaf for leaf in flatten(y) if _is_float(leaf)]

    if any(not _is_float(leaf) for n in places for leaf in flatten(args[n])):
        pytest.skip("mixed with integers in one list")
    value, pullback = tg.vjp(f, *(args[n] for n in places))
    return (
        value,
        flatten(pullback([np.ones_like(v) for v in value])),
        flatten([args[n] for n in places]),
    )


def _converted(tree, convert):
    if isinstance(tree, list | tuple):
        return type(tree)(_converted(branch, convert) for branch in tree)
    return convert(tree) if _is_float(tree) else tree


def _is_float(leaf):
    return getattr(getattr(leaf, "dtype", None), "kind", "") == "f"


@pytest.mark.parametrize(("function", "case"), CASES)
def test_value_is_numpys_and_float32_stays_float32(function, case):
    def single(x):
        return x.astype(np.float32)

    with np.errstate(all="ignore"):
        plain = [y for y in values_of(function, case.args, case.kwargs) if _is_float(y)]
        values, gradients, _ = call(case, function, np.asarray)
        for a, b in zip(values, plain, strict=True):
            assert np.shape(a) == np.shape(b)
            np.testing.assert_allclose(a, b, rtol=1e-13, atol=1e-14)
        values32, gradients32, args32 = call(case, function, single)
    for gradient, gradient32, arg in zip(gradients, gradients32, args32, strict=True):
        assert gradient32.dtype == arg.dtype == np.float32
        assert gradient32.shape == arg.shape
        np.testing.assert_allclose(gradient32, gradient, rtol=2e-3, atol=2e-3)
    plain32 = values_of(function, _converted(case.args, single), case.kwargs)
    assert [v.dtype for v in values32] == [y.dtype for y in plain32 if _is_float(y)]


def arrays_of(case):
    return [n for n, arg in enumerate(case.args) if _is_float(arg) and np.size(arg)]


@pytest.mark.parametrize(
    ("function", "case"),
    [c for c in CASES if isinstance(c.values[0], np.ufunc) and len(arrays_of(c.values[1])) > 1],
)
def test_lists_of_numbers_are_arrays(function, case):
    places = arrays_of(case)

    def gradient(place, convert):
        args = [convert(a) if n in places and n != place else a for n, a in enumerate(case.args)]
        args[place] = tg.Tensor(args[place], requires_grad=True)
        with np.errstate(all="ignore"):
            parts = flatten(function(*args, **case.kwargs))
            return tg.gradients(sum(np.sum(np.sin(part)) for part in parts), [args[place]])[0]

    for place in places:
        expected = gradient(place, np.asarray)
        np.testing.assert_array_equal(gradient(place, np.ndarray.tolist), expected)


def test_a_row_without_samples_is_found():
    with pytest.raises(AssertionError, match="has no sample inputs"):
        test_every_row_has_samples(tg.derivative(lambda x: x, lambda g: g))


def test_scale_gradient_scales_the_gradient_alone():
    x, xi = real(2, 3), np.array([[0.5], [2.0]])
    value, pullback = tg.vjp(lambda x: tg.scale_gradient(x, xi), x)
    np.testing.assert_array_equal(value, x)
    np.testing.assert_array_equal(pullback(x)[0], x * xi)


def test_compositions_have_numpys_defaults() -> None:
    """Also defaults that no sample leaves out, and numbers where NumPy says "no value"."""
    compared = 0
    for function, composition in ((f, c) for f, c in COMPOSED.items() if f in TABLE):
        if OLDER and isinstance(function, np.ufunc):  # it does not tell
            continue
        numpys = signature(function).parameters
        for name, ours in inspect.signature(composition.call).parameters.items():
            if ours.default is ours.empty or name not in numpys:
                continue
            default = numpys[name].default
            if OLDER and default is ours.empty:
                continue
            if default is np._NoValue:
                default = False if name == "keepdims" else None
            if name != "kind":  # of sorting: it changes no value
                assert ours.default == default, (function, name)
                compared += 1
    assert compared > 100
