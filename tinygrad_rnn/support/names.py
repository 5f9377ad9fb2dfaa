"""Public names that are loaded at their first use (PEP 562)."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np


def on_demand(
    package: str, homes: Mapping[str, str]
) -> tuple[list[str], Callable[[str], Any], Callable[[], list[str]]]:
    """`__all__`, `__getattr__` and `__dir__` for a package.

    homes: from each module within the package to its public names, separated by blanks. A module
        that is itself public is listed under its own name.
    """
    home = {name: module for module, names in homes.items() for name in names.split()}
    public = sorted(home)

    def load(name: str) -> Any:
        if name not in home:
            raise AttributeError(
                f"module {package!r} has no attribute {name!r}{instead_of(name, public)}"
            )
        module = importlib.import_module(f"{package}.{home[name]}")
        value = getattr(module, name, module)
        setattr(sys.modules[package], name, value)
        return value

    return public, load, lambda: public


def instead_of(name: str, public: list[str]) -> str:
    """A suggestion for an unknown name, as the end of a sentence.

    >>> from tinygrad_rnn.support.names import instead_of
    >>> instead_of("tensor", ["Tensor", "unroll"]), instead_of("tanh", ["Tensor"])
    ('; there is Tensor', "; NumPy's functions take Tensors: np.tanh")
    """
    if name.startswith("_"):
        return ""
    import difflib  # needed only after a mistyped name

    folded = {known.lower(): known for known in public}
    close = difflib.get_close_matches(name.lower(), folded, 3)
    exact = [known for known in close if known == name.lower()]
    if not exact and hasattr(np, name):
        return f"; NumPy's functions take Tensors: np.{name}"
    return f"; there is {', '.join(folded[known] for known in exact or close)}" if close else ""
