"""What a call through NumPy's protocols costs more than the operator or the fast path itself.

python -m benchmarks.dispatch
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np

import tinygrad_rnn as tg
from tinygrad_rnn.engine.table import RULES

ROUNDS, CALLS = 21, 20_000


def microseconds(calls: dict[str, Callable[[], Any]]) -> dict[str, float]:
    """The median time of each call, the rounds of all interleaved."""
    taken: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(ROUNDS):
        for name, call in calls.items():
            start = time.process_time()
            for _ in range(CALLS):
                call()
            taken[name].append((time.process_time() - start) / CALLS * 1e6)
    return {name: statistics.median(times) for name, times in taken.items()}


def main() -> None:
    w = tg.Tensor(np.ones(3), requires_grad=True)
    tanh = RULES[np.tanh].fast_path
    times = microseconds(
        {
            "np.tanh(tensor)": lambda: np.tanh(w),
            "the fast path of tanh": lambda: tanh(w),
            "np.add(tensor, tensor)": lambda: np.add(w, w),
            "tensor + tensor": lambda: w + w,
        }
    )
    for name, time_ in times.items():
        print(f"{name:24} {time_:6.2f} µs")
    for through, short in (
        ("np.tanh(tensor)", "the fast path of tanh"),
        ("np.add(tensor, tensor)", "tensor + tensor"),
    ):
        print(f"{through} costs {times[through] - times[short]:.2f} µs more than {short}")


if __name__ == "__main__":
    main()
