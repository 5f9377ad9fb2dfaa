"""Where a plain number is taken out of a Tensor, and its gradient stays behind."""

import math
import operator
import os
import statistics
import subprocess
import sys
import warnings

import numpy as np
import pytest

import tinygrad_rnn as tg


def number():
    return tg.Tensor(2.0, requires_grad=True, name="t")


array = np.zeros(3)


@pytest.mark.parametrize(
    "ask",
    [
        lambda t: operator.setitem(array, 0, t),
        lambda t: array.fill(t),
        lambda t: math.exp(t),
        lambda t: np.float64(t),
        lambda t: np.fromiter([t], np.float64),
        lambda t: statistics.fmean([t, t]),
    ],
)
def test_a_plain_number_loses_the_gradient(ask):
    ask(tg.Tensor(2.0))  # which needs none
    with tg.no_grad():
        ask(number())
    with pytest.warns(tg.GradientLostWarning, match=r"t of shape \(\) needs a gradient"):
        ask(number())
    with pytest.warns(tg.GradientLostWarning):
        tg.grad(lambda t: t * np.asarray(ask(t + 0) or 1.0))(3.0)


def test_what_says_that_it_is_meant():
    t = number()
    loss = t * 2
    assert float(loss) == loss.item() == 4.0 and complex(loss) == 4.0
    assert f"{loss:.1f}" == "4.0" and bool(loss) and int(loss) == 4
    assert exec_without_source("result = float(t)", t) == 2.0


def test_without_columns_the_line_says_it(tmp_path):
    """Python may be started so that code knows its lines alone."""
    program = tmp_path / "program.py"
    program.write_text(
        "import math, warnings, tinygrad_rnn as tg\n"
        "warnings.simplefilter('error')\n"
        "t = tg.Tensor(4.0, requires_grad=True)\n"
        "print(float(t))\n"
        "math.sqrt(t)\n"
    )
    command = [sys.executable, "-X", "no_debug_ranges", str(program)]
    places = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    ran = subprocess.run(command, capture_output=True, text=True, env=places, check=False)
    assert ran.stdout == "4.0\n" and "GradientLostWarning: a Tensor of shape ()" in ran.stderr


def exec_without_source(code, t):
    names = {"t": t}
    exec(compile(code, "<nowhere>", "exec"), names)
    return names["result"]


def test_another_call_on_the_line_says_nothing_of_this_one():
    t = number()
    with pytest.warns(tg.GradientLostWarning):
        assert math.sqrt(t * 2) + float(1) == 3.0
    with pytest.warns(tg.GradientLostWarning):
        assert complex(1) + math.sqrt(t * 2) == 3.0
    assert f"é {float(t)}" == "é 2.0" and np.array([float(t), 1.0])[0] == 2.0
    # fmt: off
    assert 1 + float(
        t
    ) == 3.0
    # fmt: on


def test_it_is_not_meant_where_a_derivative_is_computed():
    with pytest.warns(tg.GradientLostWarning):
        assert tg.grad(lambda x: x * float(x))(3.0) == 3.0  # not 6
    with warnings.catch_warnings():
        warnings.simplefilter("error", tg.GradientLostWarning)
        with pytest.raises(tg.GradientLostWarning):
            tg.grad(lambda x: x * math.sqrt(x))(4.0)


def test_whole_arrays_are_refused():
    v = tg.Tensor([1.0, 2.0], requires_grad=True)
    for ask in (lambda: np.vectorize(math.exp)(v), lambda: operator.setitem(array, slice(2), v)):
        with pytest.raises(TypeError, match="plain array would lose it"):
            ask()


class Labelled:
    """Like xarray's DataArray: it holds arrays, and answers ufuncs itself."""

    def __init__(self, inside):
        self.inside = inside

    def __array_ufunc__(self, ufunc, method, *args, **kwargs):
        inside = [a.inside if isinstance(a, Labelled) else a for a in args]
        return Labelled(getattr(ufunc, method)(*inside, **kwargs))

    def __mul__(self, other):
        return np.multiply(self, other)

    def __rmul__(self, other):
        return np.multiply(other, self)

    def __sub__(self, other):
        return np.subtract(self, other)

    def __rfloordiv__(self, other):
        return np.floor_divide(other, self)


class Private:
    __array_ufunc__ = None

    def __radd__(self, other):
        return "mine"

    def __rmatmul__(self, other):
        return "mine"


def test_arrays_with_a_way_of_their_own_go_first():
    w = tg.Tensor([1.0, 2.0], requires_grad=True)
    labelled = Labelled(np.array([3.0, 4.0]))
    for product in (w * labelled, labelled * w, np.multiply(w, labelled)):
        assert isinstance(product, Labelled)
        assert tg.gradients(np.sum(product.inside), [w])[0].tolist() == [3.0, 4.0]
    assert isinstance(np.multiply(w, labelled, dtype=float), Labelled)
    assert isinstance(labelled - w, Labelled) and isinstance(np.tanh(labelled), Labelled)
    assert isinstance(tg.Tensor([7.0]) // labelled, Labelled)
    assert w + Private() == "mine" and w @ Private() == "mine"
    with pytest.raises(TypeError, match="unsupported operand"):
        w - Private()
    with pytest.raises(TypeError, match="unsupported operand"):
        labelled + w  # it knows no sum, and no Tensor decides for it
