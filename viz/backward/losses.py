"""The separate losses, even where only their sum is given.

The loss at step t is the gradient that enters row t from outside of the rows. So the gradient of
the outputs is propagated back through the nodes that several rows share, such as sums, means or a
stack of all logits. Where it reaches a node of one row, it is a seed of that row's loss.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np

import tinygrad_rnn as tg
from tinygrad_rnn.engine.graph import Array, Node
from viz.backward.reverse import Visitor, reverse
from viz.backward.rows import Rows


@dataclass
class Loss:
    """The loss of one row: the nodes where its backward pass begins, each with the gradient
    there."""

    row: int
    seeds: dict[Node, Array] = field(default_factory=dict)


def losses_of(outputs: Sequence[tg.Tensor], rows: Rows, visit: Visitor) -> list[Loss]:
    """The losses by row, for the rows that have one.

    visit: called for every use on the way from the outputs to the seeds.
    """
    losses: dict[int, Loss] = {}
    above: list[Node] = []
    tape = tg.tape(*outputs)
    given = {output.node for output in outputs}
    sums = _running_sums(given, rows) if rows.count > 1 else set()
    outside = [node for node in tape if node in sums or rows.is_above(node)]
    beyond = frozenset(outside)

    def arrive(node: Node, gradient: Array) -> None:
        row = rows.of(node)
        if row is not None:
            seeds = losses.setdefault(row, Loss(row)).seeds
            seeds[node] = seeds[node] + gradient if node in seeds else gradient

    class Split(Visitor):
        def use(self, node: Node, parent: Node, contribution: Array) -> None:
            if parent not in beyond:
                arrive(parent, contribution)
            visit.use(node, parent, contribution)

        def gradient(self, node: Node, gradient: Array) -> None:
            above.append(node)
            visit.gradient(node, gradient)

    seeds = {}
    for output in outputs:
        node, one = output.node, np.ones(output.shape, output.dtype)
        if node in beyond:
            seeds[node] = one
        else:
            arrive(node, one)
    reverse(outside, seeds, Split())
    return [losses[row] for row in sorted(losses)]


def _running_sums(outputs: Iterable[Node], rows: Rows) -> set[Node]:
    """Sums of scalars that were recorded under the step of their last term. A sum `loss = loss +
    l_t` inside of `with step(t)` belongs to no step."""
    found: set[Node] = set()
    waiting = list(outputs)
    while waiting:
        node = waiting.pop()
        row = rows.of(node)
        linear = node.function in (np.add, np.subtract) and not node.shape
        if linear and row is not None:
            before = [r for p in node.parents if (r := rows.of(p)) is not None and not p.shape]
            if any(r < row for r in before):
                found.add(node)
                waiting += [p for p in node.parents if p not in found]
        elif node.function in (np.multiply, np.true_divide, np.add) or rows.is_above(node):
            waiting += [p for p in node.parents if p not in found and not p.shape]
    return found
