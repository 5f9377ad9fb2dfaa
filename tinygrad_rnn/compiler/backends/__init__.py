"""The back ends. Each makes the two functions of a `Program`, `forward` and `backward`."""

from __future__ import annotations

from typing import Any, NamedTuple

from tinygrad_rnn.compiler.ir import Program

NAMES = ("numpy", "native")

DEFAULT = "numpy"
"""The default back end. Its results are NumPy's to the last bit."""


class Backend(NamedTuple):
    """The choice of a back end, and the number of threads among which it divides the batch."""

    name: str = "numpy"
    threads: int = 1


NUMPY = Backend()


class Written(NamedTuple):
    """The result of a back end for a program.

    source: the Python source of a function `program(T, *states, empty=…)`, which makes the buffers
        for T steps and returns `forward` and `backward`. names: the names that the source needs
        besides NumPy. program: the program of this source, with the buffers that it makes.
    """

    source: str
    names: dict[str, Any]
    program: Program


def checked(name: str | None, threads: int = 1) -> Backend:
    """The back end of this name; None is the default.

    Raises ValueError for an unknown back end, or one that does not support this number of threads;
    ImportError, which says what to install, for one that is not installed.

    >>> checked(None)
    Backend(name='numpy', threads=1)
    """
    if name is None:
        name = DEFAULT
    if name == "numpy" and threads == 1:
        return NUMPY
    if name not in NAMES:
        raise ValueError(f"backend must be {' or '.join(map(repr, NAMES))}, not {name!r}")
    if name == "native":
        from tinygrad_rnn.compiler.backends.native.objects import binding

        binding()
    if threads < 1:
        raise ValueError(f"threads must be at least 1, not {threads}")
    if threads > 1 and name != "native":
        raise ValueError(
            f'threads={threads} needs backend="native"; the threads of NumPy itself are set by '
            f"environment variables such as OPENBLAS_NUM_THREADS"
        )
    return Backend(name, threads)


def written(backend: Backend, lowered: Program, allocated: Program) -> Written:
    """The program in the form of a back end.

    lowered, allocated: the program before and after buffers share memory. Machine code keeps most
        values in registers, and works better where every value has a buffer of its own.
    """
    if backend.name == "native":
        from tinygrad_rnn.compiler.backends.native import page

        return Written(*page.written(lowered, backend.threads))
    from tinygrad_rnn.compiler.backends import numpy_source

    return Written(numpy_source.source(allocated), {}, allocated)
