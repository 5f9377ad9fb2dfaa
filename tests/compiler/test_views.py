"""What is a view is decided from shapes, and its form for all steps is the view of each step."""

from __future__ import annotations

import operator
from typing import Any

import numpy as np
import pytest

from tinygrad_rnn.compiler.ir import Value, View
from tinygrad_rnn.compiler.passes.rewrite import call
from tinygrad_rnn.compiler.views import aligned, is_part, is_view, of_all_steps, source, view_of

A = Value((2, 3, 4), np.dtype(float), "a")
CALLS: dict[str, tuple[Any, ...]] = {
    "transpose": (np.transpose, A),
    "transpose by axes": (np.transpose, A, (1, -1, 0)),
    "swapaxes": (np.swapaxes, A, -1, 0),
    "reshape": (np.reshape, A, (6, 4)),
    "reshape to one axis": (np.reshape, A, (-1,)),
    "expand_dims": (np.expand_dims, A, 1),
    "slice": (operator.getitem, A, (slice(None), slice(1, 3))),
    "number": (operator.getitem, A, (1, 2, 3)),
    "entry": (operator.getitem, A, 1),
    "new axis": (operator.getitem, A, (Ellipsis, None)),
    "broadcast": (np.broadcast_to, A, (5, 2, 3, 4)),
}


@pytest.mark.parametrize("name", CALLS)
def test_a_view_of_each_step_is_one_of_all(name: str) -> None:
    value = call(*CALLS[name])
    view = view_of(value)
    assert view is not None and source(value) is A
    steps = np.arange(5 * 24.0).reshape(5, 2, 3, 4)
    whole = steps
    for part in of_all_steps(view):
        whole = part.of(whole, 5)
    assert np.shares_memory(whole, steps) and whole.shape == (5, *value.shape)
    for t in range(5):
        function, _, *rest = CALLS[name]
        np.testing.assert_array_equal(whole[t], function(steps[t], *rest))
        assert isinstance(view.of(steps[t]), np.ndarray)  # a number can be seen, and written to


def test_what_must_be_copied_is_no_view() -> None:
    turned = call(np.transpose, A)
    assert is_view(turned) and not is_view(call(np.reshape, turned, (6, 4)))
    assert is_view(call(np.reshape, call(np.tanh, turned), (6, 4)))  # a new array is contiguous
    assert not is_view(call(operator.getitem, A, [0, 1]))
    assert not is_view(call(np.reshape, A, (6, 4), order="F"))
    assert not is_view(A)


def test_the_results_of_a_call_are_parts_of_it() -> None:
    two = Value((3,), np.dtype(float), function=np.modf, args=(A,), results=(((3,), A.dtype),) * 2)
    part = Value((3,), A.dtype, function=operator.getitem, args=(two, 1))
    assert is_part(part) and not is_view(part) and not is_part(call(operator.getitem, A, 1))


def test_axes_are_put_behind_that_of_time() -> None:
    (view,) = aligned((4,), 3)
    assert view.of(np.zeros((5, 4)), 5).shape == (5, 1, 1, 4) and aligned((2, 4), 2) == ()
    assert hash(View("index", (slice(1, 2),))) == hash(View("index", (slice(1, 2),)))
