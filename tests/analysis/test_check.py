"""The checker itself: it passes what is right and names what is wrong."""

import numpy as np
import pytest

import tinygrad_rnn as tg

x = np.array([[0.5, -1.0], [2.0, 0.25]])


def test_it_passes_right_derivatives_to_order_three():
    tg.check_gradients(lambda a, b: np.sum(np.tanh(a @ b)) * a, x, x, order=3)
    tg.check_gradients(lambda p: p["w"] * p["rest"][0], {"w": x, "rest": [np.array(2.0)]})
    tg.check_gradients(np.exp, 0.5)
    tg.check_gradients(lambda x, n: x**n, x, 3)


def test_it_names_the_argument_the_entry_and_both_numbers():
    def product(a, b):
        return a * b

    def off_at_one_entry(g, a):
        wrong = np.zeros(a.shape)
        wrong[1, 0] = 1.0
        return g * (a + wrong)

    product = tg.derivative(product, lambda g, b: g * b, off_at_one_entry)
    with pytest.raises(
        AssertionError, match=r"order 1 by argument 1, entry \(1, 0\), is \d.* but \d.*"
    ):
        tg.check_gradients(product, x, x)
    with pytest.raises(AssertionError, match=r"argument 0\['w'\]\[1\]"):
        tg.check_gradients(lambda p: product(*p["w"]), {"w": [x, x]})


def test_it_finds_a_wrong_second_derivative():
    def square(x):
        return x * x

    # The pull-back hides its dependence on x from the graph, so order 2 is lost.
    square = tg.derivative(square, lambda g, x: g * 2 * getattr(x, "data", x))
    tg.check_gradients(square, np.array(3.0), order=1)
    with pytest.raises(AssertionError, match="order 2"):
        tg.check_gradients(square, np.array(3.0), order=2)


def test_large_arguments_are_checked_along_random_directions():
    big = np.linspace(0.1, 1, 200)
    tg.check_gradients(lambda x: np.sum(np.sin(x) ** 2), big)
    wrong = tg.derivative(lambda x: np.sum(x * x), lambda g, x: g * x)
    with pytest.raises(AssertionError, match="random direction"):
        tg.check_gradients(wrong, big)


def test_a_nan_is_not_right():
    bad = tg.derivative(lambda x: x * 1, lambda g, x: g * np.nan)
    with pytest.raises(AssertionError, match="nan"):
        tg.check_gradients(bad, x)


@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_it_refuses_below_float64(dtype):
    with pytest.raises(TypeError, match=rf"argument 1 is {np.dtype(dtype)}.*float64"):
        tg.check_gradients(np.add, x, x.astype(dtype))


def test_there_must_be_something_to_check():
    for args in [(), (np.array([1, 2, 3]),)]:
        with pytest.raises(TypeError, match="nothing to check"):
            tg.check_gradients(lambda *xs: np.float64(1.0), *args)
