"""Pickles in which some things stand by reference only."""

from __future__ import annotations

import io
import pickle
from collections.abc import Callable
from typing import Any


def pickled(
    thing: Any, reference: Callable[[Any], Any], what: str, by_value: bool = False
) -> bytes:
    """A thing as bytes, in which what has a reference stands by it; None says that it has none.

    Functions and classes stand by their names. Where that cannot be, or is not wanted (by_value:
    those of a script), the cloudpickle package takes them whole, if it is installed.
    Raises TypeError for what cannot be pickled; what: how the message calls it.
    """
    if not by_value:
        try:
            return _dumped(pickle.Pickler, thing, reference)
        except (pickle.PicklingError, AttributeError):
            pass
    try:
        from cloudpickle import Pickler
    except ImportError:
        Pickler = pickle.Pickler
    try:
        return _dumped(Pickler, thing, reference)
    except (pickle.PicklingError, AttributeError) as problem:
        raise TypeError(
            f"{what} goes to other processes, and cannot be pickled ({problem}): let its classes "
            f"and functions be those of a module, or install cloudpickle"
        ) from problem


def _dumped(kind: Any, thing: Any, reference: Callable[[Any], Any]) -> bytes:
    file = io.BytesIO()
    pickler = kind(file)
    pickler.persistent_id = reference
    pickler.dump(thing)
    return file.getvalue()


def unpickled(data: bytes, referred: Callable[[Any], Any]) -> Any:
    """The thing again; referred: from a reference to what it stands for."""
    unpickler = pickle.Unpickler(io.BytesIO(data))
    unpickler.persistent_load = referred  # type: ignore[method-assign]
    return unpickler.load()
