"""Pickles in which some objects are replaced by references."""

from __future__ import annotations

import io
import pickle
from collections.abc import Callable
from typing import Any


def pickled(
    thing: Any, reference: Callable[[Any], Any], what: str, by_value: bool = False
) -> bytes:
    """Pickle an object, with some of its parts replaced by references.

    reference: from a part to its reference, or to None if the part is pickled itself.
    what: the name of the object in messages.
    by_value: pickle functions and classes by value, as those of a script need it.
    Functions and classes are pickled by name. Where that fails, or with by_value, cloudpickle
    pickles them by value, if it is installed.
    Raises TypeError for an object that cannot be pickled.
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
            f"{what} cannot be pickled for other processes ({problem}): define its classes and "
            f"functions in a module, or install cloudpickle"
        ) from problem


def _dumped(kind: Any, thing: Any, reference: Callable[[Any], Any]) -> bytes:
    file = io.BytesIO()
    pickler = kind(file)
    pickler.persistent_id = reference
    pickler.dump(thing)
    return file.getvalue()


def unpickled(data: bytes, referred: Callable[[Any], Any]) -> Any:
    """The object that `pickled` was given. referred: from a reference to its object."""
    unpickler = pickle.Unpickler(io.BytesIO(data))
    unpickler.persistent_load = referred  # type: ignore[method-assign]
    return unpickler.load()
