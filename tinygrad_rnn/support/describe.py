"""The `repr` of an object, as the call that makes it."""

from __future__ import annotations

import inspect
from typing import Any

import numpy as np


def as_typed(thing: Any, *given: str, **values: Any) -> str:
    """The call that makes such an object: `Name(3, 4, bias=False)`.

    given: texts for the first arguments. values: the values of options that are not attributes of
    the object. An option is shown if it differs from the default.
    """
    shown = list(given)
    options = list(inspect.signature(type(thing)).parameters.values())[len(given) :]
    for option in options:
        value = values.get(option.name, getattr(thing, option.name, option.default))
        if option.default is option.empty or value != option.default:
            value = value.name if isinstance(value, np.dtype) else value
            shown.append(f"{option.name}={getattr(value, '__name__', None) or repr(value)}")
    return f"{type(thing).__name__}({', '.join(shown)})"
