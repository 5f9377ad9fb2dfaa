"""∂L/∂h_t = δ_{t+1} Wᵀ + g_t = [δ_{t+1}, g_t] [Wᵀ; I], g_t being what the loss adds at step t.

The product moves from the step that has δ to the step before. There it is joined with the
contribution of the loss. As with joined products in the forward pass, this applies to one row and
small matrices only.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from tinygrad_rnn.compiler.ir import FusedAdjoint, StepGraph, Value
from tinygrad_rnn.compiler.operations import assembled
from tinygrad_rnn.compiler.passes.fuse_products import (
    IDENTITY,
    PRODUCT,
    concatenated,
    eye,
    is_product_of_row,
    is_row,
)
from tinygrad_rnn.compiler.passes.rewrite import ordered, reached, total, unread
from tinygrad_rnn.compiler.views import is_view


def carry(graph: StepGraph) -> StepGraph:
    """Move the product out of the gradient of each state, where this saves time."""
    if graph.windows:
        return graph
    given = [v for v in graph.state_gradients if v is not None]
    values = ordered([*given, *graph.output_grads.values()])
    changing = reached(values, [*graph.inputs, *graph.states, *graph.adjoints])
    outputs, pairs = unread(graph), zip(graph.states, graph.adjoints, strict=True)
    linked = reached(values, [adjoint for state, adjoint in pairs if state not in outputs])
    gradients = [*values, *(v for v in graph.parameter_gradients if v is not None)]
    pieces = {p for v in ordered(gradients) if v.function is assembled for p in v.args[3]}
    taken: set[Value] = set()
    fused, rests = dict(graph.fused_adjoints), list(graph.state_gradients)
    output_grads = dict(graph.output_grads)
    for n, gradient in enumerate(graph.state_gradients):
        adjoint = graph.adjoints[n]
        if adjoint is None or not is_row(gradient):
            continue
        terms = terms_of(gradient)
        for term in terms:
            if not is_product_of_row(term, lambda v: v not in changing):
                continue
            row, matrix = term.args
            width = gradient.shape[-1]
            dear = width * width * gradient.dtype.itemsize > IDENTITY
            rest = [other for other in terms if other is not term]
            if row in taken or row in pieces or is_view(row) or dear or len(rest) < len(terms) - 1:
                continue
            if row not in linked:  # known before the loop, and the product as well
                continue
            taken.add(row)
            added = output_grads.get(n)
            appended, below, complete = adjoint, eye(width, gradient.dtype), False
            if (
                added is not None
                and is_product_of_row(added, lambda v: v not in changing)
                and added.args[1].nbytes <= PRODUCT
                and graph.loss_alone
                and not rest
            ):
                appended, below, complete = *added.args, True
                output_grads[n] = appended
            fused[n] = FusedAdjoint(row, concatenated([matrix, below], 0), appended, complete)
            rests[n] = total(rest) if rest else None
            break
    return replace(
        graph,
        state_gradients=tuple(rests),
        output_grads=output_grads,
        fused_adjoints=fused,
    )


def terms_of(value: Any) -> list[Any]:
    if isinstance(value, Value) and value.function is np.add and not value.kwargs:
        return [term for side in value.args for term in terms_of(side)]
    return [value]
