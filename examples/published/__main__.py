"""Numbers that others have published, found again, each with its range and its source.

    python -m examples.published --text timemachine.txt
    python -m examples.published --only reber counting

The text is H. G. Wells, The Time Machine (1895, public domain), in the edition that D2L uses: its
first characters are "The Time Machine, by H. G. Wells". Where PyTorch is installed it trains the
same, and its time stands beside ours. The exit status is 1 if a number is outside of its range.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import sys
import time
from collections.abc import Callable, Iterator
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
    options = parser.parse_args()
    entries = published(options.text)
    unknown = set(options.only or ()) - entries.keys()
    if unknown:
        parser.error(f"there is no {', '.join(sorted(unknown))}; there are {', '.join(entries)}")
    has_torch = importlib.util.find_spec("torch") is not None
    good = True
    for name, entry in entries.items():
        if options.only and name not in options.only:
            continue
        number, seconds = timed(name, entry.run)
        fits = entry.low <= number <= entry.high
        good &= fits
        print(f"{entry.what}\n  source   {entry.source}; to lie in {entry.low:g} to {entry.high:g}")
        print(f"  ours     {number:.4g} in {seconds:.1f} s{'' if fits else ': OUT OF RANGE'}")
        if entry.peer and has_torch:
            number, theirs = timed(f"{name}, PyTorch", entry.peer)
            print(f"  PyTorch  {number:.4g} in {theirs:.1f} s, {theirs / seconds:.2f} times ours")
    return 0 if good else 1


def timed(name: str, run: Callable[[Any], float]) -> tuple[float, float]:
    """What comes out, and how many seconds of wall time it took."""

    def bar(things: Any) -> Iterator[Any]:
        return iter(tqdm(things, desc=name, leave=False))

    start = time.perf_counter()
    return run(bar), time.perf_counter() - start


if __name__ == "__main__":
    sys.exit(main())
