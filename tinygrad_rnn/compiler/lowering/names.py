"""Unique names for the buffers of a program."""

from __future__ import annotations

import builtins
import keyword

import numpy as np

from tinygrad_rnn.compiler.operations import HELPERS

RESERVED = {
    *("T", "t", "np", "empty", "program", "forward", "backward", "continued"),
    *("rows", "numbers", "forward_steps", "backward_steps"),
    *("windows", "lanes", "links", "alive", "lane", "start", "seeded", "cut"),
    *(helper.__name__ for helper in HELPERS),
    *(name for name, value in vars(np).items() if isinstance(value, np.ufunc)),
    *keyword.kwlist,
    *dir(builtins),
}
"""Names that printed programs use for something else."""


class Names:
    """Names for buffers, each given once."""

    def __init__(self) -> None:
        self.taken = set(RESERVED)

    def fresh(self, hint: str) -> str:
        hint = "".join(c if c.isalnum() or c == "_" else "_" for c in hint) or "a"
        hint = f"_{hint}" if hint[0].isdigit() else hint
        name, number = hint, 2
        while name in self.taken:
            name, number = f"{hint}{number}", number + 1
        self.taken.add(name)
        return name
