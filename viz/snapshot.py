"""The snapshot of a tape: plain records of the values, without their arrays.

Operations that pass a value on unchanged (detach, `scale_gradient`) are values on the tape. Here
they become weights on the inputs of their users: 0 is a cut, ξ is a scaled link.

Nodes are held by weak references: a picture keeps no graph alive.
"""

from __future__ import annotations

import weakref
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeAlias

import numpy as np

import tinygrad_rnn as tg
from tinygrad_rnn.engine.graph import Leaf, Node
from tinygrad_rnn.recurrent.state import zero_rows

NodeRef: TypeAlias = "weakref.ref[Node]"


class Use(NamedTuple):
    """One edge of the tape: the node that uses a value, and the argument in which it does."""

    node: NodeRef
    argument: Any


class Input(NamedTuple):
    """The uses of a value by another value: its place in the snapshot, and the weight of the
    gradient.

    weight: 1 for an ordinary use, 0 for a cut, ξ for a scaled one; None where ξ differs from
    sequence to sequence in the batch.
    uses: the edges of the tape that this input represents.
    losses: for a window's copy, the steps whose losses flow back here.
    says: a word for the operation on the link: reset.
    """

    source: int
    weight: float | None = 1.0
    says: str = ""
    uses: tuple[Use, ...] = ()
    losses: tuple[int, ...] = ()


@dataclass(frozen=True)
class Value:
    """One value of the tape.

    function: the name of the function that made it; None if it was given.
    parameter: whether the value was given and needs a gradient.
    passes: whether the value is its input unchanged (a detached or a scaled value).
    node: a weak reference to the recorded node. copies: weak references to the nodes of a window's
        copies. back: for a node recorded by a reverse pass, a weak reference to the node whose
        gradient it passed back.
    """

    name: str | None
    function: str | None
    shape: tuple[int, ...]
    integer: bool
    step: int | None
    inputs: tuple[Input, ...]
    parameter: bool
    output: bool
    node: NodeRef = field(compare=False)
    scope: tuple[str, ...] = ()
    copies: tuple[NodeRef, ...] = field(default=(), compare=False)
    back: NodeRef | None = field(default=None, compare=False)

    @property
    def given(self) -> bool:
        return self.function is None

    @property
    def passes(self) -> bool:
        return self.function in PASSING


PASSING = ("detach", "scale_gradient")
SUMS = ("add", "subtract")


def snapshot(outputs: Sequence[tg.Tensor]) -> list[Value]:
    """The values that the outputs depend on, in recorded order."""
    wanted = {output.node for output in outputs}
    tape = tg.tape(*outputs)
    beyond = _cut_sources(tape)
    values: list[Value] = []
    resolved: dict[Node, Input] = {}  # the value of each node, and the weight in between
    for node in sorted({*tape, *beyond}, key=lambda node: node.position):
        passing = _passing(node)
        inputs = () if node in beyond else _inputs(node, resolved, _own_weight(node))
        if inputs and node not in wanted:
            if passing and node.name is None:
                resolved[node] = inputs[0]
                continue
            if node.function is zero_rows:  # some sequences begin anew on this link
                resolved[node] = inputs[0]._replace(says="reset")
                continue
        resolved[node] = Input(len(values))
        values.append(
            Value(
                name=node.name,
                function=(passing or _function_name(node)) if inputs else None,
                shape=tuple(node.shape),
                integer=np.dtype(node.dtype).kind in "iub",
                step=node.step,
                inputs=inputs,
                parameter=isinstance(node, Leaf) and node.requires_grad,
                output=node in wanted,
                node=weakref.ref(node),
                scope=node.scope,
                back=node.mark.back,
            )
        )
    return values


def _cut_sources(tape: Sequence[Node]) -> set[Node]:
    """The named values from which the tape's detached values were taken. They lie beyond the tape,
    and are drawn without their own history."""
    known = set(tape)
    leaves = [node for node in tape if isinstance(node, Leaf)]
    sources = {parent for leaf in leaves for parent in _severed(leaf) if parent.name}
    return sources - known


def _severed(node: Node) -> list[Node]:
    return [parent for reference in node.severed if (parent := reference()) is not None]


def _passing(node: Node) -> str | None:
    """The way in which a node passes its input on unchanged; None if it does not."""
    if node.function is tg.scale_gradient:
        return "scale_gradient"
    return "detach" if node.severed and isinstance(node, Leaf) else None


def _own_weight(node: Node) -> float | None:
    """The factor by which the node multiplies the gradient on its way to the inputs."""
    if node.function is tg.scale_gradient and node.edges:
        return next(_number(kept[0]) for _, _, pullback, kept in node.edges if pullback)
    return 0.0 if node.severed else 1.0


def _number(factor: Any) -> float | None:
    values = np.asarray(factor.data if isinstance(factor, tg.Tensor) else factor)
    return float(values.flat[0]) if values.size and np.all(values == values.flat[0]) else None


def _inputs(node: Node, resolved: dict[Node, Input], weight: float | None) -> tuple[Input, ...]:
    here = weakref.ref(node)
    if node.severed:  # of the cut links, only those to values in the picture can be shown
        used = [(parent, None) for parent in _severed(node) if parent in resolved]
    elif node.function is tg.scale_gradient:
        used = [(parent, argument) for parent, argument, pullback, _ in node.edges if pullback]
    else:
        used = [(parent, argument) for parent, argument, _, _ in node.edges]
    return merged(
        Input(r.source, product(r.weight, weight), r.says, (Use(here, argument),))
        for parent, argument in used
        for r in [resolved[parent]]
    )


def merged(inputs: Iterable[Input]) -> tuple[Input, ...]:
    """One input for all uses of a value with the same weight, in the order of the first uses."""
    found: dict[tuple[object, ...], list[Input]] = {}
    for one in inputs:
        found.setdefault(one[:3], []).append(one)
    return tuple(
        one
        if len(same) == 1
        else one._replace(
            uses=tuple(use for other in same for use in other.uses),
            losses=tuple(sorted({loss for other in same for loss in other.losses})),
        )
        for same in found.values()
        for one in same[:1]
    )


def product(a: float | None, b: float | None) -> float | None:
    """The weight of two consecutive links."""
    if a == 0 or b == 0:
        return 0.0
    return None if a is None or b is None else a * b


def _function_name(node: Node) -> str:
    return str(getattr(node.function, "__name__", node.function)).lstrip("_")
