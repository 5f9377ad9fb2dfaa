"""What stands in the circle of one operation: its sign, its constant operand, its index."""

from __future__ import annotations

import operator
from typing import Any

import numpy as np

from tinygrad_rnn.engine.graph import Node
from tinygrad_rnn.recurrent.gates import block_names
from viz import labels
from viz.labels import Label, Run
from viz.player.symbols import index_text
from viz.player.values import options_of
from viz.snapshot import Value

BINARY = ("add", "subtract", "multiply", "true_divide", "divide", "power")
LONGEST = 7


def operation(value: Value) -> Label:
    """The label of the circle.

    An index says what it takes, or, where that is a gate of a cell, what the gate is called. The
    constant of a sum or a product is shown where the tape keeps it, as c where it does not.
    """
    node = value.node()
    if node is None:
        return labels.symbol(value.function or "")
    if node.function is operator.getitem:
        return _index(node)
    constant = _constant(node, value.function or "")
    return constant or labels.symbol(value.function or "")


def _index(node: Node) -> Label:
    index = options_of(node).get("b")
    if gate := gate_of(node):
        return ((Run(gate, italic=True),),)
    if isinstance(index, tuple):  # whole axes before the one that is cut go without saying
        cut = [n for n, part in enumerate(index) if not _is_whole(part)]
        index = index[cut[0]] if len(cut) == 1 else index
    text = "" if index is None or isinstance(index, np.ndarray) else index_text(index)
    return labels.text(f"[{text if len(text) <= LONGEST else '…'}]")


def _is_whole(part: Any) -> bool:
    return part is Ellipsis or (isinstance(part, slice) and part == slice(None))


def gate_of(node: Node) -> str | None:
    """The name of the block of its parent's last axis that an index takes, if it has one."""
    (parent, *_), index = node.edges[0], options_of(node).get("b")
    part = index[-1] if isinstance(index, tuple) else index
    names = block_names(parent)
    if not names or not isinstance(part, slice) or part.step is not None:
        return None
    width = max(1, parent.shape[-1] // len(names))
    start = part.start or 0
    if part.stop is None or part.stop - start != width or start // width >= len(names):
        return None
    return names[start // width].replace("'", "′")


def _constant(node: Node, function: str) -> Label | None:
    """The sign with the constant on its side, if one of the two operands is no Tensor."""
    given = {argument for _, argument, _, _ in node.edges}
    missing = {"x1", "x2"} - given
    if function not in BINARY or len(missing) != 1:
        return None
    (side,) = missing
    number = _number(options_of(node).get(side))
    sign = labels.plain(labels.symbol(function))
    return labels.text(f"{number} {sign}" if side == "x1" else f"{sign} {number}")


def _number(constant: Any) -> str:
    if constant is None or np.ndim(constant):
        return "c"
    return f"{float(constant):.3g}".replace("-", "−")
