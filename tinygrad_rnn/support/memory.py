"""Keeping freed memory in the process: mapping it anew costs more time than computing."""

from __future__ import annotations

import contextlib
import functools
import os

import numpy as np

LARGEST = 2**25
"""The largest block (bytes) from whose freeing glibc draws the conclusion below."""


@functools.cache
def keep_freed_memory() -> None:
    """Let the C library keep freed arrays at hand instead of returning them to the system.

    `unroll`, `scan` and `BPTT` call it when a sequence is run for the first time in a process.
    With the environment variable TINYGRAD_RNN_KEEP_FREED_MEMORY=0 it does nothing: then large
    arrays are slower, and what is freed goes back to the system at once.

    glibc maps every block of 128 KiB and more anew, and unmaps it when it is freed, until it sees
    a larger one freed: then it takes blocks up to that size, 32 MiB at most, from its own store.
    A state of 1024 sequences and 32 units is just 128 KiB, and mapping is slower than computing
    (glibc manual, "Malloc Tunable Parameters", M_MMAP_THRESHOLD). So one such block is asked for
    and freed here; it is never touched, and takes no memory. Elsewhere this does nothing.

    A second one then comes from that store. For blocks of 4 MiB and more NumPy asks the system for
    pages of 2 MiB instead of 4 KiB (NumPy's `NUMPY_MADVISE_HUGEPAGE`), and the store keeps them
    for the smaller arrays that come to lie there: with fewer addresses to look up, everything
    that goes through a few MiB is some percent faster.
    """
    if os.environ.get("TINYGRAD_RNN_KEEP_FREED_MEMORY", "1") != "0":
        with contextlib.suppress(MemoryError):  # where the process may not have so much
            for _ in range(2):
                np.empty(LARGEST - 2**16, np.uint8)
