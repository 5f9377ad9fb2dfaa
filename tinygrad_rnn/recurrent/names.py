"""The names of inputs and states in pictures. Steps are counted from 1 there."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from tinygrad_rnn.engine.tensor import Tensor
from tinygrad_rnn.engine.trees import flatten


def names_of(cell: Any, state: Any) -> list[tuple[str, ...]]:
    """For each part of a state, the texts before and after the step number in its name."""
    named = declared(cell, state)
    if named is None or len(flatten(named)) != len(flatten(state)):
        return by_place(state)
    return split(named)


def declared(cell: Any, state: Any) -> Any:
    """The cell's own names for the parts of its state, such as ("h_{t}", "c_{t}"), or None.

    They are its `state_names`, which may be a function of the state."""
    named = getattr(cell, "state_names", None)
    return named(state) if callable(named) else named


def following(state: Any, names: list[tuple[str, ...]]) -> list[tuple[str, ...]]:
    """The names of the states after an initial state: s_1 follows a state that is named s_0."""
    found = list(names)
    for n, part in enumerate(flatten(state)):
        own = part.name if isinstance(part, Tensor) and n < len(found) else None
        if match := re.fullmatch(r"([^\W_]\w*_)0(\^.+)?", own or ""):
            found[n] = (match[1], match[2] or "")
    return found


def by_place(nested: Any, key: str = "h") -> list[tuple[str, ...]]:
    """The texts before and after the step number, for parts named after their places."""
    return split(templates(nested, key))


def split(templates: Any) -> list[tuple[str, ...]]:
    return [tuple(template.split("{t}")) for template in flatten(templates)]


def templates(state: Any, key: str = "h", place: tuple[str, ...] = ()) -> Any:
    """A name for each part of a state, after its place.

    A part of a dict has its key, a part of a list a number, as a layer has, and a part of a tuple
    a letter. A part that is None has no name.

    >>> from tinygrad_rnn.recurrent.names import templates
    >>> templates([0, 0]), templates((0, 0)), templates({"voltage": 0})
    (['h_{t}^(1)', 'h_{t}^(2)'], ['h_{t}^a', 'h_{t}^b'], ['voltage_{t}'])
    """
    if state is None:
        return []
    if isinstance(state, dict):
        return [templates(part, str(name), place) for name, part in state.items()]
    if isinstance(state, tuple | list):
        call = letter if isinstance(state, tuple) else str
        inner = ((*place, call(n)) for n in range(1, len(state) + 1))
        return [templates(part, key, at) for part, at in zip(state, inner, strict=True)]
    if not place:
        return f"{key}_{{t}}"
    layered = any(map(str.isdigit, place))
    return f"{key}_{{t}}^({','.join(place)})" if layered else f"{key}_{{t}}^{''.join(place)}"


def letter(number: int) -> str:
    """a for 1, b for 2, ..., z for 26, then aa."""
    return chr(ord("a") + (number - 1) % 26) * (1 + (number - 1) // 26)


def name(state: Any, names: Iterable[tuple[str, ...]], t: int) -> None:
    """Name the parts of a state that have no name yet."""
    for part, (before, after) in zip(flatten(state), names, strict=False):
        if isinstance(part, Tensor):
            node = part.node
            if node.name is None:
                node.name = f"{before}{t}{after}"


def without_step(name: tuple[str, ...]) -> str:
    """A name without its step number: h^(1) for h_1^(1), h_2^(1), ..."""
    before, *after = name
    return before.removesuffix("_") + "".join(after)


def identifier(name: str) -> str:
    """The Python identifier for a value of this name in a program: h_1 for h^(1)."""
    return re.sub(r"\W+", "_", name).strip("_")
