"""What NumPy's own ways of calling do with a Tensor that needs a gradient."""

import numpy as np
import pytest

import tinygrad_rnn as tg
from tests.derivatives.samples import real
from tinygrad_rnn.engine.table import rule_of

ones = np.ones(3)


def leaf(*shape):
    return tg.Tensor(real(*shape), requires_grad=True)


def add_into_array():
    array = np.zeros(3)
    array += leaf(3)


def set_slice():
    array = np.zeros(3)
    array[:] = leaf(3)


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (add_into_array, r"add would write .* x = x \+ t"),
        (set_slice, r"shape \(3,\) needs a gradient.*write \.data"),
        (lambda: np.asarray(leaf(3)), r"write \.data"),
        (lambda: np.array([leaf(), leaf()]), "np.stack"),
        (lambda: np.sum([leaf(), leaf()]), "np.stack"),
        (lambda: np.add(leaf(3), 1, out=np.zeros(3)), "plain array"),
        (lambda: np.add(ones, 1, out=leaf(3)), "cannot write into a Tensor"),
        (lambda: np.add(ones, 1, out=tg.Tensor(ones)), "cannot write into a Tensor"),
        (lambda: np.sum(leaf(3), out=np.zeros(())), "plain array"),
        (lambda: np.sum(leaf(3), 0, None, np.zeros(())), "out= has no derivative"),
        (lambda: np.add(leaf(3), 1, where=ones > 0), "add with where="),
        (lambda: np.sum(leaf(3), where=ones > 0), "sum with where="),
        (lambda: np.max(leaf(3), initial=2.0), "max with initial="),
        (lambda: np.ravel(leaf(2, 3), order="K"), "order='K'"),
        (lambda: np.nan_to_num(leaf(3), copy=False), "copy="),
        (lambda: np.sort(leaf(3), order="x"), "order="),
        (lambda: np.add.reduce(leaf(3), where=ones > 0), "np.add.reduce with where="),
        (lambda: np.add.at(leaf(3), [0], 1.0), "np.add.at writes in place"),
        (lambda: np.add.reduceat(leaf(4), [0, 2]), "np.add.reduceat has no rule"),
        (lambda: np.matmul(leaf(2, 2), ones[:2], axes=[(0, 1), 0, 0]), "axes="),
        (lambda: np.polyfit(leaf(3), ones, 1, cov=True), r"polyfit with cov="),
        (lambda: np.copyto(ones, leaf(3)), "copyto writes in place"),
        (lambda: np.full_like(ones, leaf()), r"t \* np.ones_like\(array\) for np.full_like"),
        (lambda: np.full(3, leaf(3), float), r"t \* np.ones\(shape\) for np.full"),
        (lambda: np.full((2, 3), leaf(3)), r"t \* np.ones\(shape\) for np.full"),
        (lambda: np.r_[leaf(3), leaf(3)], "np.concatenate for np.r_"),
        (lambda: np.sum([leaf(3), leaf(3)]), "np.stack for a list of Tensors"),
        (lambda: np.linalg.eig(leaf(2, 2)), "eig computes with complex"),
        (lambda: np.fft.rfft(leaf(4)), "rfft computes with complex"),
        (lambda: np.fft.irfft(leaf(4)), "irfft computes with complex"),
        (lambda: np.emath.sqrt(leaf(4)), "sqrt computes with complex"),
        (lambda: leaf(3) * 1j, "multiply makes complex"),
        (lambda: leaf(3) + 1j * ones, "add makes complex"),
        (lambda: np.concatenate([leaf(3), 1j * ones]), "concatenate makes complex"),
        (lambda: np.where(ones > 0, leaf(3), 1j), "where makes complex"),
        (lambda: np.einsum("i,i", leaf(3), 1j * ones), "einsum makes complex"),
        (lambda: leaf(3).astype(complex), "astype makes complex"),
        (lambda: np.sum(leaf(3), dtype=complex), "sum makes complex"),
        (lambda: tg.Tensor([1, 2], requires_grad=True), r"int64 .*astype\(np.float64\)"),
        (lambda: tg.Tensor([1j], requires_grad=True), "complex128"),
        (lambda: tg.grad(np.sum)(np.arange(3)), r"int64 .*astype\(np.float64\)"),
    ],
)
def test_refused_in_one_sentence(call, says):
    with pytest.raises(TypeError, match=says) as caught:
        call()
    assert "\n" not in str(caught.value)


def test_nothing_is_written_before_the_refusal():
    array = np.zeros(3)
    with pytest.raises(TypeError):
        np.add(leaf(3), 1, out=array)
    assert not array.any()


@pytest.mark.parametrize(
    "call",
    [
        lambda t: np.argmax(t, axis=0),
        lambda t: np.argsort(t),
        lambda t: t > 0,
        lambda t: t == t,
        lambda t: np.isnan(t),
        lambda t: t.astype(int),
        lambda t: np.sum(t, dtype=int),
        lambda t: np.count_nonzero(t),
        lambda t: np.searchsorted(np.arange(3.0), t),
        lambda t: np.nonzero(t)[0],
        lambda t: np.zeros_like(t),
        lambda t: np.ndim(t),
        lambda t: np.allclose(t, t),
        lambda t: t.argmax(),
        lambda t: t.any(),
        lambda t: t.all(axis=0),
    ],
)
def test_what_has_no_derivative_comes_out_plain(call):
    assert not isinstance(call(leaf(2, 3)), tg.Tensor)


