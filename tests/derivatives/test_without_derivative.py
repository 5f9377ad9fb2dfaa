"""Every function without a derivative: it computes plain values, or it is refused in a sentence."""

from typing import Any

import numpy as np
import pytest

import tinygrad_rnn as tg
from tinygrad_rnn.derivatives import functions
from tinygrad_rnn.engine.apply import unwrap
from tinygrad_rnn.engine.errors import name_of
from tinygrad_rnn.engine.table import COMPOSED, CONSTANT, REFUSED, rule_of
from tinygrad_rnn.engine.trees import flatten


def leaf(values: Any) -> tg.Tensor:
    return tg.Tensor(np.array(values), requires_grad=True)


v, w, m = leaf([0.5, -1.0, 2.0]), leaf([0.5, 2.0, np.inf]), leaf([[1.0, 2.0], [2.0, 4.0]])

# Plain values -------------------------------------------------------------------------------------
PLAIN: dict[Any, tuple[Any, ...]] = {
    function: args
    for args, some in (
        ((v,), (np.all, np.any, np.argmax, np.argmin, np.nanargmax, np.nanargmin)),
        ((v,), (np.argsort, np.argwhere, np.nonzero, np.flatnonzero, np.count_nonzero)),
        ((v,), (np.ndim, np.shape, np.size, np.common_type, np.min_scalar_type)),
        ((v,), (np.array2string, np.array_repr, np.array_str, np.ones_like, np.zeros_like)),
        ((v,), (np.isreal, np.iscomplex, np.isrealobj, np.iscomplexobj, np.signbit)),
        ((w,), (np.isnan, np.isinf, np.isfinite, np.isneginf, np.isposinf, np.logical_not)),
        ((v, w), (np.equal, np.not_equal, np.less, np.less_equal, np.greater, np.greater_equal)),
        ((v, w), (np.logical_and, np.logical_or, np.logical_xor, np.isclose, np.allclose)),
        ((v, w), (np.array_equal, np.array_equiv, np.may_share_memory, np.shares_memory)),
        ((v, w), (np.isin, np.result_type, np.searchsorted)),
        ((v, 1), (np.argpartition,)),
        ((v, np.float64), (np.can_cast,)),
        ((v, np.array([0.0, 1.0])), (np.digitize,)),
        (((v, w),), (np.lexsort,)),
        ((m,), (np.linalg.matrix_rank,)),
        ((tg.Tensor(np.array([1, 0])), 3, np.float32), (functions._one_hot,)),
    )
    for function in some
}
# Empty arrays have any values, and what is saved is read again.
OTHERS = {np.empty_like, np.save, np.savez, np.savez_compressed, np.savetxt}


def by_name(function):
    return name_of(function).removeprefix("np.")


def has_a_tensor(value):
    return any(type(part) is tg.Tensor for part in flatten(value))


@pytest.mark.parametrize("function", PLAIN, ids=by_name)
def test_the_value_is_plain_and_numpys(function):
    found, expected = function(*PLAIN[function]), function(*unwrap(PLAIN[function]))
    assert not has_a_tensor(found) and type(found) is type(expected)
    np.testing.assert_equal(found, expected)


def test_an_empty_array_is_plain():
    found = np.empty_like(v)
    assert (type(found), found.shape, found.dtype) == (np.ndarray, (3,), np.float64)


@pytest.mark.parametrize(
    ("save", "read"),
    [
        (np.save, np.load),
        (np.savez, lambda path: np.load(path)["arr_0"]),
        (np.savez_compressed, lambda path: np.load(path)["arr_0"]),
        (np.savetxt, np.loadtxt),
    ],
    ids=by_name,
)
def test_what_is_saved_is_the_value(save, read, tmp_path):
    path = tmp_path / "v.npy"
    with path.open("wb") as file:
        save(file, v)
    np.testing.assert_array_equal(read(path), v.data)


def test_every_constant_function_is_called():
    assert PLAIN.keys() | OTHERS == CONSTANT


# Refused ------------------------------------------------------------------------------------------
COMPLEX = "computes with complex values, which have no derivatives here"
IN_PLACE = (
    "writes in place, which the graph would not see: build the value with np.where, "
    "np.concatenate or np.insert"
)
COPIED = (
    "writes in place, which the graph would not see: write np.where for np.copyto, "
    "t * np.ones(shape) for np.full and t * np.ones_like(array) for np.full_like, which use it"
)
COUNTED = "compares or counts values, and has no derivative"

a, places = np.ones(3), np.array([0, 2])
CALLS: dict[Any, tuple[str, tuple[Any, ...]]] = {
    function: (reason, args)
    for reason, args, some in (
        (COMPLEX, (v,), (np.fft.fft, np.fft.ifft, np.fft.rfft, np.fft.irfft)),
        (COMPLEX, (v,), (np.fft.hfft, np.fft.ihfft)),
        (COMPLEX, (m,), (np.fft.fft2, np.fft.ifft2, np.fft.rfft2, np.fft.irfft2)),
        (COMPLEX, (m,), (np.fft.fftn, np.fft.ifftn, np.fft.rfftn, np.fft.irfftn)),
        (COMPLEX, (m,), (np.linalg.eig, np.linalg.eigvals)),
        (COMPLEX, (v,), (np.roots, np.emath.sqrt, np.emath.log, np.emath.arccos, np.emath.arcsin)),
        (COMPLEX, (v, 2.0), (np.emath.power,)),
        (COPIED, (a, v), (np.copyto,)),
        (IN_PLACE, (m, 0.0), (np.fill_diagonal,)),
        (IN_PLACE, (v, a > 0, a), (np.place,)),
        (IN_PLACE, (v, places, a[:2]), (np.put,)),
        (IN_PLACE, (v, places, a[:2], 0), (np.put_along_axis,)),
        (IN_PLACE, (v, a > 0, a), (np.putmask,)),
        (IN_PLACE, (a, places, v[:2]), (np.add.at, np.subtract.at, np.multiply.at)),
        (IN_PLACE, (a, places, v[:2]), (np.divide.at, np.maximum.at, np.minimum.at)),
        (COUNTED, (v,), (np.histogram, np.histogramdd, np.histogram_bin_edges)),
        (COUNTED, (v, w), (np.histogram2d,)),
        (COUNTED, (v, w), (np.intersect1d, np.setdiff1d, np.setxor1d, np.union1d)),
        (COUNTED, (v,), (np.unique_all, np.unique_counts, np.unique_inverse, np.unique_values)),
    )
    for function in some
}


@pytest.mark.parametrize("function", CALLS, ids=by_name)
def test_refused_in_one_sentence_that_says_why(function):
    name, (reason, args) = name_of(function), CALLS[function]
    with pytest.raises(TypeError) as caught:
        function(*args)
    assert str(caught.value) == (
        f"an argument of {name} needs a gradient, but {name} {reason}; "
        f"pass .data to compute without a gradient"
    )


def test_every_refused_function_is_called():
    assert CALLS.keys() == REFUSED.keys()


def test_each_function_is_in_one_table():
    plain_or_refused = [*CONSTANT, *REFUSED]
    assert len(set(plain_or_refused)) == len(plain_or_refused)
    assert not [f for f in plain_or_refused if f in COMPOSED or rule_of(f)]
