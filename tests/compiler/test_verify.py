"""Each checker finds the mistakes that it is there for."""

from __future__ import annotations

import operator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import tinygrad_rnn as tg
from tests.compiler.programs import CASES, B, Case, D, H, graph_of, inputs, program_of
from tinygrad_rnn.compiler.ir import (
    Buffer,
    Instr,
    Program,
    Ref,
    Storage,
    Value,
    View,
    When,
    ordered,
)
from tinygrad_rnn.compiler.passes.carry import carry
from tinygrad_rnn.compiler.passes.rewrite import call, exchange
from tinygrad_rnn.compiler.verify import (
    checked,
    verify,
    verify_call,
    verify_graph,
    verify_program,
)


def test_a_wrong_shape_or_dtype_of_a_value() -> None:
    graph = graph_of(tg.RNNCell(D, H, rng=0), inputs())
    verify_graph(graph)
    (result,) = graph.results
    for wrong in (
        replace(result, shape=(B, H + 1)),
        replace(result, dtype=np.dtype(np.float32)),
        replace(result, function=np.sin, args=(Value((B, H), result.dtype),)),
    ):
        with pytest.raises(AssertionError):
            verify_graph(exchange(graph, {result: wrong}))
    with pytest.raises(AssertionError):
        verify_graph(replace(graph, parameter_gradients=graph.parameter_gradients[::-1]))


def test_values_that_do_not_fit_one_another() -> None:
    graph = graph_of(tg.RNNCell(D, H, rng=0), inputs(1))
    ((state,), (result,), (adjoint,)) = graph.states, graph.results, graph.adjoints
    fused = carry(graph).fused_adjoints[0]
    large = Value((2, H), state.dtype, "large")
    no_gradients = replace(
        graph, state_gradients=(None,), parameter_gradients=(None,) * len(graph.parameters)
    )
    wrong = {
        "has the dtype": exchange(graph, {result: replace(result, dtype=np.dtype(np.float32))}),
        "becomes": replace(graph, results=(call(np.sum, result),)),
        "large .* is the gradient of": replace(no_gradients, adjoints=(large,)),
        "is the gradient of": replace(graph, state_gradients=(call(np.sum, result),)),
        "is added to that of": replace(graph, output_grads={0: call(np.sum, result)}),
        "number of rows": replace(
            graph, fused_adjoints={0: fused._replace(appended=call(np.sum, state, keepdims=True))}
        ),
    }
    assert adjoint is not None
    for match, graph in wrong.items():
        with pytest.raises(AssertionError, match=match):
            verify_graph(graph)


def test_a_call_with_several_results() -> None:
    matrix, number = Value((3, 3), np.dtype(np.float64)), np.dtype(np.float64)
    types = ((3,), number), ((3, 3), number)
    several = Value((), number, function=np.linalg.eigh, args=(matrix,), results=types)
    vectors = Value((3, 3), number, function=operator.getitem, args=(several, 1))
    for value in (several, vectors):
        verify_call(value, np.random.default_rng(0))
    with pytest.raises(AssertionError, match="has the shape"):
        verify_call(replace(vectors, args=(several, 0)), np.random.default_rng(0))


def test_numbers_without_a_result_are_no_mistake() -> None:
    matrix = Value((3, 3), np.dtype(np.float64))
    verify_call(replace(matrix, function=np.linalg.cholesky, args=(matrix,)), Unfortunate())
    with pytest.raises(AssertionError, match="has the shape"):
        verify_call(replace(matrix, function=np.linalg.det, args=(matrix,)), Unfortunate())


class Unfortunate(np.random.Generator):
    """Random numbers that make no positive definite matrix."""

    def __init__(self) -> None:
        super().__init__(np.random.PCG64(0))

    def random(self, size: Any = None, *args: Any, **options: Any) -> Any:
        return -np.ones(size)


def rnn() -> Program:
    return program_of(CASES["rnn"]()).program


def with_loop(program: Program, *loop: Instr) -> Program:
    return replace(program, forward=replace(program.forward, loop=loop))


def run(program: Program, back: bool = False) -> None:
    forward, backward = checked(program)(3)
    given = np.ones((3, B, D)), np.ones((D, H)), np.ones((H, H)), np.ones(H)
    forward(np.zeros((B, H)), *given)
    if back:
        backward(0, np.ones((3, B, H)), *given)


