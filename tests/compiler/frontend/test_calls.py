"""One call of a trace: its values, how they are put together, and what it looks into."""

import operator

import numpy as np
import pytest

from tinygrad_rnn.compiler.frontend.calls import called
from tinygrad_rnn.compiler.frontend.refusals import TraceError
from tinygrad_rnn.compiler.frontend.values import Value, sample_of


def value(*shape):
    return Value(sample_of(np.arange(float(np.prod(shape))).reshape(shape)), "a")


def test_a_result_is_one_value_with_its_call():
    a = value(2, 3)
    call = called(np.tanh, (a,), {})
    (made,) = call.values
    assert (made.function, made.args, made.kwargs) == (np.tanh, (a,), {}) and not call.views
    np.testing.assert_array_equal(made.sample, np.tanh(a.sample))
    assert not made.sample.flags.writeable
    assert call.together(iter(["handle"])) == "handle"


def test_views_of_the_first_argument():
    a = value(2, 3)
    assert called(operator.getitem, (a, (slice(None), 1)), {}).views
    assert not called(operator.getitem, (a, [0, 1]), {}).views
    assert called(np.split, (a, 2), {}).views


def test_a_reshape_to_the_same_shape_is_the_value_itself():
    a = value(2, 3)
    call = called(np.reshape, (a, (2, 3)), {})
    assert call.values == [a] and call.views


def test_several_results_are_taken_out_of_one_value():
    a = value(4)
    call = called(np.split, (a, 2), {})
    first, second = call.values
    assert first.function is operator.getitem and first.args[0] is second.args[0]
    assert [part.args[1] for part in call.values] == [0, 1]
    assert call.together(iter("xy")) == ["x", "y"]
    q, r = called(np.linalg.qr, (Value(sample_of(np.eye(2))),), {}).values
    assert q.shape == r.shape == (2, 2)


def test_a_shape_is_known_while_tracing():
    call = called(np.shape, (value(2, 3),), {})
    assert call.values == [] and call.together(iter([])) == (2, 3)


@pytest.mark.parametrize(
    ("function", "args", "says"),
    [
        (np.nonzero, (value(3),), "depends on the numbers"),
        (np.put, (value(3), [0], 1.0), "np.put returns nothing|writes into its argument"),
        (np.array_equal, (value(3), value(3)), "returns a bool"),
        (np.apply_along_axis, (lambda x: x, 0, value(3)), "calls a Python function"),
    ],
    ids=lambda case: getattr(case, "__name__", ""),
)
def test_what_no_program_can_contain(function, args, says):
    with pytest.raises(TraceError, match=says):
        called(function, args, {})


def test_what_numpy_says_of_the_values_is_said():
    with pytest.raises(ValueError, match="cannot reshape array of size 6"):
        called(np.reshape, (value(2, 3), (7,)), {})
