"""Learning-rate schedules: functions from the step, counted from 0, to the learning rate.

An optimizer takes any function of the step as its learning rate. The usual ones are here, as
values that can be compared, pickled and printed. A schedule has no state to save: the optimizer
saves the number of steps.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Exponential:
    """η_n = start · factorⁿ.

    >>> from tinygrad_rnn.training import schedules
    >>> schedules.Exponential(0.5, factor=0.1)(1)
    0.05
    """

    start: float
    factor: float

    def __call__(self, step: int) -> float:
        return self.start * self.factor**step


@dataclass(frozen=True)
class Stepwise:
    """η_n = start · factor^⌊n / every⌋: piecewise constant.

    >>> from tinygrad_rnn.training import schedules
    >>> [schedules.Stepwise(1.0, every=2, factor=0.5)(n) for n in range(5)]
    [1.0, 1.0, 0.5, 0.5, 0.25]
    """

    start: float
    every: int
    factor: float = 0.1

    def __call__(self, step: int) -> float:
        return self.start * self.factor ** (step // self.every)


@dataclass(frozen=True)
class Cosine:
    """Half a cosine from start to end over `steps` steps, then constant.

    η_n = end + ½ (start − end) (1 + cos(π n / steps)). Loshchilov & Hutter (2017), "SGDR".

    >>> from tinygrad_rnn.training import schedules
    >>> [round(schedules.Cosine(1.0, steps=4)(n), 3) for n in (0, 2, 4, 9)]
    [1.0, 0.5, 0.0, 0.0]
    """

    start: float
    steps: int
    end: float = 0.0

    def __call__(self, step: int) -> float:
        turn = math.cos(math.pi * min(step, self.steps) / self.steps)
        return self.end + 0.5 * (self.start - self.end) * (1 + turn)


@dataclass(frozen=True)
class Warmup:
    """Another schedule, or a constant rate, with a linear warm-up over the first steps.

    η_n = min(1, (n + 1) / steps) · rate(n). Goyal et al. (2017), "Accurate, Large Minibatch SGD".

    >>> from tinygrad_rnn.training import schedules
    >>> [schedules.Warmup(0.1, steps=4)(n) for n in (0, 3, 100)]
    [0.025, 0.1, 0.1]
    """

    rate: float | Callable[[int], float]
    steps: int

    def __call__(self, step: int) -> float:
        rate = self.rate(step) if callable(self.rate) else self.rate
        return min(1.0, (step + 1) / self.steps) * rate
