"""The values of the tape's nodes, where they can be reconstructed.

The tape keeps only the values that derivatives need. A parameter has the array of its Tensor, if
the array was not replaced since. From these the other values are recomputed with the functions that
made them. A value that cannot be recomputed is not known.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

import tinygrad_rnn as tg
from tinygrad_rnn.engine.graph import Array, Leaf, Node
from tinygrad_rnn.engine.table import rule_of
from tinygrad_rnn.support.signatures import arguments


def values_of(tape: Sequence[Node], tensors: Iterable[tg.Tensor] = ()) -> dict[Node, Array]:
    """The arrays of the nodes. The value of a missing node is not known.

    tape: in recorded order.
    tensors: the Tensors that the caller holds, whose arrays are known.
    """
    found = {tensor.node: np.asarray(tensor.data) for tensor in tensors}
    for node in tape:
        for _, _, pullback, values in node.edges:
            if pullback is None:
                continue
            for need, value in zip(pullback.needs, values, strict=True):
                if not isinstance(value, np.ndarray | np.generic):
                    continue
                is_output = need == "y" and pullback.output_is_y
                owners = [node] if is_output else [p for p, at, _, _ in node.edges if at == need]
                for owner in owners:
                    found.setdefault(owner, np.asarray(value))
    for leaf, array in _given(tape).items():
        found.setdefault(leaf, array)
    for node in tape:
        if node not in found and (value := _computed(node, found)) is not None:
            found[node] = value
    for node in reversed(tape):
        if node in found:
            _invert(node, found)
    return found


def _given(tape: Sequence[Node]) -> dict[Node, Array]:
    """The arrays of the parameters whose arrays were not replaced since their first use."""
    first: dict[Node, int] = {}
    for node in tape:
        for parent in node.parents:
            first.setdefault(parent, node.position)
    found: dict[Node, Array] = {}
    for leaf, use in first.items():
        if isinstance(leaf, Leaf) and leaf.given is not None:
            array, since = leaf.given
            if since < use:
                found[leaf] = np.asarray(array)
    return found


def _invert(node: Node, found: dict[Node, Array]) -> None:
    """The only unknown term of a known sum, or the dividend of a known quotient. So the terms of a
    sum of losses are found from the last one back."""
    unknown = [(parent, at) for parent, at, _, _ in node.edges if parent not in found]
    if len(unknown) != 1 or unknown[0][0].shape != node.shape:
        return
    (parent, at), value = unknown[0], found[node]
    if node.function is np.true_divide and at == "x1" and "x2" in (known := options_of(node)):
        found[parent] = value * known["x2"]
    elif node.function in (np.add, np.subtract) and len(node.edges) == 2:
        other = found[next(p for p, place, _, _ in node.edges if place != at)]
        if node.function is np.add:
            found[parent] = value - other
        else:
            found[parent] = value + other if at == "x1" else other - value


def constant_of(node: Node, values: Mapping[Node, Array]) -> Array | None:
    """The constant operand of a sum. The tape does not keep it, so it is computed from the other
    values; None where they are not known."""
    ((parent, at, *_),) = node.edges
    if node not in values or parent not in values:
        return None
    if node.function is np.add:
        constant = values[node] - values[parent]
    elif node.function is np.subtract:
        constant = (1 if at == "x2" else -1) * values[node] + values[parent]
    else:
        return None
    return np.asarray(np.round(constant, 12) + 0.0)


def options_of(node: Node) -> dict[str, Any]:
    """The arguments that the edges of a node keep, by name."""
    known: dict[str, Any] = {}
    for _, _, pullback, values in node.edges:
        if pullback is not None:
            known |= {
                need: value
                for need, value in zip(pullback.needs, values, strict=True)
                if not (need == "y" and pullback.output_is_y)
            }
    return known


def _computed(node: Node, found: Mapping[Node, Array]) -> Array | None:
    """The value of a node, computed from its arguments; None where an argument is not known."""
    rule = rule_of(node.function)
    if rule is None or rule.variadic or not node.edges:
        return None
    known, may_be_left_out = options_of(node), arguments(node.function).optional
    operands: list[Any] = []
    options: dict[str, Any] = {}
    for name in rule.names:
        whole = [parent for parent, at, _, _ in node.edges if at == name]
        elements = [
            parent for parent, at, _, _ in node.edges if type(at) is tuple and at[0] == name
        ]
        if any(parent not in found for parent in (*whole, *elements)):
            return None
        if whole or elements:
            operands.append(found[whole[0]] if whole else [found[parent] for parent in elements])
        elif name in may_be_left_out:
            if known.get(name) is not None:
                options[name] = known[name]
        elif name in known:
            operands.append(known[name])
        else:
            return None
    with tg.no_grad():
        value = np.asarray(rule.compute(*operands, **options))
    several = value.dtype == object  # the arrays of np.linalg.svd: one node for all of them
    return None if several or value.shape != tuple(node.shape) else value
