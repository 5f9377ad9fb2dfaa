"""The parts of a state in one order, whatever it is that a cell gives back."""

from __future__ import annotations

from typing import Any


def ordered(state: Any) -> list[Any]:
    """The parts of a state, those of a dict by their keys."""
    if isinstance(state, dict):
        return [part for key in sorted(state) for part in ordered(state[key])]
    if isinstance(state, tuple | list):
        return [part for branch in state for part in ordered(branch)]
    return [state]
