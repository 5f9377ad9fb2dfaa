"""Pickles in which some things stand by reference only."""

from __future__ import annotations

import io
import pickle
from collections.abc import Callable
from typing import Any


def pickled(thing: Any, reference: Callable[[Any], Any], what: str) -> bytes:
    """A thing as bytes, in which what has a reference stands by it; None says that it has none.

    By the cloudpickle package, where it is installed: it takes functions wherever they are defined.
    Raises TypeError for what cannot be pickled; what: how the message calls it.
    """
    try:
        from cloudpickle import Pickler
    except ImportError:
        Pickler = pickle.Pickler
    file = io.BytesIO()
    pickler = Pickler(file)
    pickler.persistent_id = reference
    try:
        pickler.dump(thing)
    except (pickle.PicklingError, AttributeError) as problem:
        raise TypeError(
            f"{what} goes to other processes, and cannot be pickled ({problem}): let its classes "
            f"and functions be those of a module, or install cloudpickle"
        ) from problem
    return file.getvalue()


def unpickled(data: bytes, referred: Callable[[Any], Any]) -> Any:
    """The thing again; referred: from a reference to what it stands for."""
    unpickler = pickle.Unpickler(io.BytesIO(data))
    unpickler.persistent_load = referred  # type: ignore[method-assign]
    return unpickler.load()
