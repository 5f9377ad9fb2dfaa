"""`python -m tests.fuzz --minutes 10`: cells are drawn until the time is over or one is wrong.
`python -m tests.fuzz npz --minutes 10`: changed files and names, led by atheris where it is
installed: npz, safetensors, run, torch, names, figures, player.
`python -m tests.fuzz table`: every row of the table of derivatives in a cell, once."""

from __future__ import annotations

import argparse
import importlib.util
import itertools
import subprocess
import sys
import time
import traceback

from hypothesis import HealthCheck, Phase, given, seed, settings

from tests.fuzz import table
from tests.fuzz.cells import Example, examples
from tests.fuzz.check import check


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("what", nargs="?", default="cells", help="cells, or one of the above")
    parser.add_argument("--minutes", type=float, default=1.0, help="how long to look")
    parser.add_argument("--seed", type=int, default=0, help="where to begin")
    parser.add_argument("--backend", default="numpy", help="of cells: one to ask besides NumPy")
    options = parser.parse_args()
    if options.what == "table":
        return table.main()
    if options.what == "cells":
        return cells(options.minutes, options.seed, options.backend)
    return of_bytes(options.what, options.minutes, options.seed)


def cells(minutes: float, first_seed: int, backend: str) -> int:
    end, tried = time.monotonic() + 60 * minutes, 0
    smallest: list[Example] = []

    def one(example: Example) -> None:
        nonlocal tried
        tried += 1
        try:
            check(example, backend)
        except BaseException:
            smallest[:] = [example]
            raise

    for number in itertools.count(first_seed):
        if time.monotonic() > end:
            break
        batch = given(examples())(one)
        quiet = settings(
            max_examples=50,
            deadline=None,
            database=None,
            suppress_health_check=list(HealthCheck),
            phases=[Phase.generate, Phase.shrink],
        )
        try:
            seed(number)(quiet(batch))()
        except Exception:
            traceback.print_exc()
            print(f"\n# The smallest cell that comes out wrong (seed {number}):\n")
            print(smallest[0].source)
            print(f"{tried} cells tried")
            return 1
    print(f"{tried} cells tried, none came out wrong")
    return 0


def of_bytes(what: str, minutes: float, first_seed: int) -> int:
    if importlib.util.find_spec("atheris"):
        arguments = [what, str(round(60 * minutes)), str(first_seed + 1)]
        command = [sys.executable, "-m", "tests.fuzz.guided", *arguments]
        return subprocess.run(command, check=False).returncode
    from tests.fuzz import pictures, readers
    from tests.fuzz.target import mutants

    target = (readers.TARGETS | pictures.TARGETS)[what]
    end = time.monotonic() + 60 * minutes
    for tried, data in enumerate(mutants(target, first_seed)):
        if time.monotonic() > end:
            break
        try:
            target.check(data)
        except Exception:
            traceback.print_exc()
            print(f"\n# {what}, wrong with (seed {first_seed}, number {tried}):\n{data!r}")
            return 1
    print(f"{tried} tried, none came out wrong")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
