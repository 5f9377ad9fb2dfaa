"""What several processes gain: `python -m benchmarks.processes`.

A training step of `tg.BPTT` (forward, back, clipping, SGD) in one process, and by
`tg.data_parallel` with the batch divided among threads and among processes. NumPy takes one thread
for its products everywhere. Rounds are interleaved; the figures are medians of the wall time.

Each workload is learnt from arrays, which are sent, and from numbers of characters, of which the
workers make the inputs themselves.

The last column is what would be gained if a worker had nothing to do but its part, and the others
nothing at all. It need not be the number of workers: NumPy's products are less efficient on fewer
rows, but the arrays of fewer rows may fit into a smaller cache.
"""

from __future__ import annotations

import os

os.environ["OPENBLAS_NUM_THREADS"] = os.environ["OMP_NUM_THREADS"] = "1"  # before NumPy is imported
os.environ.pop("OPENBLAS_CORETYPE", None)  # the kernels of this processor
os.environ.pop("OPENBLAS_L2_SIZE", None)

import argparse
import itertools
import statistics
import time
from concurrent.futures import Executor, ThreadPoolExecutor
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

import tinygrad_rnn as tg
from benchmarks.report import machine
from benchmarks.workloads import SIZES, problem, size_of
from tinygrad_rnn.training.language_model import LanguageModel

AGREEMENT = 1e-4
"""Allowed relative difference of the losses after the first steps (float32)."""


def with_inputs(numbers: Any, labels: Any, characters: int) -> tuple[Any, Any]:
    """What `BPTT` is called with; a worker that is given the numbers does this itself."""
    return tg.one_hot(numbers, characters, np.float32), labels


GIVEN = "arrays", "numbers"


class Training:
    """A model that learns one batch, again and again.

    given: "arrays" or "numbers". executor: of its workers; None for this process. parts: so many
    shards. share: the part of the batch that is learnt.
    """

    def __init__(
        self,
        workload: str,
        backend: str,
        given: str,
        executor: Executor | None = None,
        parts: int = 1,
        share: float = 1.0,
    ) -> None:
        size, labels = size_of(workload), problem(workload).labels
        rows = round(size.B * share)
        numbers, labels = np.roll(labels, 1, axis=0)[:, :rows].copy(), labels[:, :rows].copy()
        self.make = partial(with_inputs, characters=size.Q)
        self.numbers = given == "numbers"
        self.batch = (numbers, labels) if self.numbers else self.make(numbers, labels)
        self.executor, self.parts = executor, parts
        model = LanguageModel(size.Q, size.H, rng=0)
        self.bptt = tg.BPTT(model.cell, model.loss, backend=backend)
        self.optimizer = tg.SGD(self.bptt, 0.1)

    def step(self) -> float:
        self.optimizer.zero_grad()
        if self.executor is None:
            loss, _ = self.bptt(*(self.make(*self.batch) if self.numbers else self.batch))
        else:
            shards: list[Any] = tg.split_batch(self.parts, *self.batch)
            if self.numbers:
                shards = [partial(self.make, *shard) for shard in shards]
            loss, _ = tg.data_parallel(self.bptt, shards, self.executor)
        tg.clip_grad_norm(self.optimizer, 1.0)
        self.optimizer.step()
        return float(loss)

    def round(self, seconds: float) -> float:
        """The wall time of a step, the mean over at least so many seconds."""
        start, steps = time.perf_counter(), 0
        while steps == 0 or time.perf_counter() - start < seconds:
            self.step()
            steps += 1
        return (time.perf_counter() - start) / steps


def measure(
    row: tuple[str, str, str], workers: int, rounds: int, seconds: float, progress: Any
) -> dict[str, float]:
    """Seconds of a step in one process, by threads, by processes, and of a worker's part."""
    with tg.process_pool(workers) as processes, ThreadPoolExecutor(workers) as threads:
        taking = {
            "one process": Training(*row),
            "threads": Training(*row, threads, workers),
            "processes": Training(*row, processes, workers),
            "a part": Training(*row, share=1 / workers),
        }
        losses = {name: [training.step() for _ in range(3)] for name, training in taking.items()}
        for name in ("threads", "processes"):
            np.testing.assert_allclose(losses[name], losses["one process"], rtol=AGREEMENT)
        found: dict[str, list[float]] = {name: [] for name in taking}
        for _ in range(rounds):
            for name, training in taking.items():
                found[name].append(training.round(seconds))
                progress.update()
    return {name: statistics.median(times) for name, times in found.items()}


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.processes",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    backends = ["numpy", *(["native"] if find_spec("llvmlite") else [])]
    parser.add_argument("--workloads", nargs="+", choices=SIZES, default=["d2l", "longbatch"])
    parser.add_argument("--backends", nargs="+", choices=backends, default=backends)
    parser.add_argument("--given", nargs="+", choices=GIVEN, default=GIVEN)
    parser.add_argument("--workers", type=int, default=2, metavar="N", help="(2)")
    parser.add_argument("--rounds", type=int, default=15, metavar="N", help="(15)")
    parser.add_argument("--seconds", type=float, default=0.5, metavar="X", help="a round's (0.5)")
    parser.add_argument("--write", type=Path, metavar="DIR", help="also write the table there")
    options = parser.parse_args(arguments)
    rows = list(itertools.product(options.workloads, options.backends, options.given))
    lines = [
        f"| workload | back end | given | one process (ms) | {options.workers} threads "
        f"| {options.workers} processes | no more than |",
        "|" + "---|" * 7,
    ]
    busy = os.getloadavg()[0] if hasattr(os, "getloadavg") else float("nan")
    with tqdm(total=4 * options.rounds * len(rows), unit="round") as progress:
        for row in rows:
            progress.set_description(", ".join(row))
            took = measure(row, options.workers, options.rounds, options.seconds, progress)
            one = took.pop("one process")
            gains = " | ".join(f"{one / seconds:.2f}×" for seconds in took.values())
            lines.append(f"| {' | '.join(row)} | {one * 1e3:.3g} | {gains} |")
    text = "\n".join(
        [
            *lines,
            "",
            f"Wall time, medians of {options.rounds} interleaved rounds; {machine()}, NumPy "
            f"{np.__version__}; the load of the machine before was {busy:.1f}.",
        ]
    )
    print(text)
    if options.write:
        (options.write / "benchmark-processes.md").write_text(text + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
