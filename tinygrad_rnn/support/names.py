"""Public names that are loaded when they are used for the first time (PEP 562)."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Mapping
from typing import Any


def on_demand(
    package: str, homes: Mapping[str, str]
) -> tuple[list[str], Callable[[str], Any], Callable[[], list[str]]]:
    """`__all__`, `__getattr__` and `__dir__` for a package.

    homes: its public names, separated by blanks, by the module (within the package) that has them.
        A module that is public itself stands by its own name.
    """
    home = {name: module for module, names in homes.items() for name in names.split()}
    public = sorted(home)

    def load(name: str) -> Any:
        if name not in home:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        module = importlib.import_module(f"{package}.{home[name]}")
        value = getattr(module, name, module)
        setattr(sys.modules[package], name, value)
        return value

    return public, load, lambda: public
