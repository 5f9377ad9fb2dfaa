"""Gradient flows along the links of a picture."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import numpy as np

from tinygrad_rnn.engine.graph import Array, Node
from viz.backward.recording import Recording
from viz.diagram import Diagram, Link


def nodes_of(diagram: Diagram) -> list[list[Node]]:
    """The nodes of every shape. The last node of a circle is its result."""
    return [[n for ref in shape.nodes if (n := ref()) is not None] for shape in diagram.shapes]


def uses_of(link: Link) -> list[tuple[Node, Node]]:
    """The edges of the tape that a link shows, as (user, used). A link from a circle to the box of
    its result shows none."""
    found: dict[tuple[Node, Node], None] = {}
    for use in link.uses:
        user = use.node()
        for parent, at, _, _ in user.edges if user is not None else ():
            if user is not None and at == use.argument:
                found[user, parent] = None
    return list(found)


def flow_of(link: Link, nodes: Sequence[Sequence[Node]], recording: Recording) -> dict[int, float]:
    """The norm of the gradient that flows back along a link, by source."""
    if not link.uses:
        gradients = recording.gradients.get(nodes[link.target][0], {})
        return {source: float(np.linalg.norm(g)) for source, g in sorted(gradients.items())}
    sources = {source for use in uses_of(link) for source in recording.flows.get(use, ())}
    return {n: total(link, recording, {n: 1.0}.get) for n in sorted(sources)}


def total(link: Link, recording: Recording, weight: Callable[[int], float | None]) -> float:
    """The norm of the weighted sum of all sources' gradients along a link with uses. Gradients that
    flow to one value add up, with their signs."""
    sums: dict[Node, list[Array]] = {}
    for user, parent in uses_of(link):
        for source, part in recording.flows.get((user, parent), {}).items():
            if factor := weight(source):
                sums.setdefault(parent, []).append(factor * part)
    return float(np.linalg.norm([_norm(node, parts) for node, parts in sums.items()]))


def _norm(node: Node, parts: Iterable[Array]) -> float:
    """The norm of the sum. Where only the norms of the parts are known, the parts count as
    orthogonal."""
    parts = list(parts)
    if any(np.shape(part) != tuple(node.shape) for part in parts):
        return float(np.linalg.norm(parts))
    return float(np.linalg.norm(sum(parts[1:], parts[0])))
