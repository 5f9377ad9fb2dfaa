"""Rows: the step of every node, and whether the links between steps form one chain."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import tinygrad_rnn as tg
from tinygrad_rnn.engine.graph import Leaf, Node
from viz.labels import Name
from viz.scopes import parts_of, retimed
from viz.snapshot import snapshot
from viz.unmarked import with_steps

Span = tuple[int, int]


@dataclass
class Rows:
    """The rows of a tape's nodes. They are the rows of the picture, counted from 0.

    spans: the first and the last row of each node. A node that was recorded under a step has that
        step's row. A node without a step has the rows of its arguments, so the loss at t is in row
        t and the sum of losses in all rows. None means below all rows: parameters, initial states,
        and values computed from these alone.
    """

    count: int = 1
    numbers: list[int] | None = None
    """The numbers of the steps, if they are not 1, 2, ...: T, ..., 2, 1 in a sequence that is read
    backwards."""
    spans: dict[Node, Span | None] = field(default_factory=dict)
    far: set[Node] = field(default_factory=set)
    """Nodes that look back farther than one step, and their counterparts in the other rows."""

    def of(self, node: Node) -> int | None:
        """The one row of a node; None if it has none or several."""
        span = self.spans.get(node)
        return span[0] if span and span[0] == span[1] else None

    def is_above(self, node: Node) -> bool:
        """Whether a node was computed from several rows."""
        span = self.spans.get(node)
        return span is not None and span[0] != span[1]

    def link(self, user: Node, parent: Node) -> int | None:
        """The step t, if this use is the link t−1 → t, or t → t−1 in a chain that runs backwards. A
        node that looks back farther than one step, such as attention over kept states, uses no
        link."""
        row, before = self.of(user), self.of(parent)
        if row is None or before is None or abs(row - before) != 1 or user in self.far:
            return None
        return max(row, before)

    def mark_far(self) -> None:
        """Find the nodes that look back farther than one step. The cell is the same in every row,
        so the counterparts of these nodes in other rows count as well."""
        places: dict[int, int] = {}
        alike: dict[tuple[int, object], list[Node]] = {}
        found = set()
        for node in self.spans:
            if (row := self.of(node)) is None or not node.edges:
                continue
            places[row] = places.get(row, -1) + 1
            key = places[row], node.function
            alike.setdefault(key, []).append(node)
            rows = (self.of(parent) for parent in node.parents)
            if any(r is not None and r < row - 1 for r in rows):
                found.add(key)
        self.far = {node for key in found for node in alike[key]}


def rows_of(outputs: Sequence[tg.Tensor]) -> Rows:
    """The rows of all nodes that the outputs depend on."""
    steps = {}
    values = with_steps(snapshot(outputs))
    apart = bool(parts_of(values))  # then the steps of a part are counted from its own beginning
    for value in retimed(values):
        node = value.node()
        if node is not None and not value.parameter:
            steps[node] = value.step
    tape = tg.tape(*outputs)
    for node in tape:
        if not (isinstance(node, Leaf) and node.requires_grad):
            steps.setdefault(node, None if apart else node.step)
    row_of = {
        step: row for row, step in enumerate(sorted({s for s in steps.values() if s is not None}))
    }
    rows = Rows(max(1, len(row_of)))
    for node in tape:
        step = steps.get(node)
        if step is not None:
            rows.spans[node] = (row_of[step], row_of[step])
            continue
        known = [span for parent in node.parents if (span := rows.spans[parent])]
        rows.spans[node] = (min(a for a, _ in known), max(b for _, b in known)) if known else None
    rows.numbers = _numbers(rows)
    if not row_of:  # no time: everything that was computed is in one row
        rows.spans = {node: None if isinstance(node, Leaf) else (0, 0) for node in tape}
    rows.mark_far()
    return rows


def _numbers(rows: Rows) -> list[int] | None:
    """The numbers in the names of each row's values, if the names count the steps in another
    order."""
    found: list[set[int]] = [set() for _ in range(rows.count)]
    for node in rows.spans:
        row, number = rows.of(node), Name.parse(node.name or "").step
        if row is not None and number is not None and not isinstance(node, Leaf):
            found[row].add(number)
    numbers = [number for of_row in found for number in of_row]
    usual = list(range(1, rows.count + 1))
    return numbers if numbers != usual and sorted(numbers) == usual else None


def why_no_chain(rows: Rows) -> str | None:
    """The reason why no matrix M describes a strategy here, as a sentence; None if M does.

    M[t, s] weights the gradient of loss t at step s. This is valid where every path from t to s
    takes all of the links in between, that is, where each step is linked only to the step before.
    """
    for node in rows.spans:
        if (row := rows.of(node)) is None:
            continue
        for parent, _, pullback, _ in node.edges:
            if pullback is None:
                continue
            if rows.is_above(parent):
                return f"step {row + 1} uses a value that was computed from several steps"
            before = rows.of(parent)
            if before is not None and before > row:
                return f"step {row + 1} uses a value of the later step {before + 1}"
            if before is not None and before < row - 1:
                return f"step {row + 1} also uses step {before + 1}, past the links between them"
    return None


def truncated(outputs: Sequence[tg.Tensor]) -> str | None:
    """The truncation of the tape itself, as a sentence; None if there is none."""
    values = with_steps(snapshot(outputs))
    for value in values:
        if any(scope.startswith("window ") for scope in value.scope):
            return "the tape holds the windows of a truncation, each computed anew"
        for use in value.inputs:
            source = values[use.source]
            apart = None not in (value.step, source.step) and value.step != source.step
            if apart and not source.parameter and use.weight != 1:
                steps = f"from step {source.step} to step {value.step}"
                return f"the link {steps} is cut or scaled already"
    return None
