"""One process per peer, which prepares a problem and runs rounds when asked over a pipe.

The processes live side by side, so that rounds can be interleaved: a disturbance of the machine
falls on all of them alike. The number of threads is set in the environment, before any import.
"""

from __future__ import annotations

import gc
import multiprocessing
import os
import time
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import Any, NamedTuple

import numpy as np

from benchmarks.peers import PEERS
from benchmarks.workloads import cell_of, problem

THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS")

PINS = ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE")
"""With these somebody can have OpenBLAS take other kernels than those for the processor that it
finds. They are removed for all peers: what is measured is what a user has without them."""


class Round(NamedTuple):
    """How long one training step took, on the average of a round, in seconds."""

    cpu: float
    wall: float


class Worker:
    """The parent's end of one peer's process."""

    def __init__(self, peer: str, threads: int) -> None:
        self.peer = peer
        self.pipe, theirs = multiprocessing.Pipe()
        before = {name: os.environ.get(name) for name in (*THREADS, *PINS, "XLA_FLAGS")}
        os.environ.update(dict.fromkeys(THREADS, str(threads)))
        os.environ["XLA_FLAGS"] = (
            f"--xla_cpu_multi_thread_eigen={'false' if threads == 1 else 'true'}"
        )
        for name in PINS:
            os.environ.pop(name, None)
        context = multiprocessing.get_context("spawn")
        self.process = context.Process(target=serve, args=(theirs, peer, threads), daemon=True)
        self.process.start()
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
        theirs.close()

    def prepare(self, workload: str) -> tuple[float, list[Any]]:
        """Set the problem up, run one step, and return its loss and gradients."""
        return self._ask("prepare", workload)  # type: ignore[no-any-return]

    def round(self, seconds: float) -> Round:
        """Run training steps for about so long, at least one."""
        return self._ask("round", seconds)  # type: ignore[no-any-return]

    def core(self) -> str:
        """For which processor's core OpenBLAS has taken its kernels in this process."""
        return self._ask("core", None)  # type: ignore[no-any-return]

    def close(self) -> None:
        self.pipe.close()
        self.process.join()

    def _ask(self, *question: Any) -> Any:
        self.pipe.send(question)
        try:
            answer = self.pipe.recv()
        except EOFError:
            raise RuntimeError(f"the process of {self.peer!r} ended early") from None
        if isinstance(answer, Exception):
            raise RuntimeError(f"{self.peer!r} failed: {answer!r}") from answer
        return answer


def serve(pipe: Any, peer: str, threads: int) -> None:
    """The child's end: answer until the pipe is closed."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:threads])
    if PEERS[peer].package == "torch":
        import torch

        torch.set_num_threads(threads)
    step = None
    while True:
        try:
            question, argument = pipe.recv()
        except EOFError:
            return
        try:
            if question == "prepare":
                step = PEERS[peer].prepare(problem(argument))
                loss, gradients = step()
                # What the imports have made is no part of a step; timeit stops the collector.
                gc.collect()
                gc.freeze()
                pipe.send((float(loss), [np.array(g) for g in gradients]))
            elif question == "core":
                pipe.send(detected_core())
            else:
                assert step is not None
                pipe.send(timed(step, argument))
        except BrokenPipeError:
            return
        except Exception as error:
            pipe.send(error)


def detected_core() -> str:
    """The core that NumPy's OpenBLAS has detected."""
    try:
        from threadpoolctl import threadpool_info
    except ImportError:
        return "unknown, for threadpoolctl is not installed"
    found = [str(info.get("architecture")) for info in threadpool_info() if "blas" in str(info)]
    return ", ".join(dict.fromkeys(found)) or "unknown"


def timed(step: Any, seconds: float) -> Round:
    cpu, wall = time.process_time(), time.perf_counter()
    steps = 0
    while steps == 0 or time.perf_counter() - wall < seconds:
        step()
        steps += 1
    return Round((time.process_time() - cpu) / steps, (time.perf_counter() - wall) / steps)


def takes(peer: str, workload: str) -> bool:
    """Whether a peer is written for the workload's cell."""
    return cell_of(workload) in PEERS[peer].cells


def installed(peers: Sequence[str]) -> dict[str, str]:
    """The peers whose package is there, with its version."""
    found = {}
    for peer in peers:
        try:
            found[peer] = f"{PEERS[peer].package} {version(PEERS[peer].package)}"
        except PackageNotFoundError:
            continue
    return found
