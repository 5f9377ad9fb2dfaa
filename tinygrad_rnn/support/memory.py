"""Keep freed memory in the process: mapping it anew costs more time than computing."""

from __future__ import annotations

import contextlib
import functools
import os

import numpy as np

LARGEST = 2**25
"""The largest block (bytes) whose freeing raises glibc's threshold."""


@functools.cache
def keep_freed_memory() -> None:
    """Let the C library keep freed arrays for reuse instead of returning them to the system.

    `unroll`, `scan` and `BPTT` call this for the first sequence in a process. With the environment
    variable TINYGRAD_RNN_KEEP_FREED_MEMORY=0 it does nothing. Large arrays are then slower, and
    freed memory goes back to the system immediately.

    glibc maps every block of 128 KiB and more anew, and unmaps it when it is freed. This ends when
    a larger block is freed: from then on glibc takes blocks up to that size, 32 MiB at most, from
    its own heap. A state of 1024 sequences and 32 units is already 128 KiB, and mapping is slower
    than computing (glibc manual, "Malloc Tunable Parameters", M_MMAP_THRESHOLD). So this function
    allocates and frees one such block. It is never touched and takes no memory. With other C
    libraries this has no effect.

    A second block then comes from the heap. For blocks of 4 MiB and more NumPy asks the system for
    pages of 2 MiB instead of 4 KiB (NumPy's `NUMPY_MADVISE_HUGEPAGE`), and the heap keeps these
    pages for smaller arrays. Fewer pages mean fewer address translations: computations on a few
    MiB are some percent faster.
    """
    if os.environ.get("TINYGRAD_RNN_KEEP_FREED_MEMORY", "1") != "0":
        with contextlib.suppress(MemoryError):  # the memory limit of the process is too low
            for _ in range(2):
                np.empty(LARGEST - 2**16, np.uint8)