def test_what_is_read_before_it_is_written() -> None:
    program = rnn()
    run(program)
    product, total, tanh = program.forward.loop
    with pytest.raises(AssertionError, match="before it is written"):
        run(with_loop(program, total, product, tanh))
    with pytest.raises(AssertionError, match="before it is written"):
        run(replace(program, forward=replace(program.forward, before=program.forward.before[1:])))


def test_memory_that_somebody_else_has_written_to() -> None:
    """Two buffers of one memory, both in use."""
    program = rnn()
    product, total, tanh = program.forward.loop
    out = product.writes()[0].buffer
    other = Buffer("other", out.shape, out.dtype, Storage.SCRATCH, shares=out)
    into = Instr(np.negative, (Ref(out),), Ref(other))
    wrong = replace(
        with_loop(program, product, into, total, tanh), buffers=(*program.buffers, other)
    )
    verify_program(wrong)
    with pytest.raises(AssertionError, match="before it is written"):
        run(wrong)


def test_references_that_cannot_be() -> None:
    program = rnn()
    verify("lower", program)
    product, *rest = program.forward.loop
    (x,), (out,) = program.inputs, product.writes()
    stranger = Buffer("stranger", (B, H), np.dtype(float), Storage.SCRATCH)
    row = replace(out, views=(View("index", (slice(0, 1),)),))
    turned = View("transpose", (1, 0)), View("reshape", (B * H,))
    wrong: dict[str, Instr] = {
        "not declared": replace(product, out=Ref(stranger)),
        "the caller's array": replace(product, out=Ref(x, When.STEP)),
        "no such axis": replace(product, args=(Ref(x), product.args[1])),
        "behind the end": replace(product, args=(Ref(x, When.STEP, 1), product.args[1])),
        "spread out": Instr(np.negative, (row,), out),
        "writes to a copy": replace(product, out=replace(out, views=turned)),
    }
    for match, instr in wrong.items():
        with pytest.raises(AssertionError, match=match):
            verify_program(with_loop(program, instr, *rest))
    named = Buffer("named", out.buffer.shape, out.dtype, Storage.RESULT)
    part = with_loop(program, replace(product, out=replace(row, buffer=named)), *rest)
    with pytest.raises(AssertionError, match="no name"):
        verify_program(replace(part, buffers=(*program.buffers, named)))
    outside = replace(program.forward, before=program.forward.loop, loop=())
    with pytest.raises(AssertionError, match="outside of a loop"):
        verify_program(replace(program, forward=outside))


def test_buffers_that_cannot_be() -> None:
    program = rnn()
    first, *_ = program.buffers
    wide = replace(first, name="wide", shape=(B, H + 1), shares=first)
    same = replace(first, name="same", shares=first)
    for match, buffers in {
        "one name": (*program.buffers, first),
        "before it": (same, *program.buffers),
        "shares the memory": (*program.buffers, wide),
    }.items():
        with pytest.raises(AssertionError, match=match):
            verify_program(replace(program, buffers=buffers))


def test_results_that_nobody_has_written() -> None:
    xs = tg.Tensor(inputs(), requires_grad=True)
    program = program_of(Case(tg.RNNCell(D, H, rng=0), xs)).program
    *loop, _ = program.forward.loop
    with pytest.raises(AssertionError, match=r"h.* is read before it is written"):
        run(with_loop(program, *loop))
    (dx,) = (b for b in program.buffers if b.storage is Storage.RETURNED)
    after = [i for i in program.backward.after if all(o.buffer is not dx for o in i.writes())]
    assert len(after) + 1 == len(program.backward.after)
    run(program, back=True)
    wrong = replace(program, backward=replace(program.backward, after=tuple(after)))
    with pytest.raises(AssertionError, match=r"dx.* is read before it is written"):
        run(wrong, back=True)


def test_calls_of_several_results_and_of_what_not_all_numbers_have() -> None:
    W = tg.Tensor(np.eye(D) * 2, requires_grad=True)

    def cell(x: Any, h: Any) -> Any:
        return h @ np.linalg.cholesky(W) * np.linalg.slogdet(W)[1] + x

    graph = graph_of(cell, inputs(), tg.Tensor(np.ones((B, D)), requires_grad=True))
    verify_graph(graph)
    (whole,) = several(graph)[:1]
    wrong = replace(whole, results=(whole.results[0], ((2,), np.dtype(float))))
    with pytest.raises(AssertionError, match=r"has the shape \(\)"):
        verify_graph(exchange(graph, {whole: wrong}))


def several(graph: Any) -> list[Any]:
    return [v for v in ordered(graph.outputs()) if v.results is not None]
