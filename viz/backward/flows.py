"""What flows back along the links of a picture."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tinygrad_rnn.engine.graph import Node
from viz.backward.recording import Recording
from viz.diagram import Diagram, Link


def nodes_of(diagram: Diagram) -> list[list[Node]]:
    """The nodes of every shape; of a circle its result last."""
    return [[n for ref in shape.nodes if (n := ref()) is not None] for shape in diagram.shapes]


def uses_of(link: Link) -> list[tuple[Node, Node]]:
    """The edges of the tape that a link shows, as (user, used); none for the way from a circle to
    the box of its result."""
    found: dict[tuple[Node, Node], None] = {}
    for use in link.uses:
        user = use.node()
        for parent, at, _, _ in user.edges if user is not None else ():
            if user is not None and at == use.argument:
                found[user, parent] = None
    return list(found)


def flow_of(link: Link, nodes: Sequence[Sequence[Node]], recording: Recording) -> dict[int, float]:
    """The size of what comes back along a link, by source."""
    flow: dict[int, float] = {}
    if not link.uses:
        for source, gradient in recording.gradients.get(nodes[link.target][0], {}).items():
            flow[source] = float(np.linalg.norm(gradient))
    for use in uses_of(link):
        for source, norm in recording.flows.get(use, {}).items():
            flow[source] = float(np.hypot(flow.get(source, 0.0), norm))
    return dict(sorted(flow.items()))
