"""The values of a trace, and the handles that stand for them."""

from __future__ import annotations

import numpy as np
import pytest

import tinygrad_rnn as tg
from tinygrad_rnn.compiler.frontend.tracer import handle_of
from tinygrad_rnn.compiler.frontend.values import (
    Value,
    own,
    pinned,
    sample_in,
    sample_of,
    value_of,
    values_in,
)


def test_operands_wherever_they_stand() -> None:
    a, b, c = (Value(np.ones(2)) for _ in "abc")
    call = Value(np.ones(2), "", np.stack, ([a, (b,)], slice(c, None)), {"axis": a})
    assert call.operands == [a, b, c, a] == list(values_in((call.args, call.kwargs)))
    call.args = (b,)
    assert call.operands == [b, a]
    assert (call.shape, call.ndim, call.dtype) == ((2,), 1, np.float64)


def test_nobody_writes_into_a_sample() -> None:
    array = np.asfortranarray(np.ones((2, 3)))
    for sample in (own(array), sample_of(array)):
        assert not sample.flags.writeable and sample.flags.c_contiguous
    assert array.flags.writeable
    assert own(3.0) == 3.0


def test_a_slice_is_known_while_tracing_or_refused() -> None:
    n = Value(np.int64(2))
    n.fixed = frozenset((n,))
    assert value_of(slice(None, handle_of(n))) == slice(None, 2) and n.pinned
    with pytest.raises(tg.TraceError):
        value_of(slice(handle_of(Value(np.int64(2)))))
    assert sample_in(n) == 2 and sample_in("n") == "n"


def test_pinned_numbers_are_a_copy_that_nobody_writes_into() -> None:
    value = Value(np.ones(2))
    value.fixed = frozenset((value,))
    numbers = pinned(value)
    assert value.pinned and not np.shares_memory(numbers, value.sample)
    with pytest.raises(ValueError, match="read-only"):
        numbers[0] = 5.0
