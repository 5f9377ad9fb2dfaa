"""The label in the circle of one operation: its sign, its constant operand, its index."""

from __future__ import annotations

import operator
from collections.abc import Mapping
from typing import Any

import numpy as np

from tinygrad_rnn.engine.graph import Array, Node
from viz import labels
from viz.indices import gate_of, index_of, index_text
from viz.labels import Label, Run
from viz.snapshot import Value
from viz.values import constant_of, options_of

BINARY = ("add", "subtract", "multiply", "true_divide", "divide", "power")
LONGEST = 7


def operation(value: Value, values: Mapping[Node, Array]) -> Label:
    """The label of the circle.

    An index is shown as text, or by the name of the gate where it takes a gate of a cell. The
    constant of a sum or a product is shown if it is one number that the tape keeps or that follows
    from the values, otherwise as c.
    """
    node = value.node()
    if node is None:
        return labels.symbol(value.function or "")
    if node.function is operator.getitem:
        return _index(node)
    constant = _constant(node, value.function or "", values)
    return constant or labels.symbol(value.function or "")


def _index(node: Node) -> Label:
    index = index_of(node)
    if gate := gate_of(node):
        return ((Run(gate, italic=True),),)
    if isinstance(index, tuple):  # whole axes before the sliced one are left out
        cut = [n for n, part in enumerate(index) if not _is_whole(part)]
        index = index[cut[0]] if len(cut) == 1 else index
    text = "" if index is None or isinstance(index, np.ndarray) else index_text(index)
    return labels.text(f"[{text if len(text) <= LONGEST else '…'}]")


def _is_whole(part: Any) -> bool:
    return part is Ellipsis or (isinstance(part, slice) and part == slice(None))


def _constant(node: Node, function: str, values: Mapping[Node, Array]) -> Label | None:
    """The sign with the constant beside it, if one of the two operands is no Tensor."""
    given = {argument for _, argument, _, _ in node.edges}
    missing = {"x1", "x2"} - given
    if function not in BINARY or len(missing) != 1:
        return None
    (side,) = missing
    kept = options_of(node).get(side)
    number = _number(constant_of(node, values) if kept is None else kept)
    sign = labels.plain(labels.symbol(function))
    return labels.text(f"{number} {sign}" if side == "x1" else f"{sign} {number}")


def _number(constant: Any) -> str:
    numbers = np.asarray(np.nan if constant is None else constant)
    if not numbers.size or not np.allclose(numbers, numbers.flat[0]):
        return "c"
    return f"{float(numbers.flat[0]):.3g}".replace("-", "−")
