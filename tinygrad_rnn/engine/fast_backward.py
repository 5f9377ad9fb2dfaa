"""A fast reverse pass on plain arrays, with the same results as `backward.plain_pass`.

It adds in place, into its own arrays. The contributions of all uses of a tied weight are computed
at once, if the rule allows it (`table.together`).
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import Any

from tinygrad_rnn.engine.fit import added, fit, fit_to
from tinygrad_rnn.engine.graph import Array, Node

LARGE = 2**16
"""From this size on, a contribution to a broadcast value is summed immediately.

A smaller one is kept and summed after all contributions are added."""


def fast_pass(
    nodes: Sequence[Node],
    pending: dict[Node, Array],
    reach: Collection[Node] | None,
    leaves_only: bool,
) -> Iterator[tuple[Node, Array]]:
    """`backward.plain_pass`, for arrays.

    leaves_only: yield the leaves only.
    """
    own: set[Node] = set()  # nodes whose pending array is our own and precise enough to add into
    tied: dict[Node, dict[Any, list[Any]]] = {}  # uses whose contributions are computed at once

    for node in reversed(nodes):
        gradient = pending.pop(node, None)
        if node in tied:
            for contribution in contributions_of(tied.pop(node)):
                if gradient is None:
                    gradient = contribution
                else:
                    gradient = added(gradient, contribution, node.shape)
        if gradient is None:
            continue
        if gradient.shape != node.shape or gradient.dtype is not node.dtype:
            gradient = fit_to(node, gradient)
        if not (leaves_only and node.edges):
            yield node, gradient
        size = gradient.size
        for parent, _, pullback, kept in node.edges:
            if pullback is None or (reach is not None and parent not in reach):
                continue
            if size < pullback.together_below:
                uses = tied.setdefault(parent, {}).setdefault(pullback, [])
                uses.append((gradient, *kept))
                continue
            contribution = pullback.function(gradient, *kept)
            if size >= LARGE and len(contribution.shape) > len(parent.shape):
                contribution = fit(contribution, parent.shape)
            held = pending.get(parent)
            if held is None:
                pending[parent] = contribution
            elif held.shape != contribution.shape:
                pending[parent] = added(held, contribution, parent.shape)
            elif parent in own:
                held += contribution
                pending[parent] = held  # a NumPy scalar is not added to in place
            else:
                held = pending[parent] = held + contribution
                if held.dtype is parent.dtype:
                    own.add(parent)


def contributions_of(tied: dict[Any, list[Any]]) -> Iterator[Array]:
    """The contributions of the uses of one value, which are grouped by their pull-back."""
    for pullback, uses in tied.items():
        if len(uses) == 1:
            yield pullback.function(*uses[0])
        else:
            yield from pullback.together(uses)
