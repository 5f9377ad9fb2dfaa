"""The pass `carry`: ∂L/∂h_t = δ_{t+1} Wᵀ + g_t = [δ_{t+1}, g_t] [Wᵀ; I].

Here g_t is the gradient that the loss adds at step t.
The product moves from the step that has δ to the step before. There it is joined with the
contribution of the loss. As with joined products in the forward pass, this applies to one row and
small matrices only.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from tinygrad_rnn.compiler.ir import FusedAdjoint, StepGraph
from tinygrad_rnn.compiler.operations import assembled
from tinygrad_rnn.compiler.passes.assemble import concatenated
from tinygrad_rnn.compiler.passes.fuse_products import (
    IDENTITY,
    PRODUCT,
    eye,
    is_product_of_row,
    is_row,
)
from tinygrad_rnn.compiler.passes.rewrite import terms_of, total
from tinygrad_rnn.compiler.schedule import schedule


def carry(graph: StepGraph) -> StepGraph:
    """Move the product out of the gradient of each state, where this saves time."""
    if graph.windows or not any(map(is_row, graph.state_gradients)):
        return graph
    known = schedule(graph)
    loop, fused, rests = set(known.backward.loop), {}, list(graph.state_gradients)
    output_grads = dict(graph.output_grads)
    taken = {part for v in known.order if v.function is assembled for part in v.args[3]}

    def is_product(term: Any) -> bool:
        return is_product_of_row(term, lambda value: not known.depends[value])

    def can_move(term: Any) -> bool:
        """Whether a term is a product to leave to the step before. A row that is known before the
        loop is not, and neither is a row that is written to another place."""
        return is_product(term) and term.args[0] in loop - taken

    for n, (gradient, adjoint) in enumerate(zip(rests, graph.adjoints, strict=True)):
        if gradient is None or adjoint is None or not is_row(gradient):
            continue
        width, terms = gradient.shape[-1], terms_of(gradient)
        products = [t for t in terms if can_move(t) and sum(other is t for other in terms) == 1]
        if not products or width * width * gradient.dtype.itemsize > IDENTITY:
            continue
        row, matrix = products[0].args
        rest = [term for term in terms if term is not products[0]]
        taken.add(row)
        appended, below = adjoint, eye(width, gradient.dtype)
        added: Any = output_grads.get(n)
        complete = graph.loss_alone and not rest and is_product(added)
        complete = complete and added.args[1].nbytes <= PRODUCT
        if complete:
            appended, below = added.args
            output_grads[n] = appended
        fused[n] = FusedAdjoint(row, concatenated([matrix, below], 0), appended, complete)
        rests[n] = total(rest) if rest else None
    return replace(
        graph, state_gradients=tuple(rests), output_grads=output_grads, fused_adjoints=fused
    )
