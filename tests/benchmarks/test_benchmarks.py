"""The yardstick computes what the engine computes, and the report runs from end to end."""

from __future__ import annotations

import os
import tracemalloc
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks import handwritten, parts, peak, peers, processes, workers, workloads
from benchmarks.__main__ import agree, main
from tinygrad_rnn.compiler.runtime.cache import PROGRAMS

native = pytest.mark.skipif(find_spec("llvmlite") is None, reason="needs llvmlite")


def small(B: int, blocks: int = 1) -> workloads.Problem:
    rng = np.random.default_rng(B)
    T, D, H, Q = 7, 3, 5, 4
    shapes = (D, blocks * H), (H, blocks * H), (blocks * H,), (H, Q), (Q,)
    return workloads.Problem(
        rng.standard_normal((T, B, D)),
        rng.integers(0, Q, (T, B)),
        *(rng.standard_normal(shape) for shape in shapes),
    )


@pytest.mark.parametrize(
    ("program", "B", "blocks"),
    [
        (handwritten.batch, 6, 1),
        (handwritten.calls_alone, 6, 1),
        (handwritten.calls_alone, 1, 1),
        (peers.bptt, 1, 1),
        (peers.bptt, 6, 1),
        (peers.bptt, 6, 2),
        (peers.bptt, 6, 4),
        pytest.param(peers.bptt_native, 1, 1, marks=native),
        pytest.param(peers.bptt_native, 6, 4, marks=native),
        pytest.param(peers.scan_native, 6, 3, marks=native),
        (peers.recorded_hoisted, 6, 1),
        (peers.recorded_hoisted, 1, 3),
        (peers.recorded_hoisted, 6, 4),
        (handwritten.batch, 1, 1),
        (handwritten.one_sequence, 1, 1),
        (handwritten.minimal, 6, 2),
    ],
)
def test_handwritten_program_is_exact(program: Callable[..., Any], B: int, blocks: int) -> None:
    step = program(small(B, blocks))
    expected_loss, expected = peers.recorded(small(B, blocks))()
    for _ in range(2):  # the buffers are used again by the second step
        loss, gradients = step()
        assert loss == pytest.approx(expected_loss, abs=1e-12)
        for name, mine, theirs in zip(workloads.GRADIENTS, gradients, expected, strict=True):
            np.testing.assert_allclose(mine, theirs, rtol=1e-12, atol=1e-12, err_msg=name)


def test_quick_run_prints_the_table(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--quick", "--peers", "recorded"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert any(line.startswith("| by hand (ms)") for line in lines)
    assert any(line.startswith("| recorded") and line.count("×") == 1 for line in lines)
    assert any("numpy" in line and "Python" in line for line in lines)
    assert any("OpenBLAS has detected the core " in line for line in lines)


def test_no_peer_s_openblas_is_pinned(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENBLAS_CORETYPE", "Haswell")
    monkeypatch.setenv("OPENBLAS_L2_SIZE", "1")
    started: list[dict[str, str]] = []

    class Process:
        def __init__(self, **_: Any) -> None: ...

        def start(self) -> None:
            started.append(dict(os.environ))

    monkeypatch.setattr(workers.multiprocessing.get_context("spawn"), "Process", Process)
    workers.Worker("by hand", 1)
    assert not set(workers.PINS) & started[0].keys() and started[0]["OMP_NUM_THREADS"] == "1"
    assert os.environ["OPENBLAS_CORETYPE"] == "Haswell"  # ours stays as it was


def test_disagreement_ends_the_run() -> None:
    class Stub:
        def __init__(self, peer: str, shift: float) -> None:
            self.peer, self.shift = peer, shift

        def prepare(self, workload: str) -> tuple[float, list[Any]]:
            return 1.0, [np.ones(2)] * 4 + [np.ones(2) + self.shift]

    agree([Stub("a", 0), Stub("b", 1e-6)], "tiny")  # type: ignore[list-item]
    with pytest.raises(SystemExit, match=r"b disagrees with a on b_q of tiny"):
        agree([Stub("a", 0), Stub("b", 1e-2)], "tiny")  # type: ignore[list-item]


@pytest.mark.parametrize("peer", [peers.scan, peers.bptt])
def test_little_more_memory_than_the_program_written_by_hand(peer: Callable[..., Any]) -> None:
    """The peak of a training step over a thousand steps. What is more: the logits, which the graph
    keeps, where the program by hand writes their gradient over them."""
    problem = workloads.problem("longbatch")

    def peaks(prepare: Callable[..., Any]) -> list[int]:
        prepare(problem)()  # what is imported stays
        PROGRAMS.clear()  # but not the buffers: those of the program by hand are counted as well
        found = []
        tracemalloc.start()
        step = prepare(problem)
        for _ in range(2):
            tracemalloc.reset_peak()
            step()
            found.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        return found

    logits = problem.labels.size * problem.W_hq.shape[1] * problem.xs.itemsize
    for mine, by_hand in zip(peaks(peer), peaks(peers.by_hand), strict=True):
        assert mine <= 1.01 * (by_hand + logits)


def test_the_parts_of_a_step_make_up_the_step():
    taken = parts.parts_of_scan("tiny", 3)
    assert len(taken) == 5
    assert all(seconds > 0 for seconds in taken.values())
    for backend in ("numpy", *(["native"] if find_spec("llvmlite") else [])):
        taken = parts.parts_of_bptt("tiny", 3, backend)
        assert len(taken) == 3 and all(seconds > 0 for seconds in taken.values())
    assert parts.products_of_lstm("lstm char") > 0


@native
def test_python_is_what_is_around_the_machine_code() -> None:
    taken = parts.python_around("tiny", 1, 1)
    assert [*taken] == ["its machine code alone", "all Python around it"]
    assert taken["its machine code alone"] > 0


def test_processes_and_threads_learn_the_same(tmp_path: Path) -> None:
    """The losses are compared before anything is timed."""
    options = "--workloads d2l --backends numpy --given numbers --rounds 1 --seconds 0"
    assert processes.main([*options.split(), "--write", str(tmp_path)]) == 0
    table = (tmp_path / "benchmark-processes.md").read_text()
    assert "| d2l | numpy | numbers |" in table


@native
def test_the_products_at_peak_take_time_alone() -> None:
    """Forward, back through two weights, and the gradients of three."""
    T, B, D, H, Q = 7, 6, 3, 5, 4
    forward, back = D * 4 * H + H * 4 * H + H * Q, 4 * H * H + H * Q
    assert peak.multiplications(small(B, 4)) == T * B * (2 * forward + back)
    assert peers.PEERS["products at peak"].prepare(small(6))() == (0.0, [])
