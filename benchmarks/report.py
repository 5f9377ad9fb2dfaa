"""What was measured, as a table in Markdown and as a picture, with the machine and the versions."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping
from pathlib import Path

from benchmarks.workloads import cell_of, size_of
from tinygrad_rnn.analysis import new_figure, styles
from tinygrad_rnn.analysis.pictures import add_legend

Seconds = Mapping[tuple[str, str], float]


REFERENCES = ("by hand", "torch.nn", "scan")
"""Whom the others are compared with: the first of these that took part."""


def table(seconds: Seconds, peers: Mapping[str, str], threads: int, core: str) -> str:
    """One table for each cell: milliseconds of a reference, and everybody's ratio to it.

    core: that OpenBLAS has detected.
    """
    workloads = list(dict.fromkeys(workload for _, workload in seconds))
    clock = "CPU time, one thread" if threads == 1 else f"wall time, {threads} threads"
    return "\n".join(
        [
            "One training step (forward, cross-entropy at every step, all gradients), float32; "
            f"medians of interleaved rounds, {clock}; ratios to the first row.",
            "",
            *(
                line
                for cell in dict.fromkeys(map(cell_of, workloads))
                for line in rows(seconds, [w for w in workloads if cell_of(w) == cell])
            ),
            f"{machine()}; Python {platform.python_version()}; "
            + ", ".join(dict.fromkeys(peers.values()))
            + f"; OpenBLAS has detected the core {core}",
        ]
    )


def rows(seconds: Seconds, workloads: list[str]) -> list[str]:
    """The lines of one table."""
    taking = list(dict.fromkeys(peer for peer, workload in seconds if workload in workloads))
    first = reference(taking)
    cells = [["", *workloads]]
    cells.append(["(T, B, D, H, Q)", *(",".join(map(str, size_of(w))) for w in workloads)])
    cells.append([f"{first} (ms)", *(f"{seconds[first, w] * 1e3:.3g}" for w in workloads)])
    for peer in taking:
        if peer != first:
            ratios = (seconds[peer, w] / seconds[first, w] for w in workloads)
            cells.append([peer, *(f"{ratio:.3g}×" for ratio in ratios)])
    widths = [max(len(row[i]) for row in cells) for i in range(len(cells[0]))]
    lines = [
        "| " + " | ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)) + " |"
        for row in cells
    ]
    lines.insert(1, "|" + "|".join("-" * (w + 2) for w in widths) + "|")
    return [*lines, ""]


def reference(peers: list[str]) -> str:
    return next((peer for peer in REFERENCES if peer in peers), peers[0])


def machine() -> str:
    """The processor's name and the number of cores."""
    name = platform.processor() or platform.machine()
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        name = next(line.split(":")[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        pass
    return f"{name}, {os.cpu_count()} cores, {platform.system()}"


def write(directory: Path, text: str, seconds: Seconds, threads: int) -> list[Path]:
    """Write the table and the picture; return their paths."""
    directory.mkdir(parents=True, exist_ok=True)
    suffix = "1-thread" if threads == 1 else f"{threads}-threads"
    page, picture = directory / f"benchmark-{suffix}.md", directory / f"benchmark-{suffix}.png"
    draw(picture, seconds)
    page.write_text(f"{text}\n\n![ratios]({picture.name})\n", encoding="utf-8")
    return [page, picture]


OURS = "scan", "scan, native", "BPTT", "BPTT, native", "recorded", "recorded, hoisted"


def draw(path: Path, seconds: Seconds) -> None:
    """One band per workload, one mark per peer: its ratio to the reference. In a band the peers
    stand below one another in the legend's order, so that none covers another."""
    from matplotlib import ticker

    workloads = list(dict.fromkeys(workload for _, workload in seconds))
    peers = list(dict.fromkeys(peer for peer, _ in seconds))
    first = {w: reference([p for p in peers if (p, w) in seconds]) for w in workloads}
    figure, axes = new_figure(8.4, 0.75 * len(workloads) + 1.8)
    bands = {w: [p for p in peers if (p, w) in seconds and p != first[w]] for w in workloads}
    drawn = [peer for peer in peers if any(peer in band for band in bands.values())]
    for peer, style in zip(drawn, styles(), strict=False):
        own = peer in OURS
        taken = [(n, w) for n, w in enumerate(workloads) if peer in bands[w]]
        axes.scatter(
            [seconds[peer, w] / seconds[first[w], w] for _, w in taken],
            [n + 0.8 * ((bands[w].index(peer) + 0.5) / len(bands[w]) - 0.5) for n, w in taken],
            label=peer,
            s=36 if own else 18,
            edgecolors="black" if own else "none",
            linewidths=0.8,
            **style,
        )
    for n in range(0, len(workloads), 2):
        axes.axhspan(n - 0.5, n + 0.5, color="0.95", zorder=0, linewidth=0)
    axes.axvline(1, color="black", linewidth=1)
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(ticker.LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter("{x:g}×")
    axes.xaxis.set_minor_formatter(ticker.NullFormatter())
    axes.set_yticks(range(len(workloads)), [f"{w}\n1 = {first[w]}" for w in workloads], fontsize=8)
    axes.set_ylim(len(workloads) - 0.5, -0.5)
    axes.grid(axis="x", which="both", alpha=0.2)
    axes.set_title("One training step: left of the line is faster than the reference")
    axes.set_xlabel("time, as a multiple of the reference's")
    add_legend(figure)
    figure.savefig(path)
