"""Walking over values and exchanging some of them."""

from __future__ import annotations

import numpy as np

from tests.compiler.programs import B, D, functions_of, graph_of, inputs, state
from tinygrad_rnn.compiler.ir import Value, ordered
from tinygrad_rnn.compiler.passes.rewrite import call, exchange, rewritten, terms_of, total


def test_what_is_exchanged_is_exchanged_in_all_that_hangs_on_it() -> None:
    graph = graph_of(lambda x, h: np.tanh(x) * np.sin(h), inputs(), state(B, D))
    (tanh,) = (v for v in ordered(graph.results) if v.function is np.tanh)
    found = exchange(graph, {tanh: call(np.cos, graph.inputs[0])})
    assert functions_of(found.results) == ["cos", "sin", "multiply"]
    assert functions_of(graph.results) == ["tanh", "sin", "multiply"]
    assert found.inputs is graph.inputs


def test_a_call_knows_its_shape_and_dtype_without_numbers() -> None:
    x, y = Value((2, 3), np.dtype("f4")), Value((3, 5), np.dtype("f4"))
    product = call(np.matmul, x, y, name="a")
    assert (product.shape, product.dtype, product.name) == ((2, 5), np.float32, "a")
    assert call(np.divide, x, 0.0).dtype == np.float32  # and no warning
    assert total([product]) is product and total([product, product]).function is np.add


def test_the_terms_of_a_sum_of_sums() -> None:
    a, b, c, d = (Value((2,), np.dtype(float), name) for name in "abcd")
    left, product = call(np.add, a, b), call(np.multiply, c, d)
    whole = call(np.add, left, call(np.add, product, 1.0))
    assert terms_of(whole) == [a, b, product, 1.0]
    assert terms_of(whole, lambda part: part is not left) == [left, product, 1.0]
    assert terms_of(product) == [product]


def test_operands_are_exchanged_among_keywords_as_well() -> None:
    x, y = Value((2,), np.dtype(float), "x"), Value((2,), np.dtype(float), "y")
    value = Value((2,), x.dtype, "z", np.clip, (x,), {"a_min": x, "a_max": 2.0})
    found = rewritten(value, {x: y})
    assert found.args == (y,) and found.kwargs == {"a_min": y, "a_max": 2.0}
