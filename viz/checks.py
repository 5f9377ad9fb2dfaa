"""Checks of arguments. Every mistake is answered with one sentence."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

import tinygrad_rnn as tg
from tinygrad_rnn.engine.graph import Array
from tinygrad_rnn.recurrent.truncation import Truncation

DETAILS = ("named", "ops")
DIRECTIONS = ("up", "right", "down")


def suffix(path: str | Path, *known: str) -> str:
    """The suffix of a file's name without its dot. Raises ValueError for one that is not known."""
    if not isinstance(path, str | Path):
        raise TypeError(f"path must be a str or a Path, not {path!r}")
    found = Path(path).suffix.lower().removeprefix(".")
    if found not in known:
        raise ValueError(
            f"the name {Path(path).name!r} must end in {_listed([f'.{name}' for name in known])}, "
            f"which sets the format"
        )
    return found


def one_of(name: str, given: Any, known: Sequence[str]) -> None:
    if given not in known:
        raise ValueError(f"{name} must be {_listed(list(map(repr, known)))}, not {given!r}")


def _listed(known: Sequence[str]) -> str:
    return f"one of {', '.join(known)}" if len(known) > 2 else " or ".join(known)


def text(name: str, given: Any) -> None:
    if not isinstance(given, str):
        raise TypeError(f"{name} must be a str, not {given!r}")


def names(name: str, given: Any) -> list[str]:
    """The names as a list. A single name may stand for itself."""
    found = [given] if isinstance(given, str) or not isinstance(given, Iterable) else list(given)
    if not all(isinstance(one, str) for one in found):
        raise TypeError(f"{name} must be a name or a list of names such as 'b_*', not {given!r}")
    return found


def tensors(function: str, outputs: Sequence[Any]) -> None:
    if not outputs:
        raise TypeError(f"{function} needs a loss, or another Tensor: viz.{function}(loss)")
    for output in outputs:
        if not isinstance(output, tg.Tensor):
            several = function == "draw" and isinstance(output, list | tuple)
            raise TypeError(
                f"{function} takes Tensors, usually the loss, not {type(output).__name__}"
                + f": viz.{function}(*losses)" * several
            )


def fold(given: Any) -> None:
    if not (given is None or callable(given) or type(given) is int):
        raise TypeError(
            f"fold must be a number of rows, a function of a step's number, or None, not {given!r}"
        )
    if type(given) is int and given < 3:
        raise ValueError(f"fold must be at least 3 (a first row, dots, a last row), not {given}")


def truncations(name: str, given: Any) -> list[Truncation]:
    if not isinstance(given, Iterable):
        raise TypeError(f"{name} must be a list such as [tg.Full(), tg.Window(2)], not {given!r}")
    found = list(given)
    for one in found:
        if not isinstance(one, Truncation):
            raise TypeError(
                f"{name} must be a list of truncations such as tg.Window(2), but it contains "
                f"{one!r}"
            )
    return found


def weights_of(strategy: Truncation, steps: int, do: str = "compare") -> Array:
    """The matrix M of one sequence. Raises ValueError where the sequences of a batch differ."""
    weights = np.asarray(strategy.weights(steps))
    if weights.ndim != 2:
        raise ValueError(
            f"{strategy!r} has weights of shape {weights.shape}, which differ between the "
            f"sequences of a batch: {do} strategies of one sequence"
        )
    return weights
