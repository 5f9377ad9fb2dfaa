"""The pass `carry`: ∂L/∂h_t = δ_{t+1} Wᵀ + g_t = [δ_{t+1}, g_t] [Wᵀ; I].

Here g_t is the gradient that the loss adds at step t.
The product moves from the step that has δ to the step before. There it is joined with the
contribution of the loss. As with joined products in the forward pass, this applies to one row and
small matrices only.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from tinygrad_rnn.compiler.ir import Depends, FusedAdjoint, StepGraph
from tinygrad_rnn.compiler.operations import assembled
from tinygrad_rnn.compiler.passes.assemble import concatenated
from tinygrad_rnn.compiler.passes.fuse_sums import is_product_of_row, light_pairs
from tinygrad_rnn.compiler.passes.rewrite import terms_of, total
from tinygrad_rnn.compiler.views import is_view


def carry(graph: StepGraph) -> StepGraph:
    """Move the first product out of the gradient of each state, where this saves time."""
    if graph.windows:
        return graph
    fused, rests, output_grads = {}, list(graph.state_gradients), dict(graph.output_grads)
    elsewhere = {part for v in graph.order if v.function is assembled for part in v.args[3]}

    def can_move(term: Any) -> bool:
        """Whether a term is a product to leave to the step before. A row that is known before the
        loop is not, and neither is a row that would have to be copied."""
        if not is_product_of_row(graph, term) or term.args[0] in elsewhere:
            return False
        return Depends.GRADIENT in graph.depends[term.args[0]] and not is_view(term.args[0])

    for n, (gradient, adjoint) in enumerate(zip(rests, graph.adjoints, strict=True)):
        terms = terms_of(gradient)
        products = [place for place, term in enumerate(terms) if can_move(term)]
        if adjoint is None or gradient is None or not products:
            continue
        row, matrix = terms.pop(products[0]).args
        complete = graph.loss_alone and not terms and n in output_grads
        pairs = light_pairs(graph, gradient, [output_grads[n] if complete else adjoint])
        if not pairs:
            continue
        ((appended, below),) = pairs
        elsewhere.add(row)
        fused[n] = FusedAdjoint(row, concatenated([matrix, below], 0), appended, complete)
        rests[n] = total(terms) if terms else None
        if complete:
            output_grads[n] = appended
    return replace(
        graph, state_gradients=tuple(rests), output_grads=output_grads, fused_adjoints=fused
    )
