"""The products of a row are one, those of several rows are not; what a loop does not carry is added
up first, and masks keep their place."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tinygrad_rnn as tg
from tests.compiler.programs import B, D, H, functions_of, graph_of, inputs, state, weight
from tinygrad_rnn.compiler.ir import Depends, StepGraph, Value, ordered
from tinygrad_rnn.compiler.passes.assemble import row_of_parts
from tinygrad_rnn.compiler.passes.cse import cse
from tinygrad_rnn.compiler.passes.fuse_sums import fuse_sums, is_row


def given(*shape: int, dtype: Any = float, name: str = "") -> Value:
    return Value(shape, np.dtype(dtype), name)


def test_the_products_of_a_row_are_one() -> None:
    graph = fuse_sums(cse(graph_of(tg.RNNCell(D, H, rng=0), inputs(1))))
    assert functions_of(graph.results).count("matmul") == 1
    product = graph.results[0].args[0]
    parts = row_of_parts(product.args[0])
    assert parts is not None and [p.shape[-1] for p in parts] == [H, D, 1] and is_row(parts[0])
    assert (
        functions_of(fuse_sums(graph_of(tg.RNNCell(D, H, rng=0), inputs())).results).count("matmul")
        == 2
    )


def rows(cell: Any, *states: tg.Tensor, xs: Any = None) -> list[Any]:
    """For each product that the next state is computed from, the widths of what its row is joined
    from; None if it is not."""
    given = states[0] if len(states) == 1 else states
    graph = fuse_sums(cse(graph_of(cell, inputs(1, H) if xs is None else xs, given)))
    found = [v.args[0] for v in ordered([graph.results[0]]) if v.function is np.matmul]
    parts = [row_of_parts(row) if row.ndim > 1 else None for row in found]
    return [None if p is None else [part.shape[-1] for part in p] for p in parts]


def test_which_products_are_joined() -> None:
    U, V, W, b = weight(H, H), weight(H, H), weight(H, H), weight(H, name="b")
    row, single = state(1, H), weight(H, H, dtype=np.float32)
    assert rows(lambda x, h: np.tanh(x @ W + h @ U + b), row) == [[H, H, 1]]
    assert rows(lambda x, h: np.tanh(h @ U + h @ V), row) == [[H, H]]
    # a sum within a sum: both
    joined = [[H, 1], [H, H]]
    assert rows(lambda x, h: np.tanh(h @ U + b + np.sin(h @ V + x @ W)), row) == joined
    # not a matrix that changes, nor one of another dtype, nor a vector, nor what others read
    assert rows(lambda x, s: (s[0] @ s[1] + s[0] @ U, s[1]), row, state(H, H)) == [None, None]
    assert rows(lambda x, h: np.tanh(h @ single + h @ U), row) == [None, None]
    assert rows(lambda x, h: np.tanh(h @ b + h @ U), row) == [None, None]
    assert rows(lambda x, h: np.tanh((z := h @ U) + h @ V) * z, row) == [None, None]
    # not what the state is no part of
    assert rows(lambda x, h: np.tanh(x @ W + b + h * 0.5), row) == [None]


def test_a_bias_keeps_its_name() -> None:
    U, b = weight(H, H), weight(H, name="b")
    graph = graph_of(lambda x, h: np.tanh(h @ U + b), inputs(1, H), state(1, H))
    values = ordered(fuse_sums(cse(graph)).results)
    assert [v.name for v in values if v.function is np.reshape] == ["b"]


def test_what_is_no_product_is_joined_by_an_identity() -> None:
    U, row = weight(H, H), state(1, H)
    assert rows(lambda x, h: np.tanh(np.sin(x) + h @ U), row) == [[H, H]]
    assert rows(lambda x, h: np.tanh(np.sin(x) + 0.5 + h @ U), row) == [[H, H]]
    # the product with many inputs is made before the loop; what is left of it is joined
    wide, many = weight(2000, H), inputs(1, 2000)
    assert rows(lambda x, h: np.tanh(x @ wide + h @ U), row, xs=many) == [None, [H, H]]
    # not what has another shape or dtype, nor where the identity is large
    assert rows(lambda x, h: np.tanh(np.sum(np.sin(x)) + h @ U), row) == [None]
    single = weight(H, dtype=np.float32)
    assert rows(lambda x, h: np.tanh(single + h @ U), row) == [None]
    large = weight(64, 64)
    assert rows(lambda x, h: np.tanh(x + h @ large), state(1, 64), xs=inputs(1, 64)) == [None]


def test_what_is_not_joined_stays_in_the_sum() -> None:
    U, V, row = weight(H, H), weight(H, H), state(1, H)
    graph = cse(graph_of(lambda x, h: np.tanh(h @ U + h @ V + np.sum(x)), inputs(1, H), row))
    found = functions_of(fuse_sums(graph).results)
    assert found.count("matmul") == 1 and "sum" in found


def test_a_term_that_is_alone_keeps_its_name() -> None:
    U, V, row = weight(H, H), weight(H, H), state(1, H)

    def cell(x: Any, h: Any) -> Any:
        offset = np.sum(x)
        z = h @ U + h @ V + offset
        return np.tanh(z)

    names = {v.name for v in fuse_sums(cse(graph_of(cell, inputs(1, H), row))).order}
    assert {"z", "offset"} <= names and "z_x" not in names


def test_a_bias_of_one_row_is_joined_as_it_is() -> None:
    U, b, row = weight(H, H), weight(1, H, name="b"), state(1, H)
    assert rows(lambda x, h: np.tanh(h @ U + b), row) == [[H, 1]]
    graph = fuse_sums(cse(graph_of(lambda x, h: np.tanh(h @ U + b), inputs(1, H), row)))
    assert "reshape" not in functions_of(graph.results)
    several = weight(2, H)
    assert rows(lambda x, h: np.tanh(h[:1] @ U + several), state(2, H), xs=inputs(2, H)) == [None]


def test_what_is_known_before_the_loop_stays_one_term() -> None:
    A, C, wide, b = weight(64, 64), weight(64, 64), weight(500, 64), weight(64)
    graph = cse(graph_of(lambda x, h: h @ A + h @ C + x @ wide + b, inputs(1, 500), state(1, 64)))
    (result,) = fuse_sums(graph).results
    product, rest = result.args
    assert product.function is np.matmul and functions_of([rest]) == ["matmul", "add"]


def test_the_products_of_a_gradient_are_one() -> None:
    U, V, Q, row = weight(H, H), weight(H, H), weight(H, H), state(1, H)

    def products(graph: StepGraph) -> list[list[int]]:
        (gradient,) = graph.state_gradients
        found = [v.args[0] for v in ordered([gradient]) if v.function is np.matmul]
        back = [row for row in found if Depends.GRADIENT in graph.depends[row]]
        return [[p.shape[-1] for p in row_of_parts(row) or [row]] for row in back]

    graph = cse(graph_of(lambda x, h: np.sin(h @ U) * np.cos(h @ V) + x, inputs(1, H), row))
    assert products(graph) == [[H], [H]] and products(fuse_sums(graph)) == [[H, H]]
    several = cse(graph_of(lambda x, h: np.sin(np.sin(h @ U) @ Q) * x, inputs(1, H), row))
    assert products(fuse_sums(several)) == [[H], [H]]  # one after the other


def reads_state(graph: StepGraph, value: Value) -> bool:
    return any(state in ordered([value]) for state in graph.states)


def test_what_depends_on_no_state_is_added_up_first() -> None:
    U, b = weight(H, H), weight(H)
    graph = graph_of(lambda x, h: np.tanh(x + h @ U + b), inputs(width=H), state(B, H))
    (result,) = fuse_sums(graph).results
    heavy, light = result.args[0].args
    assert reads_state(graph, heavy) and not reads_state(graph, light)


@pytest.mark.parametrize("dtype", [bool, np.uint8])
def test_masks_keep_their_place_in_a_sum(dtype: Any) -> None:
    def cell(d: Any, h: Any) -> Any:
        return np.tanh(h + d["m"] + d["m"])

    xs = {"m": np.ones((3, B, H), dtype)}
    graph = graph_of(cell, xs, state(B, H))
    (result,) = fuse_sums(graph).results
    assert result.args[0].args[0].dtype == result.args[0].args[0].args[0].dtype == float


def test_a_partial_sum_that_is_given_out_is_not_opened() -> None:
    def cell(x: Any, s: Any) -> Any:
        partial = s[0] * s[1] + x["a"]
        return partial, partial + x["b"]

    xs = {"a": inputs(width=H), "b": inputs(width=H)}
    graph = graph_of(cell, xs, (state(B, H), state(B, H)))
    assert fuse_sums(graph).results == graph.results


def test_what_two_outputs_add_to_a_gradient_is_added_up_first() -> None:
    W, given = weight(H, H), (state(B, H), state(B, H), state(B, H))

    def cell(x: Any, s: Any) -> Any:
        h = np.tanh(x + s[0] @ W)
        return h, np.sin(h), np.sinh(h)

    graph = cse(graph_of(cell, inputs(width=H), given))
    adjoint = graph.adjoints[0]
    for found, terms in ((graph, 3), (fuse_sums(graph), 2)):
        (total,) = (v for v in found.order if adjoint in v.operands)
        above = [v for v in found.order if total in v.operands and v.function is np.add]
        assert 2 + len(above) == terms
