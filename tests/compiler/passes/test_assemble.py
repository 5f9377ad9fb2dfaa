"""Parts that slicing scatters are put together, unless they overlap."""

from __future__ import annotations

from typing import Any

import numpy as np

from tests.compiler.programs import B, D, H, functions_of, graph_of, inputs, state, weight
from tinygrad_rnn.compiler.ir import Value, ordered
from tinygrad_rnn.compiler.operations import assembled, filled, placed
from tinygrad_rnn.compiler.passes.assemble import (
    assemble,
    concatenated,
    covers,
    of_parts,
    overlap,
    row_of_parts,
)
from tinygrad_rnn.compiler.passes.cse import cse
from tinygrad_rnn.compiler.passes.rewrite import call


def test_parts_of_a_gradient_are_put_together() -> None:
    W = weight(D, 2 * H)

    def cell(x: Any, h: Any) -> Any:
        z = x @ W
        return np.tanh(z[:, :H]) * h + z[:, H:]

    found = assemble(cse(graph_of(cell, inputs(), state(B, H))))
    (gradient,) = (g for g in found.parameter_gradients if g is not None)
    (whole,) = (v for v in ordered([gradient]) if v.function is assembled)
    assert len(whole.args[3]) == 2 and covers(whole)
    assert "placed" not in functions_of([gradient])


def test_overlapping_parts_are_added() -> None:
    shape, dtype = (4,), np.dtype(float)
    part = Value((2,), dtype)

    def of(index: slice) -> Value:
        return Value(shape, dtype, "", assembled, (shape, dtype, (index,), [part]))

    nothing = Value((0, 3), dtype, "", assembled, ((0, 3), dtype, (slice(0, 2),), [part]))
    assert not overlap(nothing, nothing) and covers(nothing)  # a batch of 0
    assert not overlap(of(slice(0, 2)), of(slice(2, 4)))
    assert overlap(of(slice(0, 2)), of(slice(1, 3))) and not covers(of(slice(0, 2)))
    W = weight(D, H)

    def cell(x: Any, h: Any) -> Any:
        z = x @ W
        return np.concatenate([z[:, 0:3], z[:, 1:2]], axis=1) * h

    graph = assemble(cse(graph_of(cell, inputs(), state(B, H))))
    (gradient,) = (g for g in graph.parameter_gradients if g is not None)
    assert sum(v.function is assembled for v in ordered([gradient])) == 2


def given(*shape: int, dtype: Any = float) -> Value:
    return Value(shape, np.dtype(dtype))


def joined(function: Any, *args: Any, **kwargs: Any) -> Any:
    return of_parts(call(function, *args, **kwargs))


def test_concatenations_and_stacks_are_put_together_from_their_parts() -> None:
    one, other, single = given(2, 3), given(2, 3), given(2, 3, dtype=np.float32)
    rng = np.random.default_rng(0)
    arrays = [rng.standard_normal((2, 3)) for _ in range(2)]
    for function in (np.concatenate, np.stack):
        for more in ((), (0,), (1,), (-1,)):
            whole = joined(function, (one, other), *more)
            assert whole.function is assembled and covers(whole)
            np.testing.assert_array_equal(
                assembled(*whole.args[:3], arrays), function(arrays, *more)
            )
    assert joined(np.concatenate, (one, other), axis=1).shape == (2, 6)
    assert joined(np.concatenate, (one, other), name="both").name == "both"
    for args in (
        ((one, single),),
        ((one, np.ones((2, 3))),),
        (given(2, 2, 3),),
        ((one, other), None),
        ((one, other), -1, None),
    ):
        assert joined(np.concatenate, *args) is None
    assert joined(np.concatenate, (one, other), -1, dtype=np.float64) is None


def test_a_part_is_put_into_zeros_alone() -> None:
    zeros, part, index = call(filled, (4,), 0, np.dtype(float)), given(2), slice(0, 2)
    assert joined(placed, zeros, index, part).args[2:] == (((index,),), [part])
    for args in ((given(4), index, part), (zeros, np.array([0, 1]), part), (zeros, index, 1.0)):
        assert joined(placed, *args) is None


def test_a_row_of_parts_is_put_together_along_its_last_axis() -> None:
    one, other, single = given(2, 3), given(2, 4), given(2)
    assert row_of_parts(concatenated([one, other], -1)) == [one, other]
    assert row_of_parts(concatenated([one, other], 1)) == [one, other]
    assert row_of_parts(concatenated([single, single], 0)) == [single, single]
    boxes = [given(2, 2, 3), given(2, 2, 4)]
    assert row_of_parts(concatenated(boxes, -1)) == boxes and concatenated([one], 0).shape == (2, 3)
    assert row_of_parts(concatenated([one, one], 0)) is None
    assert row_of_parts(joined(np.stack, (single, single), 1)) is None
    assert row_of_parts(call(np.sin, one)) is None
