"""Indices as text: `…, 5:10`, or the name of a gate."""

from __future__ import annotations

import operator
from typing import Any

import numpy as np

import tinygrad_rnn as tg
from tinygrad_rnn.engine.graph import Node
from tinygrad_rnn.recurrent.gates import block_names
from viz.values import options_of

SQUASHING = np.tanh, tg.sigmoid
FAR = 24  # nodes looked at: n of a GRU has eight


def index_of(node: Node) -> Any:
    """The index of a node that takes a part of its parent; None where the tape does not keep it."""
    return options_of(node).get("b")


def index_text(index: Any) -> str:
    """An index as it is written in a program.

    >>> import numpy as np
    >>> from viz.indices import index_text
    >>> index_text((..., slice(5, 10))), index_text(slice(None, None, 2)), index_text(-1)
    ('5:10', '::2', '-1')
    """
    if isinstance(index, tuple):
        return ", ".join(index_text(i) for i in index if i is not Ellipsis) or "…"
    if isinstance(index, slice):
        parts = ["" if p is None else str(p) for p in (index.start, index.stop, index.step)]
        return ":".join(parts[:2] if index.step is None else parts)
    if index is Ellipsis:
        return "…"
    return "·" if np.ndim(index) else str(index)


def gate_of(node: Node) -> str | None:
    """The name of the gate that a node takes as a block of its parent's last axis."""
    if node.function is not operator.getitem:
        return None
    (parent, *_), index = node.edges[0], index_of(node)
    part = index[-1] if isinstance(index, tuple) else index
    names = block_names(parent)
    if not names or not isinstance(part, slice) or part.step is not None:
        return None
    width = max(1, parent.shape[-1] // len(names))
    start = part.start or 0
    if part.stop is None or part.stop - start != width or start // width >= len(names):
        return None
    return names[start // width].replace("'", "′")


def activated_gate(node: Node) -> str | None:
    """The name of the gate whose value a sigmoid or a tanh computes from the gate's blocks."""
    if node.function not in SQUASHING:
        return None
    waiting, found = list(node.parents), set()
    for parent in waiting:  # which grows on the way, through sums and products without a name
        if len(waiting) > FAR:
            return None
        if gate := gate_of(parent):
            found.add(gate)
        elif parent.name is None and parent.function in (np.add, np.multiply):
            waiting += parent.parents
    plain = {gate for gate in found if not gate.endswith("′")} or found
    return plain.pop() if len(plain) == 1 else None
