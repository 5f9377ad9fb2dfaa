"""Back ends: each makes the two functions of a `Program`, `forward` and `backward`."""

from __future__ import annotations

from typing import Any, NamedTuple

from tinygrad_rnn.compiler.ir import Program

NAMES = ("numpy", "native")

DEFAULT = "numpy"
"""What is taken where none is named: its results are NumPy's to the last bit."""


class Written(NamedTuple):
    """What a back end makes of a program.

    source: Python source of a function `program(T, *states, empty=…)`, which makes the buffers for
    T steps and returns `forward` and `backward`. names: what the source needs besides NumPy.
    program: what it is the source of; its buffers are those that are made.
    """

    source: str
    names: dict[str, Any]
    program: Program


def checked(name: str | None) -> str:
    """The name of a back end, None being the default. ValueError for one that is unknown;
    ImportError, with what to install, for one that is not there.

    >>> checked(None)
    'numpy'
    """
    if name is None:
        name = DEFAULT
    if name not in NAMES:
        raise ValueError(
            f"the back end {name!r} is unknown: there are {' and '.join(map(repr, NAMES))}"
        )
    if name == "native":
        from tinygrad_rnn.compiler.backends.native.objects import binding

        binding()
    return name


def written(name: str, lowered: Program, allocated: Program) -> Written:
    """A program as a back end has it.

    lowered, allocated: before and after buffers share memory. Machine code keeps most values in
    registers and is better off where every value has a buffer of its own.
    """
    if name == "native":
        from tinygrad_rnn.compiler.backends.native import page

        return Written(*page.written(lowered))
    from tinygrad_rnn.compiler.backends import numpy_source

    return Written(numpy_source.source(allocated), {}, allocated)
