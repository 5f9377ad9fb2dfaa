"""The call that makes an object, as text: what `repr` shows."""

from __future__ import annotations

import inspect
from typing import Any

import numpy as np


def as_typed(thing: Any, *given: str, **values: Any) -> str:
    """The call that makes such an object: `Name(3, 4, bias=False)`.

    given: texts for the arguments that come first. values: those of options that are not
    attributes of the object. Options are shown where they are not the default.
    """
    shown = list(given)
    options = list(inspect.signature(type(thing)).parameters.values())[len(given) :]
    for option in options:
        value = values.get(option.name, getattr(thing, option.name, option.default))
        if option.default is option.empty or value != option.default:
            value = value.name if isinstance(value, np.dtype) else value
            shown.append(f"{option.name}={getattr(value, '__name__', None) or repr(value)}")
    return f"{type(thing).__name__}({', '.join(shown)})"
