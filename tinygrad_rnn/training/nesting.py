"""Nested values as JSON, with the arrays stored apart by name."""

from __future__ import annotations

from typing import Any

import numpy as np

from tinygrad_rnn.engine.tensor import Tensor


def encoded(value: Any, path: str, arrays: dict[str, Any]) -> Any:
    """The value in a form that JSON can hold. Arrays go into `arrays`, under their path.

    The value is a nesting of lists, tuples and dicts of None, numbers, texts, arrays and Tensors.
    Raises TypeError, with the path, for anything else.

    >>> from tinygrad_rnn.training.nesting import decoded, encoded
    >>> arrays = {}
    >>> text = encoded({"h": (np.ones(2), None), "n": 2**100}, "state", arrays)
    >>> list(arrays), decoded(text, arrays)
    (['state/h/0'], {'h': (array([1., 1.]), None), 'n': 1267650600228229401496703205376})
    """
    if value is None or type(value) in (bool, int, float, str):
        return value
    if isinstance(value, Tensor):
        value = value.data
    if isinstance(value, list):
        return [encoded(item, f"{path}/{n}", arrays) for n, item in enumerate(value)]
    if type(value) is tuple:
        return {"tuple": encoded(list(value), path, arrays)}
    if isinstance(value, dict):
        items = [
            [encoded(key, path, arrays), encoded(item, f"{path}/{key}", arrays)]
            for key, item in value.items()
        ]
        return {"dict": items}
    if isinstance(value, np.generic) or hasattr(value, "__array_function__"):
        while path in arrays:
            path += "'"
        arrays[path] = value
        return {"number" if isinstance(value, np.generic) else "array": path}
    raise TypeError(
        f"{path} has the type {type(value).__name__}, which cannot be saved: use numbers, texts, "
        f"arrays, None, and lists, tuples and dicts of them"
    )


def decoded(value: Any, arrays: dict[str, Any]) -> Any:
    """The value that `encoded` was given."""
    if isinstance(value, list):
        return [decoded(item, arrays) for item in value]
    if not isinstance(value, dict):
        return value
    ((kind, content),) = value.items()
    if kind == "tuple":
        return tuple(decoded(content, arrays))
    if kind == "dict":
        return {decoded(key, arrays): decoded(item, arrays) for key, item in content}
    return arrays[content][()] if kind == "number" else arrays[content]
