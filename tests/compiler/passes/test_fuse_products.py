"""The products of a row are one, and those of several rows are not."""

from __future__ import annotations

from typing import Any

import numpy as np

import tinygrad_rnn as tg
from tests.compiler.programs import D, H, functions_of, graph_of, inputs
from tinygrad_rnn.compiler.ir import Value
from tinygrad_rnn.compiler.passes.cse import cse
from tinygrad_rnn.compiler.passes.fuse_products import is_row, row_of_parts
from tinygrad_rnn.compiler.passes.hoist_sums import hoist_sums
from tinygrad_rnn.compiler.passes.rewrite import call


def given(*shape: int, dtype: Any = float, name: str = "") -> Value:
    return Value(shape, np.dtype(dtype), name)


def test_the_products_of_a_row_are_one() -> None:
    graph = hoist_sums(cse(graph_of(tg.RNNCell(D, H, rng=0), inputs(1))))
    assert functions_of(graph.results).count("matmul") == 1
    product = graph.results[0].args[0]
    parts = row_of_parts(product.args[0])
    assert parts is not None and [p.shape[-1] for p in parts] == [H, D, 1] and is_row(parts[0])
    assert (
        functions_of(hoist_sums(graph_of(tg.RNNCell(D, H, rng=0), inputs())).results).count(
            "matmul"
        )
        == 2
    )
    assert row_of_parts(call(np.concatenate, (given(2, 3), given(2, 3)), 0)) is None
