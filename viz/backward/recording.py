"""The recording of the backward pass, for every loss separately: gradients, flows on the links, and
contributions to parameters.

A source is a loss. Where no matrix describes the truncation, a source is one strategy applied to
all losses. In both cases the page only weights sources: Σ M[source, row] · recorded contribution.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence, Set
from dataclasses import dataclass, field

import numpy as np

import tinygrad_rnn as tg
from tinygrad_rnn.engine.graph import Array, Leaf, Node, history
from viz.backward.losses import Loss, losses_of
from viz.backward.reverse import Visitor, Weight, reverse
from viz.backward.rows import Rows, rows_of, why_no_chain

EVERY_ROW = -1
"""The row of a use that belongs to no step, and the source of gradients shared by all losses."""

Cell = tuple[int, int]
"""A source and a row."""

Uses = tuple[Node, Node]
"""All uses of a value in a node: (user, parent)."""


@dataclass
class Source:
    """The source of one backward pass: its seeds, and the weights of its links.

    loss: the row of the loss; None for all losses together.
    links: the weight ξ of the link into each row; None where all are 1.
    """

    label: str
    loss: int | None
    seeds: dict[Node, Array]
    links: tuple[float, ...] | None = None


@dataclass
class Tied:
    """A tied parameter, shared by several steps, and the contribution of each use to its gradient.

    uses: the contributions by source and row, where the arrays were kept (see `record`).
    along: ⟨∂L_t/∂W_s, ĝ⟩, where ĝ is the direction of the full gradient. These add up to its norm.
    """

    full: Array
    uses: dict[Cell, Array] = field(default_factory=dict)
    along: dict[Cell, float] = field(default_factory=dict)
    norms: dict[Cell, float] = field(default_factory=dict)


@dataclass
class Recording:
    """All passes of one tape.

    gradients: the gradients of every node in the rows, by source. A node above the rows has one
        gradient, under EVERY_ROW.
    flows: the contributions of uses, by source. For parameters that are too large (see `record`),
        only the norms.
    no_chain: the reason why the sources are strategies and not losses; None where they are losses.
    """

    tape: list[Node]
    rows: Rows
    sources: list[Source]
    gradients: dict[Node, dict[int, Array]]
    flows: dict[Uses, dict[int, Array]]
    tied: dict[Node, Tied]
    no_chain: str | None


def record(outputs: Sequence[tg.Tensor], most: int = 400_000) -> Recording:
    """Differentiate every loss separately.

    outputs: the losses one by one, or their sum. The gradient is that of the sum of the outputs.
    most: the most numbers that are kept of the contributions to parameters. Larger parameters keep
        only norms and `along`.

    >>> import numpy as np, tinygrad_rnn as tg
    >>> from viz.models import recurrent_loss
    >>> from viz.backward.recording import record
    >>> recording = record([recurrent_loss(steps=3)])
    >>> [source.label for source in recording.sources]
    ['l_1', 'l_2', 'l_3']
    """
    rows = rows_of(outputs)
    tape = tg.tape(*outputs)
    everything = _Pass(rows, EVERY_ROW)
    losses = losses_of(outputs, rows, everything)
    no_chain = why_no_chain(rows)
    sources = [Source(f"l_{loss.row + 1}", loss.row, loss.seeds) for loss in losses]
    if no_chain:
        sources = _strategies(losses, rows.count)
    found = Recording(tape, rows, sources, {}, {}, {}, no_chain)
    found.gradients = {n: {EVERY_ROW: g} for n, g in everything.gradients.items()}
    directions = _full_gradients(losses, everything, rows)
    found.tied = {node: Tied(gradient) for node, gradient in directions.items()}
    passes = len(sources) * (rows.count if no_chain else (rows.count + 1) / 2)
    room = most
    kept = set()
    for node in sorted(directions, key=lambda n: directions[n].size):
        room -= int(directions[node].size * passes)
        if room >= 0:
            kept.add(node)
    large = directions.keys() - kept
    _flow(found, EVERY_ROW, everything.flows, large)
    _enter(found, losses)
    _share(found, EVERY_ROW, everything.uses, kept)
    for number, source in enumerate(sources):
        one = _Pass(rows, number)
        one.run(source.seeds, _weight(rows, source.links))
        for node, gradient in one.gradients.items():
            found.gradients.setdefault(node, {})[number] = gradient
        _flow(found, number, one.flows, large)
        _share(found, number, one.uses, kept)
    return found


class _Pass(Visitor):
    """One reverse pass, with the uses of values below the rows sorted by row."""

    def __init__(self, rows: Rows, number: int) -> None:
        self.rows, self.number = rows, number
        self.gradients: dict[Node, Array] = {}
        self.flows: dict[Uses, Array] = {}
        self.uses: dict[tuple[Node, int], Array] = {}
        self.below: dict[int, dict[Node, Array]] = defaultdict(dict)

    def gradient(self, node: Node, gradient: Array) -> None:
        self.gradients[node] = gradient

    def use(self, node: Node, parent: Node, contribution: Array) -> None:
        self._flow(node, parent, contribution)
        if self.rows.spans[parent] is None:
            row = self.rows.of(node)
            self._add(parent, EVERY_ROW if row is None else row, contribution)

    def _flow(self, node: Node, parent: Node, contribution: Array) -> None:
        known = self.flows.get((node, parent))
        self.flows[node, parent] = contribution if known is None else known + contribution

    def _add(self, node: Node, row: int, contribution: Array) -> None:
        known = self.uses.get((node, row))
        self.uses[node, row] = contribution if known is None else known + contribution

    def run(self, seeds: dict[Node, Array], weight: Weight | None = None) -> None:
        """Go back through the rows, and, row by row, through the values that all rows share."""
        nodes = history(*seeds, differentiable=True)
        above = [node for node in nodes if self.rows.spans[node] is not None]
        reverse(above, seeds, self, weight)
        below = [node for node in nodes if self.rows.spans[node] is None and node.edges]
        if not below:
            return
        entered = {node for node, _ in self.uses}
        for row in {row for _, row in self.uses}:
            deeper = _Below(self, row)
            seeds = {n: self.uses[n, row] for n in entered if (n, row) in self.uses}
            reverse(below, {n: g for n, g in seeds.items() if n.edges}, deeper)


class _Below(Visitor):
    """The path from a shared value to the parameters from which it was computed."""

    def __init__(self, upper: _Pass, row: int) -> None:
        self.upper, self.row = upper, row

    def use(self, node: Node, parent: Node, contribution: Array) -> None:
        self.upper._add(parent, self.row, contribution)
        self.upper._flow(node, parent, contribution)


def _flow(found: Recording, number: int, flows: dict[Uses, Array], large: Set[Node]) -> None:
    for (node, parent), contribution in flows.items():
        part = np.linalg.norm(contribution) if parent in large else contribution
        found.flows.setdefault((node, parent), {})[number] = part


def _enter(found: Recording, losses: Iterable[Loss]) -> None:
    """Split the gradients that enter the rows from above by loss."""
    entered = {node: loss.row for loss in losses for node in loss.seeds}
    number = {source.loss: n for n, source in enumerate(found.sources)}
    for (_, parent), by_source in found.flows.items():
        if parent in entered and (n := number.get(entered[parent])) is not None:
            by_source[n] = by_source.pop(EVERY_ROW)


def _full_gradients(losses: Iterable[Loss], above: _Pass, rows: Rows) -> dict[Node, Array]:
    """The gradient of the sum of all losses with respect to every parameter, and to every named
    value that was computed from parameters alone."""
    seeds = {node: gradient for loss in losses for node, gradient in loss.seeds.items()}
    whole = _Pass(rows, EVERY_ROW)
    whole.run(seeds)
    total: dict[Node, Array] = {}
    for (node, _), contribution in [*above.uses.items(), *whole.uses.items()]:
        if isinstance(node, Leaf) or node.name:
            total[node] = total[node] + contribution if node in total else contribution
    return dict(sorted(total.items(), key=lambda item: item[0].position))


def _share(
    found: Recording, number: int, uses: dict[tuple[Node, int], Array], kept: set[Node]
) -> None:
    for (node, row), contribution in uses.items():
        tied = found.tied.get(node)
        if tied is None:
            continue
        length = float(np.linalg.norm(tied.full)) or 1.0
        cell = number, row
        tied.along[cell] = float(np.vdot(contribution, tied.full)) / length
        tied.norms[cell] = float(np.linalg.norm(contribution))
        if node in kept:
            tied.uses[cell] = contribution


# Strategies as sources ---------------------------------------------------------------------------

DRAWS = 4  # of a randomized truncation
KEEP = 0.65  # the probability with which a link survives there


def _strategies(losses: Sequence[Loss], T: int) -> list[Source]:
    """The strategies that truncate by links, each applied to all losses, for a tape that no matrix
    M describes."""
    seeds: dict[Node, Array] = {}
    for loss in losses:
        seeds |= loss.seeds
    found = [Source("Full()", None, seeds)]
    for k in range(1, T):
        links = tg.Subsequence(k).links(T)
        found.append(Source(f"Subsequence({k})", None, seeds, tuple(links.tolist())))
    for draw in range(DRAWS if T > 1 else 0):
        links = tg.Randomized(KEEP, rng=draw).links(T)
        found.append(Source(f"Randomized({KEEP}) {draw + 1}", None, seeds, tuple(links.tolist())))
    for t in range(1, T):
        cut = tuple(0.0 if s == t else 1.0 for s in range(T))
        found.append(Source(f"cut {t}", None, seeds, cut))
    return found


def _weight(rows: Rows, links: tuple[float, ...] | None) -> Weight | None:
    if links is None:
        return None

    def weight(node: Node, parent: Node) -> float:
        t = rows.link(node, parent)
        return 1.0 if t is None else links[t]

    return weight