def test_without_a_gradient_at_stake_everything_is_computed():
    t = tg.Tensor(real(4))
    array = np.ones(4)
    array += t
    np.testing.assert_array_equal(array, 1 + t.data)
    assert isinstance(array, np.ndarray)
    np.testing.assert_array_equal(np.sum(t, where=t > 0).data, np.sum(t.data, where=t.data > 0))
    np.testing.assert_array_equal(np.fft.rfft(t).data, np.fft.rfft(t.data))
    with tg.no_grad():
        np.testing.assert_array_equal((leaf(3) * 1j).data.real, np.zeros(3))
    assert np.asarray(t) is not t and np.asarray(t).shape == (4,)


def test_ufunc_methods():
    x = real(2, 3)
    for f in (
        lambda x: np.add.reduce(x, axis=1),
        lambda x: np.multiply.reduce(x),
        lambda x: np.maximum.reduce(x, axis=(0, 1)),
        lambda x: np.logaddexp.reduce(x, axis=-1, keepdims=True),
        lambda x: np.hypot.reduce(x, axis=None),
        lambda x: np.subtract.reduce(x, axis=1, keepdims=True),
        lambda x: np.add.accumulate(x, axis=1),
        lambda x: np.multiply.accumulate(x),
        lambda x: np.maximum.accumulate(x, axis=1),
        lambda x: np.maximum.accumulate(x, axis=-1),
        lambda x: np.logaddexp.accumulate(x, axis=1),
        lambda x: np.multiply.outer(x, x[0]),
        lambda x: np.hypot.outer(x[0], x),
    ):
        np.testing.assert_allclose(f(tg.Tensor(x, requires_grad=True)).data, f(x), rtol=1e-14)
        tg.check_gradients(f, x)


def test_array_methods_are_the_functions():
    x = real(2, 3)
    t = tg.Tensor(x, requires_grad=True)
    for name, args in {
        "sum": (), "prod": (1,), "mean": (0,), "var": (), "std": (1,), "max": (), "min": (0,),
        "cumsum": (1,), "cumprod": (), "trace": (), "swapaxes": (0, 1), "squeeze": (),
        "ravel": ("F",), "flatten": (), "diagonal": (1,), "repeat": (2, 1), "take": ([0, 0], 1),
        "compress": ([True, False, True], 1), "clip": (-0.5, 0.5), "round": (1,), "copy": (),
        "conj": (), "argmax": (1,), "argmin": (), "argsort": (0,), "any": (), "all": (0,),
        "nonzero": (), "tolist": (), "reshape": (3, 2), "transpose": (1, 0), "dot": (real(3),),
    }.items():  # fmt: skip
        ours, numpys = getattr(t, name)(*args), getattr(x, name)(*args)
        np.testing.assert_array_equal(
            getattr(ours, "data", ours) if name != "tolist" else ours, numpys
        )
    np.testing.assert_array_equal(t.mT.data, x.T)
    assert t.astype(np.float32).dtype == np.float32
    assert f"{t.sum():.3f}" == f"{x.sum():.3f}" and int(t.sum()) == int(x.sum())


def test_iteration_and_membership_flow_back():
    w = leaf(3)
    sum(w * w).backward()
    np.testing.assert_array_equal(w.grad, 2 * w.data)


def test_a_function_of_ones_own_in_three_lines():
    softplus = tg.derivative(lambda x: np.log1p(np.exp(x)), lambda g, x: g / (1 + np.exp(-x)))
    tg.check_gradients(softplus, real(2, 3), order=3)
    assert tg.tape(softplus(leaf(2)))[-1].function.__name__ == "<lambda>"


def test_a_function_of_ones_own_takes_lists_of_tensors():
    total = tg.derivative(lambda arrays: sum(arrays), lambda g, i: g)
    tg.check_gradients(lambda a, b: total([a, b]) ** 2, real(2, 3), real(3))


@pytest.mark.parametrize("second", [lambda g: 7 * g, None])
def test_a_row_entered_again_counts_everywhere(second):
    """For the function, for Python's operator, and for programs that were compiled before."""
    w, h = tg.Tensor(2.0, requires_grad=True), np.ones((1, 1))

    def cell(x, state):
        return np.tanh(state * w)

    def slopes():
        states, _ = tg.scan(cell, np.zeros((1, 1, 1)), h)
        values = [np.multiply(w, 3.0), w * 3.0, 3.0 * w, np.sum(states)]
        return [tg.gradients(y, [w])[0] for y in values]

    before = slopes()
    kept = [
        (f, [pullback and pullback.function for _, pullback in rule_of(f).arguments])
        for f in (np.multiply, np.tanh)
    ]
    try:
        tg.derivative(np.multiply, lambda g: 100 * g, second)
        tg.derivative(np.tanh, lambda g: 0.5 * g)
        assert slopes() == [100, 100, 7 if second else 0, 3.5 if second else 0]
    finally:
        for function, pullbacks in kept:
            tg.derivative(function, *pullbacks)
    assert slopes() == before
