"""What inputs and states are called in pictures, with the number of their step counted from 1."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from tinygrad_rnn.differentiate import leaves
from tinygrad_rnn.tensor import Tensor


def names_of(cell: Any, state: Any) -> list[tuple[str, str]]:
    """What stands before and after the number of the step in the name of each part of a state."""
    return [
        tuple(template.split("{t}"))
        for template in leaves(getattr(cell, "state_names", None) or templates(state))
    ]


def templates(state: Any, key: str = "h", layer: str = "") -> Any:
    """A name for each part of a state by its place: its key in a dict, its number in a tuple.

    >>> from tinygrad_rnn.names import templates
    >>> templates((0, 0)), templates({"voltage": 0})
    (['h_{t}^(1)', 'h_{t}^(2)'], ['voltage_{t}'])
    """
    if isinstance(state, dict):
        return [templates(part, str(name), layer) for name, part in state.items()]
    if isinstance(state, tuple | list):
        inner = [f"{layer},{n + 1}" if layer else str(n + 1) for n in range(len(state))]
        return [templates(part, key, n) for part, n in zip(state, inner, strict=True)]
    return f"{key}_{{t}}^({layer})" if layer else f"{key}_{{t}}"


def name(state: Any, names: Iterable[tuple[str, str]], t: int) -> None:
    """Name the parts of a state that have no name yet."""
    for part, (before, after) in zip(leaves(state), names, strict=False):
        if isinstance(part, Tensor):
            node = part.node
            if node.name is None:
                node.name = f"{before}{t}{after}"
