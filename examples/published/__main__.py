"""Numbers that others have published, found again, each with its range and its source.

    python -m examples.published --text timemachine.txt
    python -m examples.published --only reber counting --write docs/explanation

The text is H. G. Wells, The Time Machine (1895, public domain), in the edition that D2L uses: its
first characters are "The Time Machine, by H. G. Wells". Where PyTorch is installed it trains the
same, and its time stands beside ours: wall time, and CPU time, which other programs on the machine
disturb less. The exit status is 1 if a number is outside of its range.

--write DIR keeps what was found in DIR/published.json, beside the numbers found there before, and
writes the table DIR/published.md.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

# The matrices are small: several threads for one product would only wait for one another.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ.setdefault("OMP_NUM_THREADS", "1")

from tqdm import tqdm

from examples.published import counting, reber, time_machine

NEWER = "D2L 1.0, batch 1024, 32 steps, 32 units, SGD, clip 1"


class Published(NamedTuple):
    """One number: what it is, from where, and in which range ours is to lie.

    run: from a progress bar (an iterable's wrapper) to our number. peer: the same by PyTorch.
    """

    what: str
    source: str
    low: float
    high: float
    run: Callable[[Any], float]
    peer: Callable[[Any], float] | None = None


def published(text: str | None) -> dict[str, Published]:
    """All of them by name; those on the text only where there is one."""
    found = {
        "reber": Published(
            "embedded Reber grammar, LSTM online: most strings until solved, ten seeds",
            "Hochreiter & Schmidhuber 1997: 8,440 on average",
            500,
            8000,
            lambda bar: reber.slowest(reber.Ours, bar),
            lambda bar: reber.slowest(reber.Theirs, bar),
        ),
        "counting": Published(
            "aⁿbⁿ, LSTM trained on n = 1..10: right up to, the farthest of ten seeds",
            "Gers & Schmidhuber 2001, who go beyond 50",
            51,
            10**6,
            lambda bar: counting.farthest(counting.Ours, bar),
            lambda bar: counting.farthest(counting.Theirs, bar),
        ),
    }
    if text is None:
        return found
    numbers = time_machine.read(text)

    def newer(kind: str, rate: float, epochs: int) -> list[Callable[[Any], float]]:
        def by(make: Any) -> Callable[[Any], float]:
            return lambda bar: time_machine.newer(make(kind, 32, rate), numbers, epochs, bar)

        return [by(time_machine.Ours), by(time_machine.Theirs)]

    def older(make: Any) -> Callable[[Any], float]:
        return lambda bar: time_machine.older(make("rnn", 256, 1.0), numbers, 500, bar)

    what = "The Time Machine, {}, held-out perplexity after {} epochs"
    return {
        "rnn": Published(
            what.format("RNN", 100), f"{NEWER}, rate 1: 7.4", 7.3, 7.6, *newer("rnn", 1, 100)
        ),
        "gru": Published(
            what.format("GRU", 50), f"{NEWER}, rate 4: 6.6", 6.4, 6.8, *newer("gru", 4, 50)
        ),
        "lstm": Published(
            what.format("LSTM", 50), f"{NEWER}, rate 4: 6.8", 6.5, 6.9, *newer("lstm", 4, 50)
        ),
        "older": Published(
            "The Time Machine, RNN of 256 units, training perplexity after 500 epochs",
            "D2L 0.17, batch 32, 35 steps: 1.3 or below",
            1.0,
            1.3,
            older(time_machine.Ours),
            older(time_machine.Theirs),
        ),
        **found,
    }


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m examples.published",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--text", metavar="FILE", help="The Time Machine, as plain text")
    parser.add_argument("--only", nargs="+", metavar="NAME", help="these numbers alone")
    parser.add_argument("--write", type=Path, metavar="DIR", help="also keep what was found there")
    options = parser.parse_args()
    entries = published(options.text)
    unknown = set(options.only or ()) - entries.keys()
    if unknown:
        parser.error(f"unknown: {', '.join(sorted(unknown))}; choose from {', '.join(entries)}")
    has_torch = importlib.util.find_spec("torch") is not None
    good = True
    for name, entry in entries.items():
        if options.only and name not in options.only:
            continue
        ours = measured(name, entry.run)
        fits = entry.low <= ours.number <= entry.high
        good &= fits
        print(f"{entry.what}\n  source   {entry.source}; to lie in {entry.low:g} to {entry.high:g}")
        print(f"  ours     {ours}{'' if fits else ': OUT OF RANGE'}")
        found = {"what": entry.what, "source": entry.source, "here": ours._asdict()}
        if entry.peer and has_torch:
            theirs = measured(f"{name}, PyTorch", entry.peer)
            print(f"  PyTorch  {theirs}; {theirs.cpu / ours.cpu:.2f} times our CPU time")
            found["PyTorch"] = theirs._asdict()
        if options.write:
            keep(options.write, name, found)
    return 0 if good else 1


class Measured(NamedTuple):
    """What came out, and how many seconds it took."""

    number: float
    wall: float
    cpu: float

    def __str__(self) -> str:
        return f"{self.number:.4g} in {self.wall:.1f} s ({self.cpu:.1f} s of CPU time)"


def measured(name: str, run: Callable[[Any], float]) -> Measured:
    def bar(things: Any) -> Iterator[Any]:
        return iter(tqdm(things, desc=name, leave=False))

    wall, cpu = time.perf_counter(), time.process_time()
    number = run(bar)
    return Measured(number, time.perf_counter() - wall, time.process_time() - cpu)


def keep(directory: Path, name: str, found: dict[str, Any]) -> None:
    """Enter what was found under its name, and write the table of all."""
    kept = directory / "published.json"
    results = json.loads(kept.read_text(encoding="utf-8")) if kept.exists() else {}
    results[name] = found
    kept.write_text(json.dumps(results, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    (directory / "published.md").write_text(table(results), encoding="utf-8")


def table(results: dict[str, Any]) -> str:
    """In Markdown; seconds are wall time, and CPU time in brackets where it is known."""
    lines = ["| | published | here | PyTorch, same run |", "|---|---|---|---|"]
    for found in results.values():
        cells = [found["what"], found["source"]]
        for who in ("here", "PyTorch"):
            cells.append(cell(**found[who]) if who in found else "–")
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def cell(number: float, wall: float, cpu: float | None) -> str:
    return f"{number:.4g} in {wall:.0f} s" + (f" ({cpu:.0f} s)" if cpu is not None else "")


if __name__ == "__main__":
    sys.exit(main())
