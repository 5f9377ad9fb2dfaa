"""`python -m tests.fuzz --minutes 10`: cells are drawn until the time is over or one is wrong."""

from __future__ import annotations

import argparse
import itertools
import time
import traceback

from hypothesis import HealthCheck, Phase, given, seed, settings

from tests.fuzz.cells import Example, examples
from tests.fuzz.check import check


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--minutes", type=float, default=1.0, help="how long to look")
    parser.add_argument("--seed", type=int, default=0, help="where to begin")
    options = parser.parse_args()
    end, tried = time.monotonic() + 60 * options.minutes, 0
    smallest: list[Example] = []

    def one(example: Example) -> None:
        nonlocal tried
        tried += 1
        try:
            check(example)
        except BaseException:
            smallest[:] = [example]
            raise

    for number in itertools.count(options.seed):
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


if __name__ == "__main__":
    raise SystemExit(main())
