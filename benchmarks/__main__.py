"""Training steps side by side: `python -m benchmarks`, or `make benchmark`."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from tqdm import tqdm

from benchmarks import report
from benchmarks.peers import PEERS
from benchmarks.workers import Round, Worker, installed, takes
from benchmarks.workloads import GRADIENTS, WORKLOADS

AGREEMENT = 1e-4
"""Allowed difference of losses and gradients (float32, up to 1000 steps), relative to the largest
entry of each."""

AT_REST = 0.3
"""Seconds between two rounds of several threads, and the least length of such a round. The threads
of a BLAS library spin for a while when their work is done, and would take a core from the next
peer. After a rest, threads and caches need some steps until they are at their speed."""


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description="One training step of a recurrent network in every framework that is "
        "installed: each in its own process, agreement checked first, rounds interleaved, "
        "medians, ratios to the program written by hand.",
    )
    parser.add_argument("--workloads", nargs="+", choices=WORKLOADS, default=WORKLOADS)
    parser.add_argument("--peers", nargs="+", choices=PEERS, default=list(PEERS))
    parser.add_argument("--rounds", type=int, default=15, help="per peer and workload")
    parser.add_argument("--seconds", type=float, default=0.1, help="length of a round, at least")
    parser.add_argument("--threads", type=int, default=1, help="CPU time for 1, else wall time")
    parser.add_argument("--write", type=Path, metavar="DIR", help="also write the report there")
    parser.add_argument("--quick", action="store_true", help="one short round of the smallest")
    options = parser.parse_args(arguments)
    if options.quick:
        options.workloads, options.rounds, options.seconds = ["tiny"], 1, 0.0
    peers = installed(["by hand", *(p for p in options.peers if p != "by hand")])
    rounds = measure(peers, options)
    seconds = {
        (peer, workload): float(
            np.median([r.cpu if options.threads == 1 else r.wall for r in results])
        )
        for (peer, workload), results in rounds.items()
    }
    text = report.table(seconds, peers, options.threads, core(options.threads))
    print(text)
    if options.write:
        for path in report.write(options.write, text, seconds, options.threads):
            print(f"wrote {path}")
    return 0


def core(threads: int) -> str:
    """The core that OpenBLAS detects in a process like those that are measured."""
    worker = Worker("by hand", threads)
    try:
        return worker.core()
    finally:
        worker.close()


def measure(
    peers: Iterable[str], options: argparse.Namespace
) -> dict[tuple[str, str], list[Round]]:
    """The rounds of every peer on every workload, interleaved, after all have agreed.

    Every peer first runs for as long as all its rounds. A compiler that looks at a model again at
    calls 2, 4, 8, … does so at most once in the rounds.

    Every workload has processes of its own: what a larger one leaves behind in the memory of a
    process makes a smaller one slower, and is no part of it.
    """
    measured: dict[tuple[str, str], list[Round]] = {}
    takers = {
        workload: [peer for peer in peers if takes(peer, workload)]
        for workload in options.workloads
    }
    seconds = options.seconds if options.threads == 1 else max(options.seconds, AT_REST)
    total = options.rounds * sum(map(len, takers.values()))
    with tqdm(total=total, unit="round") as progress:
        for workload, taking in takers.items():
            progress.set_description(f"{workload}: agreement")
            workers = [Worker(peer, options.threads) for peer in taking]
            try:
                agree(workers, workload)
                progress.set_description(f"{workload}: warm-up")
                for worker in workers:
                    worker.round(options.rounds * seconds)
                progress.set_description(workload)
                for _ in range(options.rounds):
                    for worker in workers:
                        result = worker.round(seconds)
                        measured.setdefault((worker.peer, workload), []).append(result)
                        if options.threads > 1:
                            time.sleep(AT_REST)
                        progress.update()
            finally:
                for worker in workers:
                    worker.close()
    return measured


def agree(workers: list[Worker], workload: str) -> None:
    """Raise unless all compute the same loss and the same gradients."""
    loss, gradients = workers[0].prepare(workload)
    for worker in workers[1:]:
        other_loss, other_gradients = worker.prepare(workload)
        if not other_gradients:  # it only takes as long as the products would
            continue
        pairs = zip(
            ("loss", *GRADIENTS), (loss, *gradients), (other_loss, *other_gradients), strict=True
        )
        for name, mine, theirs in pairs:
            difference = np.max(np.abs(np.subtract(mine, theirs))) / np.max(np.abs(mine))
            if not difference <= AGREEMENT:
                raise SystemExit(
                    f"{worker.peer} disagrees with {workers[0].peer} on {name} of {workload}: "
                    f"relative difference {difference:.1e}, allowed {AGREEMENT:.0e}"
                )


if __name__ == "__main__":
    sys.exit(main())
