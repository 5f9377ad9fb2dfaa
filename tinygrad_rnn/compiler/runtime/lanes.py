"""Lanes of adjoints: under windows each loss has its own reach, and so its own adjoints.

The adjoints of different losses at the same step must not be summed before the shorter reach has
ended. Losses with the same reach share a lane. A lane is free again when its reach has ended. So a
window of k links needs k + 1 lanes.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from tinygrad_rnn.recurrent.truncation import Windows
from tinygrad_rnn.recurrent.unroll import groups


class Lane(NamedTuple):
    """One lane at one step: whether it starts here, whether it includes the loss at this step, and
    which sequences (batch,) go on to the step before (None: all)."""

    number: int
    start: bool
    seeded: bool
    cut: Any


def schedule(truncation: Windows, T: int) -> tuple[list[list[Lane]], int]:
    """The live lanes of every step, the last step first, and the number of lanes.

    >>> import tinygrad_rnn as tg
    >>> from tinygrad_rnn.compiler.runtime.lanes import schedule
    >>> steps, lanes = schedule(tg.Window(1), 3)
    >>> lanes, [[lane.number for lane in alive] for alive in steps]
    (2, [[0], [0, 1], [1]])
    """
    starting: dict[int, list[tuple[int, Any]]] = {}
    for first, last in groups(truncation, T):
        starting.setdefault(last - 1, []).append((first, truncation.earliest(first)))
    free: list[int] = []
    count = 0
    alive: list[tuple[int, int, Any, int]] = []  # lane, first loss, reach, where it started
    steps = []
    for s in reversed(range(T)):
        for first, reach in starting.get(s, ()):
            lane = free.pop() if free else count
            count = max(count, lane + 1)
            alive.append((lane, first, reach, s))
        here, staying = [], []
        for lane, first, reach, started in alive:
            some_end = s > 0 and np.ndim(reach) > 0 and np.any(reach == s)
            cut = np.where(reach == s, 0.0, 1.0) if some_end else None
            here.append(Lane(lane, s == started, s >= first, cut))
            if np.min(reach) < s:
                staying.append((lane, first, reach, started))
            else:
                free.append(lane)
        alive = staying
        steps.append(here)
    return steps, count
